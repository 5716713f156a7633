"""Entries as cells: the fast way in and the readable one say the same."""

from __future__ import annotations

import pytest

from fakes.entries import a_refusal, an_event, an_unknown
from tallygate.adapters.stores.rows import (
    FACT_NAMES,
    PRICE_NAMES,
    digest_of_cells,
    digest_of_facts,
    fact_cells,
    facts_of,
)
from tallygate.adapters.stores.tables import ASSIGNED_BY_STORE, EVENTS
from tallygate.domain.ledger.events import Event


def test_cells_fill_every_column_that_the_store_does_not_assign() -> None:
    names = [*FACT_NAMES, "payload_digest", *PRICE_NAMES]
    assert sorted(names) == sorted(set(EVENTS.columns.keys()) - ASSIGNED_BY_STORE)


@pytest.mark.parametrize(
    "event",
    [
        an_event(),
        an_unknown(),
        a_refusal(),
        an_event(outcome=None),
        a_refusal(outcome=None),
        an_event(attempt=None),
    ],
    ids=["attempt", "unknown", "refusal", "no outcome", "refusal without", "no attempt"],
)
def test_cells_have_the_digest_of_the_facts_that_they_stand_for(event: Event) -> None:
    facts = facts_of(event, "sub_1", None)
    unordered = dict(sorted(facts.items(), key=lambda fact: fact[0][::-1]))
    assert digest_of_cells(fact_cells(event, "sub_1", None)) == digest_of_facts(unordered)
