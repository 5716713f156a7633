from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fakes.break_glass import DATA, ENTRY, HOUR_NS, KEY, PLATFORM, a_night, glass
from fakes.entries import NOON_NS, SECOND_NS
from tallygate.domain.attribution.contract import Principal
from tallygate.domain.kernel.instants import ns_from_text
from tallygate.domain.policy.break_glass import BreakGlass, break_glass_from_data

TOLD = {
    "id": "bg-support-outage",
    "from": "2026-11-21T12:00:00Z",
    "until": "2026-11-21T20:00:00Z",
}


def told(at_ns: int = NOON_NS, service: str = "support-assistant", **changes: Any) -> list[Any]:
    return glass().told_of([a_night(**changes)], service, at_ns)


def test_without_the_documents_there_is_none() -> None:
    assert break_glass_from_data({"contract": {}}) == BreakGlass()


@pytest.mark.parametrize(
    ("principal", "holds"),
    [
        pytest.param(PLATFORM, True, id="by the team"),
        pytest.param(Principal(team="llm-other", key_hash=KEY), True, id="by the key"),
        pytest.param(Principal(team="llm-search", key_hash="c" * 64), False, id="another team"),
        pytest.param(Principal(), False, id="nobody that LiteLLM knows"),
    ],
)
def test_a_role_is_held_by_the_listed_teams_and_keys(principal: Principal, holds: bool) -> None:
    assert glass().holds("incident-commander", principal) is holds


def test_a_role_that_is_not_listed_is_held_by_nobody() -> None:
    assert not glass().holds("night-watch", PLATFORM)
    assert not BreakGlass().holds("incident-commander", Principal())


def test_close_ids_are_of_entries_that_the_caller_may_activate() -> None:
    assert glass().ids_like("bg-suport-outage", PLATFORM) == ("bg-support-outage",)
    assert glass().ids_like("bg-suport-outage", Principal()) == ()
    assert set(glass().ids_like("bg-suport-outage", None)) == {
        "bg-support-outage",
        "bg-search-outage",
    }


def test_the_policy_is_told_of_an_activation_for_the_services_of_its_entry() -> None:
    assert told() == [TOLD]
    assert told(service="support-digest") == [TOLD]
    assert told(service="search-api") == []
    assert told(service="") == []


@pytest.mark.parametrize(
    ("at_ns", "is_told"),
    [
        pytest.param(NOON_NS - 1, False, id="before it starts"),
        pytest.param(NOON_NS, True, id="as it starts"),
        pytest.param(NOON_NS + 8 * HOUR_NS - 1, True, id="just before it ends"),
        pytest.param(NOON_NS + 8 * HOUR_NS, False, id="as it ends"),
    ],
)
def test_the_policy_is_told_only_while_it_holds(at_ns: int, is_told: bool) -> None:
    assert bool(told(at_ns)) is is_told


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"until_ns": NOON_NS + 8 * HOUR_NS + 1}, id="longer than its entry allows"),
        pytest.param({"from_ns": NOON_NS - HOUR_NS}, id="begun too early for its end"),
        pytest.param({"role": "search-on-call"}, id="taken under another role"),
        pytest.param({"override_id": "bg-search-outage"}, id="of an entry with another role"),
        pytest.param({"override_id": "bg-gone"}, id="of an entry that is not there"),
    ],
)
def test_an_activation_that_nobody_may_make_is_not_told(changes: dict[str, Any]) -> None:
    assert told(**changes) == []


def test_a_change_of_the_entry_reaches_what_is_activated_already() -> None:
    night = [a_night()]

    for entry in (
        glass(max_hours=7),
        glass(expires_at="2026-11-21T19:59:59Z"),
        glass(expires_at="2026-02-30T00:00:00Z"),
        glass(services=["support-digest"]),
        glass(approved_by="support-lead"),
        break_glass_from_data({**DATA, "break_glass": {}}),
        break_glass_from_data(
            {**DATA, "contract": {"overrides": {"max_days": 90, "max_break_glass_hours": 7}}}
        ),
    ):
        assert entry.told_of(night, "support-assistant", NOON_NS) == []


def test_a_day_is_the_most_unless_the_contract_says_otherwise() -> None:
    longer = {"contract": {"overrides": {"max_break_glass_hours": 48}}}
    entry = {"bg-1": {**ENTRY, "max_hours": 40}}

    assert glass(entry).entries["bg-1"].max_hours == 24
    assert break_glass_from_data({**longer, "break_glass": entry}).entries["bg-1"].max_hours == 40


def test_no_activation_outlives_its_entry() -> None:
    entry = glass().entries["bg-support-outage"]
    expiry_ns = ns_from_text("2026-12-31T00:00:00Z")

    assert entry.longest_until_ns(NOON_NS) == NOON_NS + 8 * HOUR_NS
    assert entry.longest_until_ns(expiry_ns - HOUR_NS) == expiry_ns


def test_activations_are_told_in_the_order_of_their_ids() -> None:
    entries = {f"bg-{name}": ENTRY for name in "ab"}
    nights = [replace(a_night(), override_id=f"bg-{name}") for name in "ba"]

    both = glass(entries).told_of(nights, "support-assistant", NOON_NS + SECOND_NS)

    assert [each["id"] for each in both] == ["bg-a", "bg-b"]
