from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from tallygate.application.activation_review import (
    REVIEW_DAYS,
    ActivationReview,
    activations_in,
)
from tallygate.application.override_ports import ExcusedCalls
from tallygate.domain.kernel.instants import NS_PER_SECOND, ns_from_text
from tallygate.domain.ledger.events import ActivationFacts
from tallygate.domain.policy.decision import Waived

NOW_NS = ns_from_text("2026-11-21T10:00:00Z")
HOUR_NS = 3600 * NS_PER_SECOND
DAY_NS = 24 * HOUR_NS
BEGIN_NS = NOW_NS - DAY_NS


class Nights:
    def __init__(self, *facts: ActivationFacts, calls: Sequence[ExcusedCalls] = ()) -> None:
        self._facts, self._calls = facts, calls

    def excused(self, since_ns: int, until_ns: int) -> Sequence[ExcusedCalls]:
        return [each for each in self._calls if since_ns <= each.last_ns < until_ns]

    def activations(self, since_ns: int) -> Sequence[ActivationFacts]:
        return [each for each in self._facts if each.from_ns >= since_ns]


def night(**changes: Any) -> ActivationFacts:
    facts: dict[str, Any] = {
        "override_id": "bg-1",
        "role": "incident-commander",
        "activated_by": "commander",
        "reason": "down",
        "ticket": "INC-7",
        "from_ns": BEGIN_NS,
        "until_ns": BEGIN_NS + 8 * HOUR_NS,
        "ended": False,
    }
    return ActivationFacts(**facts | changes)


def reviewed(
    *facts: ActivationFacts, calls: Sequence[ExcusedCalls] = (), days: int = 90
) -> list[ActivationReview]:
    return activations_in(Nights(*facts, calls=calls), NOW_NS - days * DAY_NS, NOW_NS)


def excused(at_ns: int, *overrides: str, service: str | None = "support-assistant") -> ExcusedCalls:
    return ExcusedCalls(
        waived=tuple(Waived("ownership_missing", "feature", each) for each in overrides),
        service=service,
        workflow_id=None,
        mode="enforce",
        calls=3,
        cost=Decimal("0.3"),
        unpriced=1,
        last_ns=at_ns,
    )


def test_an_activation_is_told_with_the_calls_that_passed_on_it() -> None:
    passed = [
        excused(BEGIN_NS, "bg-1"),
        excused(BEGIN_NS + HOUR_NS, "bg-1", "ovr-1", service="billing-bot"),
        excused(BEGIN_NS + HOUR_NS, "bg-1", service=None),
        excused(BEGIN_NS + HOUR_NS, "ovr-1"),
        excused(BEGIN_NS + 8 * HOUR_NS, "bg-1"),
    ]

    (found,) = reviewed(night(), calls=passed)

    assert found.calls == 9
    assert found.cost == Decimal("0.9")
    assert found.unpriced == 3
    assert found.services == ("billing-bot", "support-assistant")
    assert found.ended_by is None
    assert found.is_due
    assert not found.is_on(NOW_NS)


def test_an_early_end_is_put_to_its_activation() -> None:
    end_ns = BEGIN_NS + HOUR_NS
    other = night(override_id="bg-2")

    found = reviewed(
        night(), other, night(ended=True, until_ns=end_ns, activated_by="lead", reason="back")
    )

    assert [(each.override_id, each.until_ns, each.ended_by) for each in found] == [
        ("bg-1", end_ns, "lead"),
        ("bg-2", BEGIN_NS + 8 * HOUR_NS, None),
    ]


def test_an_end_without_its_beginning_is_none() -> None:
    assert reviewed(night(ended=True)) == []


def test_the_same_activation_on_several_machines_is_one() -> None:
    second = night(from_ns=BEGIN_NS + NS_PER_SECOND, until_ns=BEGIN_NS + 9 * HOUR_NS)

    (found,) = reviewed(night(), second)

    assert found.machines == 2
    assert (found.from_ns, found.until_ns) == (BEGIN_NS, BEGIN_NS + 9 * HOUR_NS)


def test_one_that_goes_on_elsewhere_was_not_ended() -> None:
    facts = [night(), night(), night(ended=True, until_ns=BEGIN_NS + HOUR_NS)]

    (on,) = reviewed(*facts)
    (off,) = reviewed(*facts, night(ended=True, until_ns=BEGIN_NS + 2 * HOUR_NS))

    assert (on.until_ns, on.ended_by) == (BEGIN_NS + 8 * HOUR_NS, None)
    assert (off.until_ns, off.ended_by) == (BEGIN_NS + 2 * HOUR_NS, "commander")


def test_one_after_the_other_or_for_another_reason_are_two() -> None:
    again = night(from_ns=BEGIN_NS + 8 * HOUR_NS, until_ns=BEGIN_NS + 9 * HOUR_NS)

    assert len(reviewed(night(), again)) == 2
    assert len(reviewed(night(), night(ticket="INC-8"))) == 2


def test_it_is_due_for_review_until_thirty_days_after_its_end() -> None:
    end_ns = NOW_NS - REVIEW_DAYS * DAY_NS
    old = {"from_ns": end_ns - HOUR_NS}

    assert reviewed(night(**old, until_ns=end_ns + 1))[0].is_due
    assert not reviewed(night(**old, until_ns=end_ns))[0].is_due


def test_what_is_due_is_listed_however_short_the_window() -> None:
    old = {"from_ns": NOW_NS - 31 * DAY_NS}

    assert len(reviewed(night(**old, until_ns=NOW_NS - 29 * DAY_NS), days=1)) == 1
    assert reviewed(night(**old, until_ns=NOW_NS - 30 * DAY_NS), days=1) == []
