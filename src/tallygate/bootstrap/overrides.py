"""Overrides as the files have them beside what the ledger knows of their use."""

from __future__ import annotations

from pathlib import Path

from tallygate.adapters.files.policies import read_policies
from tallygate.adapters.stores.override_queries import StoredOverrideUse
from tallygate.application.override_listing import Asked, OverrideListing, list_overrides
from tallygate.application.policy_check import check_policies
from tallygate.bootstrap.books import open_ledger
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.settings import Settings


def listed_overrides(
    settings: Settings,
    folder: Path,
    ledger: str | None,
    now_ns: int,
    *,
    since_ns: int,
    ending_days: int,
) -> OverrideListing:
    """Read the folder and the ledger; raises what either raises."""
    policies = read_policies(folder)
    asked = Asked(
        data=policies.data,
        problems=check_policies(policies.documents, text_from_ns(now_ns)),
        now_ns=now_ns,
        since_ns=since_ns,
        ending_days=ending_days,
    )
    with open_ledger(settings, ledger, unhurried=True) as opened:
        return list_overrides(asked, StoredOverrideUse(opened.reading))
