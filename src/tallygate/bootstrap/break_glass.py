"""
Break-glass from the command line: the desk over this machine's policies, state and spool.

The event goes through a spool writer of its own, which is gone as soon as it is written, so the
drain that runs beside the proxy books it; without one it waits for the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from tallygate.adapters.files.activations import ActivationFolder
from tallygate.adapters.files.policies import read_policies
from tallygate.adapters.spool.writer import SegmentSpool
from tallygate.application.activating import BreakGlassDesk
from tallygate.bootstrap.gate import ACTIVATIONS, SystemClock, new_id
from tallygate.domain.policy.break_glass import break_glass_from_data
from tallygate.errors import SettingsInvalid
from tallygate.settings import Settings


@dataclass(frozen=True, slots=True)
class MachinePlaces:
    """Where the proxy of this machine keeps what it shares with its commands."""

    policies: Path
    state: Path
    spool: Path
    spool_limit_bytes: int

    @classmethod
    def chosen(
        cls, settings: Settings, *, policies: Path | None, state: Path | None
    ) -> MachinePlaces:
        """Take what the caller names, else what the environment says, else the defaults."""
        folder = state or settings.state_folder(Path())
        return cls(
            policies=policies or settings.policies_folder(Path()),
            state=folder,
            spool=settings.spool or folder / "spool",
            spool_limit_bytes=settings.spool_limit_mb * 1024 * 1024,
        )


@contextmanager
def break_glass_desk(places: MachinePlaces) -> Iterator[BreakGlassDesk]:
    """Open the desk; SettingsInvalid where no proxy has ever kept its state."""
    if not places.state.is_dir():
        raise SettingsInvalid(
            f"there is no state folder at {places.state}, so no proxy would see an activation. "
            "Name the proxy's own with --state or TALLYGATE_STATE, or ask the proxy with --proxy."
        )
    policies = read_policies(places.policies)
    clock = SystemClock()
    spool = SegmentSpool(places.spool, limit_bytes=places.spool_limit_bytes, clock=clock)
    with closing(spool):
        yield BreakGlassDesk(
            break_glass=break_glass_from_data(policies.data),
            revision=policies.revision,
            activations=ActivationFolder(places.state / ACTIVATIONS),
            spool=spool,
            clock=clock,
            new_id=new_id,
        )


def other_revisions(places: MachinePlaces, revision: str) -> tuple[str, ...]:
    """List revisions that workers of this machine run, or ran last, other than this one."""
    found = set()
    for path in (places.state / "gates").glob("*.json"):
        try:
            noted = orjson.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(noted, dict) and isinstance(noted.get("policy_revision"), str):
            found.add(noted["policy_revision"])
    return tuple(sorted(found - {revision}))
