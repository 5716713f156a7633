"""Break-glass with one entry of each kind, a night's activation of it, and a desk over fakes."""

from __future__ import annotations

from typing import Any, Final

from fakes.activations import FakeActivations
from fakes.clock import FakeClock, FakeIds
from fakes.entries import NOON_NS, SECOND_NS
from fakes.spool import FakeSpool
from tallygate.application.activating import BreakGlassDesk, Caller, Wish
from tallygate.domain.attribution.contract import Principal
from tallygate.domain.ledger.events import Event
from tallygate.domain.policy.break_glass import Activation, BreakGlass, break_glass_from_data

HOUR_NS: Final = 3600 * SECOND_NS
KEY: Final = "a" * 64
ENTRY: Final[dict[str, Any]] = {
    "role": "incident-commander",
    "services": ["support-assistant", "support-digest"],
    "codes": ["ownership_missing"],
    "max_hours": 8,
    "requested_by": "support-lead",
    "approved_by": "finops-lead",
    "reason": "An outage must not silence the agents.",
    "ticket": "SUP-8",
    "expires_at": "2026-12-31T00:00:00Z",
}
DATA: Final[dict[str, Any]] = {
    "contract": {"overrides": {"max_days": 90}},
    "roles": {
        "holders": {
            "incident-commander": {"teams": ["llm-platform"], "keys": [KEY]},
            "search-on-call": {"teams": ["llm-search"]},
        }
    },
    "break_glass": {
        "bg-support-outage": ENTRY,
        "bg-search-outage": {**ENTRY, "role": "search-on-call", "services": ["search-api"]},
    },
}
PLATFORM: Final = Principal(team="llm-platform", key_hash="b" * 64)


def glass(entries: dict[str, Any] | None = None, **changes: Any) -> BreakGlass:
    """Build break-glass; a keyword changes the entry bg-support-outage."""
    given = DATA["break_glass"] if entries is None else entries
    changed = {**given, "bg-support-outage": {**ENTRY, **changes}}
    return break_glass_from_data({**DATA, "break_glass": changed})


def a_night(**changes: Any) -> Activation:
    facts: dict[str, Any] = {
        "override_id": "bg-support-outage",
        "role": "incident-commander",
        "activated_by": KEY,
        "reason": "the flag service is down",
        "ticket": "INC-7",
        "from_ns": NOON_NS,
        "until_ns": NOON_NS + 8 * HOUR_NS,
    }
    return Activation(**facts | changes)


def a_desk(
    *kept: Activation, break_glass: BreakGlass | None = None, spool: FakeSpool | None = None
) -> BreakGlassDesk:
    return BreakGlassDesk(
        break_glass=break_glass or glass(),
        revision="sha256:fake",
        activations=FakeActivations(*kept),
        spool=spool or FakeSpool(),
        clock=FakeClock(),
        new_id=FakeIds(),
    )


def a_wish(**changes: Any) -> Wish:
    facts: dict[str, Any] = {
        "override_id": "bg-support-outage",
        "reason": "the flag service is down",
        "ticket": "INC-7",
        "hours": 2,
    }
    return Wish(**facts | changes)


def a_caller(principal: Principal | None = PLATFORM, **changes: Any) -> Caller:
    facts: dict[str, Any] = {
        "name": principal.key_hash if principal else "incident-commander",
        "route": "/tallygate/overrides/{id}/activate" if principal else "cli",
        "principal": principal,
    }
    return Caller(**facts | changes)


def kept_at(desk: BreakGlassDesk) -> list[Activation]:
    return list(desk.activations.read())


def events_at(desk: BreakGlassDesk) -> list[Event]:
    assert isinstance(desk.spool, FakeSpool)
    return [record.event for record in desk.spool.records]
