from __future__ import annotations

from typing import Any

import pytest

from fakes.activations import FakeActivations
from fakes.break_glass import (
    HOUR_NS,
    KEY,
    PLATFORM,
    a_caller,
    a_desk,
    a_night,
    a_wish,
    events_at,
    glass,
    kept_at,
)
from fakes.clock import FakeClock
from fakes.entries import NOON_NS, SECOND_NS
from fakes.lines import BrokenSpool
from tallygate.application.activating import BreakGlassDesk
from tallygate.domain.attribution.contract import Principal
from tallygate.domain.kernel.instants import ns_from_text
from tallygate.domain.ledger.events import ActivationFacts, EventKind, OwnershipFacts, Status
from tallygate.errors import (
    ActivationInvalid,
    ActivationsUnusable,
    AlreadyActive,
    NotActive,
    OverrideUnknown,
    RoleNotHeld,
    SpoolUnusable,
)

ACTIVATION = {
    "override_id": "bg-support-outage",
    "role": "incident-commander",
    "activated_by": "b" * 64,
    "reason": "the flag service is down",
    "ticket": "INC-7",
    "from_ns": NOON_NS,
    "until_ns": NOON_NS + 2 * HOUR_NS,
}


def test_who_holds_the_role_activates_for_the_hours_asked() -> None:
    desk = a_desk()

    activation = desk.activate(a_wish(), a_caller())

    assert kept_at(desk) == [activation] == [a_night(**ACTIVATION)]


def test_the_ledger_hears_who_and_why() -> None:
    desk = a_desk()

    desk.activate(a_wish(), a_caller(is_bound=True))

    (event,) = events_at(desk)
    assert event.kind is EventKind.ACTIVATION
    assert event.activation == ActivationFacts(**ACTIVATION, ended=False)
    assert event.attempt is None
    assert event.outcome is not None
    assert event.outcome.status is Status.OK
    assert event.ownership == OwnershipFacts()
    assert event.decision.policy_revision == "sha256:fake"
    assert event.call.route == "/tallygate/overrides/{id}/activate"
    assert (event.call.principal_team, event.call.principal_bound) == ("llm-platform", True)
    assert event.occurred_at_ns == NOON_NS


def test_it_counts_from_the_second_in_which_it_was_asked_for() -> None:
    desk = a_desk()
    assert isinstance(desk.clock, FakeClock)
    desk.clock.at_ns += 999_999_999

    activation = desk.activate(a_wish(hours=None), a_caller())

    assert activation.from_ns == NOON_NS
    assert activation.until_ns == NOON_NS + 8 * HOUR_NS


def test_it_never_outlives_its_entry() -> None:
    desk = a_desk(break_glass=glass(expires_at="2026-11-21T12:30:00Z"))

    activation = desk.activate(a_wish(), a_caller())

    assert activation.until_ns == ns_from_text("2026-11-21T12:30:00Z")


def test_on_the_command_line_a_handle_stands_for_who_did_it() -> None:
    desk = a_desk()

    desk.activate(a_wish(), a_caller(None))

    (event,) = events_at(desk)
    assert event.activation is not None
    assert event.activation.activated_by == "incident-commander"
    assert event.call.principal_key_hash is None


def test_an_unknown_id_offers_what_the_caller_may_activate() -> None:
    wish = a_wish(override_id="bg-suport-outage")

    with pytest.raises(OverrideUnknown, match="Did you mean bg-support-outage"):
        a_desk().activate(wish, a_caller())
    with pytest.raises(OverrideUnknown) as caught:
        a_desk().activate(wish, a_caller(Principal(team="llm-other", key_hash="c" * 64)))
    assert "bg-" not in str(caught.value)


def test_who_does_not_hold_the_role_is_told_which_it_is() -> None:
    desk = a_desk(a_night())
    stranger = a_caller(Principal(team="llm-search", key_hash="c" * 64))

    with pytest.raises(RoleNotHeld, match="incident-commander"):
        desk.activate(a_wish(), stranger)
    with pytest.raises(RoleNotHeld, match="incident-commander"):
        desk.end("bg-support-outage", None, stranger)
    assert events_at(desk) == []


def test_what_is_active_is_not_activated_again() -> None:
    desk = a_desk(a_night())

    with pytest.raises(AlreadyActive, match="until 2026-11-21T20:00:00Z"):
        desk.activate(a_wish(), a_caller())
    assert events_at(desk) == []


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"until_ns": NOON_NS}, id="ended"),
        pytest.param({"until_ns": NOON_NS + 9 * HOUR_NS}, id="longer than allowed"),
    ],
)
def test_what_does_not_count_is_in_nobodys_way(changes: dict[str, Any]) -> None:
    desk = a_desk(a_night(**changes))

    activation = desk.activate(a_wish(), a_caller())

    assert kept_at(desk) == [activation]


FAULTS = [
    pytest.param({"reason": " "}, "reason: expected a sentence", id="no reason"),
    pytest.param({"reason": "x" * 201}, "201 characters, at most 200", id="a long reason"),
    pytest.param({"reason": "down\nsince"}, "line breaks", id="two lines"),
    pytest.param({"reason": "down \u202edown"}, "control characters", id="text turned around"),
    pytest.param({"ticket": ""}, "ticket: expected an id", id="no ticket"),
    pytest.param({"ticket": "T" * 101}, "at most 100", id="a long ticket"),
    pytest.param({"hours": 0}, "hours: 0 is not from 1 to 8", id="no hours"),
    pytest.param({"hours": 9}, "hours: 9 is not from 1 to 8", id="too many hours"),
]


@pytest.mark.parametrize(("changes", "part"), FAULTS)
def test_what_is_wrong_with_a_wish_is_said(changes: dict[str, Any], part: str) -> None:
    desk = a_desk()

    with pytest.raises(ActivationInvalid, match=part):
        desk.activate(a_wish(**changes), a_caller())
    assert events_at(desk) == []
    assert kept_at(desk) == []


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ActivationInvalid) as caught:
        a_desk().activate(a_wish(reason="", ticket="", hours=99), a_caller())

    assert all(name in str(caught.value) for name in ("reason:", "ticket:", "hours:"))


@pytest.mark.parametrize(
    "name",
    ["jane@example.com", "Jane Doe", "jane.doe", "", "x" * 65, "incident-commander\n"],
)
def test_a_person_is_not_written_down(name: str) -> None:
    caller = a_caller(None, name=name)

    with pytest.raises(ActivationInvalid, match="role or a handle"):
        a_desk().activate(a_wish(), caller)
    with pytest.raises(ActivationInvalid, match="role or a handle"):
        a_desk(a_night()).end("bg-support-outage", None, caller)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        pytest.param({"expires_at": "2026-11-21T12:00:00Z"}, "expired at", id="expired"),
        pytest.param({"approved_by": "support-lead"}, "excuses nothing", id="approved by itself"),
    ],
)
def test_an_entry_that_would_excuse_nothing_is_not_activated(
    changes: dict[str, Any], part: str
) -> None:
    with pytest.raises(ActivationInvalid, match=part):
        a_desk(break_glass=glass(**changes)).activate(a_wish(), a_caller())


def test_without_its_event_nothing_is_activated() -> None:
    desk = a_desk(spool=BrokenSpool())

    with pytest.raises(SpoolUnusable):
        desk.activate(a_wish(), a_caller())
    assert kept_at(desk) == []


def test_an_activation_that_cannot_be_kept_is_taken_back_in_the_ledger() -> None:
    desk = a_desk()
    assert isinstance(desk.activations, FakeActivations)
    desk.activations.is_broken = True

    with pytest.raises(ActivationsUnusable):
        desk.activate(a_wish(), a_caller())

    facts = [event.activation for event in events_at(desk)]
    assert [each and (each.ended, each.until_ns) for each in facts] == [
        (False, NOON_NS + 2 * HOUR_NS),
        (True, NOON_NS),
    ]


def test_it_can_be_ended_early_and_the_ledger_hears_of_that_too() -> None:
    desk = a_desk(a_night())
    assert isinstance(desk.clock, FakeClock)
    desk.clock.go_on(seconds=60)
    commander = a_caller(Principal(team="llm-platform", key_hash="d" * 64))

    ended = desk.end("bg-support-outage", "the service is back", commander)

    assert kept_at(desk) == []
    (event,) = events_at(desk)
    assert event.activation is not None
    assert event.activation.ended
    assert event.activation.activated_by == "d" * 64
    assert event.activation.reason == "the service is back"
    assert event.activation.from_ns == NOON_NS
    assert event.activation.until_ns == ended.until_ns == NOON_NS + 60 * SECOND_NS
    assert ended.activated_by == KEY


def test_ending_needs_no_reason_and_refuses_a_wrong_one() -> None:
    with pytest.raises(ActivationInvalid, match="reason"):
        a_desk(a_night()).end("bg-support-outage", "", a_caller())

    assert a_desk(a_night()).end("bg-support-outage", None, a_caller()).reason == "ended early"


def test_what_is_not_active_cannot_be_ended() -> None:
    with pytest.raises(NotActive):
        a_desk().end("bg-support-outage", None, a_caller())
    with pytest.raises(OverrideUnknown):
        a_desk().end("bg-gone", None, a_caller())


def test_after_an_end_it_can_be_activated_again() -> None:
    desk = a_desk()
    desk.activate(a_wish(), a_caller())
    desk.end("bg-support-outage", None, a_caller(PLATFORM))

    desk.activate(a_wish(), a_caller())

    assert len(events_at(desk)) == 3


def test_what_cannot_be_let_go_is_not_ended_in_the_ledger() -> None:
    desk = a_desk(a_night())
    assert isinstance(desk.activations, FakeActivations)
    desk.activations.is_stuck = True

    for _ in range(2):
        with pytest.raises(ActivationsUnusable):
            desk.end("bg-support-outage", None, a_caller())
    assert events_at(desk) == []
    assert kept_at(desk) == [a_night()]

    desk.activations.is_stuck = False
    desk.end("bg-support-outage", None, a_caller())
    assert len(events_at(desk)) == 1


def test_an_end_of_which_the_ledger_cannot_hear_is_none() -> None:
    desk = a_desk(a_night(), spool=BrokenSpool())

    with pytest.raises(SpoolUnusable):
        desk.end("bg-support-outage", None, a_caller())
    assert kept_at(desk) == [a_night()]


def _wait_a_minute(desk: BreakGlassDesk) -> None:
    assert isinstance(desk.clock, FakeClock)
    assert isinstance(desk.activations, FakeActivations)
    clock = desk.clock
    desk.activations.while_waiting = lambda: clock.go_on(seconds=60)


def test_who_waited_for_a_turn_gets_the_hours_from_then_on() -> None:
    desk = a_desk()
    _wait_a_minute(desk)

    activation = desk.activate(a_wish(), a_caller())

    assert activation.from_ns == NOON_NS + 60 * SECOND_NS
    assert activation.until_ns == activation.from_ns + 2 * HOUR_NS
    (event,) = events_at(desk)
    assert event.occurred_at_ns == activation.from_ns


def test_an_entry_that_expired_during_the_wait_is_not_activated() -> None:
    desk = a_desk(break_glass=glass(expires_at="2026-11-21T12:00:30Z"))
    _wait_a_minute(desk)

    with pytest.raises(ActivationInvalid, match="expired at"):
        desk.activate(a_wish(), a_caller())
    assert events_at(desk) == []


def test_an_end_counts_from_its_turn() -> None:
    desk = a_desk(a_night(from_ns=NOON_NS + 30 * SECOND_NS))
    _wait_a_minute(desk)

    ended = desk.end("bg-support-outage", None, a_caller())

    assert ended.until_ns == NOON_NS + 60 * SECOND_NS
