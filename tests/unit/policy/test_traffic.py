from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tallygate.domain.policy.traffic import Amount, Figures, Group, Share, summed

MISSING = ("ownership_missing", "workflow_id")
ALSO_MISSING = ("ownership_missing", "feature")
UNKNOWN = ("ownership_unknown", "feature")
RETIRED = ("ownership_retired", "feature")


def a_group(calls: int, cost: str = "0", **changes: Any) -> Group:
    facts: dict[str, Any] = {
        "service": "search",
        "environment": "prod",
        "owner_team": "team-search",
        "principal_team": "llm-search",
        "principal_key": None,
        "mode": "report_only",
        "action": "admit",
        "would_action": "admit",
        "is_decided": True,
        "violations": (),
        "waived": (),
        "amount": Amount(calls=calls, cost=Decimal(cost)),
        "refused": 0,
        "billable": calls,
        "unreported": 0,
    }
    return Group(**facts | changes)


def figures_of(*groups: Group, leaked: bool = False, unattributed: bool = False) -> Figures:
    figures = Figures()
    for group in groups:
        figures.add_group(group, leaked=leaked, unattributed=unattributed)
    return figures


def test_a_call_that_lacks_two_fields_is_missing_once_and_under_both() -> None:
    # 190 good, 8 lack the workflow, 2 lack both: 10 of 200 lack something.
    figures = figures_of(
        a_group(190),
        a_group(8, violations=(MISSING,)),
        a_group(2, violations=(MISSING, ALSO_MISSING)),
    )

    assert figures.missing_rate == Share(10, 200)
    assert figures.missing_rate.percent() == Decimal(5)
    assert figures.missing_rate_of("workflow_id") == Share(10, 200)
    assert figures.missing_rate_of("feature") == Share(2, 200)
    assert figures.missing_rate_of("tenant_id_hash") == Share(0, 200)


def test_what_is_excused_is_still_missing_and_is_told_apart() -> None:
    figures = figures_of(
        a_group(90),
        a_group(6, waived=(MISSING,)),
        a_group(4, violations=(ALSO_MISSING,), waived=(MISSING,)),
    )

    assert figures.missing_rate == Share(10, 100)
    assert figures.missing_waived == 6  # the four lack another field that nobody excused
    assert dict(figures.missing_by_field) == {"workflow_id": 10, "feature": 4}


def test_values_that_the_registry_does_not_have_or_has_retired_are_vocabulary() -> None:
    figures = figures_of(
        a_group(5, violations=(UNKNOWN,)), a_group(2, waived=(RETIRED,)), a_group(93)
    )

    assert figures.vocabulary_rate == Share(7, 100)
    assert dict(figures.vocabulary_by_field) == {"feature": 7}
    assert figures.missing_rate == Share(0, 100)


def test_a_call_that_could_not_be_decided_is_in_no_rate_of_violations() -> None:
    figures = figures_of(
        a_group(10, is_decided=False, would_action="reject"), a_group(5, violations=(MISSING,))
    )

    assert figures.total.calls == 15
    assert figures.missing_rate == Share(5, 5)
    assert list(figures.would_refuse_by_fault) == [("decision_unavailable", "")]


def test_coverage_is_of_the_calls_that_may_be_billed() -> None:
    figures = figures_of(
        a_group(80, billable=80, unreported=4), a_group(20, billable=0), a_group(20, billable=20)
    )

    assert figures.token_coverage == Share(96, 100)


def test_unattributed_is_of_what_passed_in_calls_and_in_cost() -> None:
    figures = figures_of(a_group(60, "6"), a_group(30, refused=20, amount=Amount(calls=30)))
    figures.add_group(a_group(10, "2", owner_team=None), leaked=False, unattributed=True)
    figures.add_group(
        a_group(5, owner_team=None, action="reject", refused=5), leaked=False, unattributed=True
    )

    # 105 calls, 25 of them refused: 80 passed, 10 for nobody; 2 of 8 dollars.
    assert figures.unattributed_calls == Share(10, 80)
    assert figures.unattributed_cost == Share(Decimal(2), Decimal(8))


def test_who_would_be_refused_is_who_passed_and_would_not_have() -> None:
    figures = figures_of(
        a_group(7, "0.7", would_action="reject", violations=(MISSING,)),
        a_group(2, "0.2", would_action="reject", violations=(MISSING, UNKNOWN), owner_team=None),
        a_group(4, would_action="quarantine", violations=(MISSING,)),
        a_group(9, action="reject", would_action="reject", refused=9, violations=(MISSING,)),
        a_group(3, action="quarantine", would_action="quarantine", violations=(MISSING,)),
        a_group(50),
    )

    assert figures.would_refuse == Amount(calls=9, cost=Decimal("0.9"))
    assert figures.would_refuse_by_fault == {
        MISSING: Amount(calls=9, cost=Decimal("0.9")),
        UNKNOWN: Amount(calls=2, cost=Decimal("0.2")),
    }
    assert figures.would_refuse_by_payer == {
        "team-search": Amount(calls=7, cost=Decimal("0.7")),
        None: Amount(calls=2, cost=Decimal("0.2")),
    }
    assert figures.would_quarantine.calls == 4
    assert figures.refused == 9


def test_figures_add_up_to_the_figures_of_all_groups() -> None:
    one = a_group(7, "0.7", would_action="reject", violations=(MISSING,), waived=(ALSO_MISSING,))
    other = a_group(3, "0.1", is_decided=False, refused=1, unreported=2, owner_team=None)
    apart = {"a": figures_of(one, leaked=True), "b": figures_of(other, unattributed=True)}

    together = figures_of(one, leaked=True)
    together.add_group(other, leaked=False, unattributed=True)

    assert summed(apart) == together
    assert summed({"a": figures_of(one), "b": figures_of(replace(one))}).missing == 14


@pytest.mark.parametrize(
    ("share", "limit", "at_most", "at_least"),
    [
        pytest.param(Share(2, 100), "2.0", True, True, id="exactly at it"),
        pytest.param(Share(200_001, 10_000_000), "2.0", False, True, id="a hair above"),
        pytest.param(Share(199_999, 10_000_000), "2.0", True, False, id="a hair below"),
        pytest.param(Share(1, 3), "33.333", False, True, id="no end of places"),
        pytest.param(Share(0, 5), "0", True, True, id="none of it"),
    ],
)
def test_a_limit_is_met_exactly_at_it(
    share: Share, limit: str, *, at_most: bool, at_least: bool
) -> None:
    assert share.at_most(Decimal(limit)) is at_most
    assert share.at_least(Decimal(limit)) is at_least


@pytest.mark.parametrize(
    ("share", "beside", "text"),
    [
        pytest.param(Share(31, 1000), "2.0", "3.1 %", id="one place"),
        pytest.param(Share(200_001, 10_000_000), "2.0", "2.00001 %", id="told from the limit"),
        pytest.param(Share(2, 100), "2.0", "2.0 %", id="equal to it"),
        pytest.param(Share(1, 3), None, "33.3 %", id="rounded"),
        pytest.param(Share(0, 0), "2.0", "-", id="of nothing"),
        pytest.param(Share(20_000_000_001, 10**12), "2.0", "2.000000 %", id="beyond six places"),
    ],
)
def test_a_share_is_shown_with_as_many_places_as_tell_it_from_its_limit(
    share: Share, beside: str | None, text: str
) -> None:
    assert share.text(Decimal(beside) if beside else None) == text
