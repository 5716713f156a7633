"""
Recorded calls from the ledger into a file: who is wired to whom.

Errors  As the ledger's own; SettingsInvalid for a file that cannot be written.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tallygate.adapters.files.recorded_export import Exported, write_recorded_inputs
from tallygate.adapters.stores.decision_lines import SqlDecisionLines
from tallygate.application.ports import EventFilter
from tallygate.application.recording import recorded_groups
from tallygate.bootstrap.books import open_ledger
from tallygate.settings import Settings


def export_recorded_inputs(
    settings: Settings,
    ledger: str | None,
    since_ns: int,
    until_ns: int,
    path: Path,
    on_progress: Callable[[int], None],
) -> Exported:
    """Write the calls of a time to a file; `on_progress` hears how many have gone by."""
    with open_ledger(settings, ledger, unhurried=True) as opened:
        lines = SqlDecisionLines(opened)
        return write_recorded_inputs(
            path,
            since_ns,
            until_ns,
            opened.total(EventFilter(since_ns=since_ns, until_ns=until_ns)),
            recorded_groups(lines, since_ns, until_ns, on_progress),
            lines.decision_inputs,
        )
