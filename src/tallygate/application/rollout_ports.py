"""
What the rollout needs from the world.

Each port has one contract suite in tests/contract, which every adapter and its fake must pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from tallygate.domain.policy.traffic import Group

SeenAs = tuple[str | None, str | None, str]
"""Service, environment and mode of a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficFilter:
    """Which calls; times are half open, UTC ns."""

    since_ns: int
    until_ns: int
    environment: str | None = None
    """Only the calls of this environment."""


class RolloutTraffic(Protocol):
    """The ledger's calls, added up by what a rollout asks about."""

    def groups(self, wanted: TrafficFilter) -> Iterator[Group]:
        """Add up the calls that are alike; LedgerError where they are in several currencies."""
        ...

    def first_seen(self, wanted: TrafficFilter) -> Mapping[SeenAs, int]:
        """Tell when the first call of each service was seen, by environment and mode."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeInForce:
    """The mode of a service in an environment on the day, as the policy itself says."""

    mode: str
    """`enforce` where it holds for any of the calls."""
    source: str
    workflows_percent: int
    """The share of workflows that is enforced, by the percent of a scheduled step."""
    calls_percent: int
    """The share of their calls that is, by a canary."""

    @property
    def enforced_share(self) -> int:
        """Of 10,000 calls, how many are enforced, where workflows are alike."""
        return self.workflows_percent * self.calls_percent

    @property
    def is_whole(self) -> bool:
        """Whether it holds for every call."""
        return self.mode != "enforce" or self.workflows_percent == self.calls_percent == 100


class ModesInForce(Protocol):
    """Asks the policy for modes."""

    def mode_of(self, service: str, environment: str, at_ns: int) -> ModeInForce: ...
