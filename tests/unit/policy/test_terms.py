from __future__ import annotations

from fakes.break_glass import HOUR_NS, a_night, glass
from fakes.entries import NOON_NS
from tallygate.domain.kernel.instants import ns_from_text
from tallygate.domain.policy.terms import OverrideTerm, terms_from_data

STARTS, EXPIRES = "2026-11-01T00:00:00Z", "2026-12-31T00:00:00Z"


def test_the_terms_of_every_service_are_read() -> None:
    entry = {"starts_at": STARTS, "expires_at": EXPIRES}

    terms = terms_from_data({"overrides": {"chat": {"ovr-1": entry}, "search": {"ovr-2": entry}}})

    starts_ns, expires_ns = ns_from_text(STARTS), ns_from_text(EXPIRES)
    assert terms == (
        OverrideTerm("ovr-1", "chat", starts_ns, expires_ns),
        OverrideTerm("ovr-2", "search", starts_ns, expires_ns),
    )


def test_without_the_file_or_a_date_there_is_none() -> None:
    broken = {"starts_at": STARTS, "expires_at": "2026-02-30T00:00:00Z"}

    assert terms_from_data({}) == ()
    assert terms_from_data({"overrides": {"chat": {"ovr-1": broken}}}) == ()


def test_what_is_left_ends_at_nothing_and_begins_with_it() -> None:
    term = OverrideTerm("ovr-1", "chat", 100, 200)

    assert [term.left_ns(at) for at in (99, 100, 199, 200, 300)] == [None, 100, 1, 0, 0]


def test_an_activation_has_a_term_for_each_service_that_it_excuses() -> None:
    terms = glass().terms_of([a_night()], NOON_NS)

    assert terms == tuple(
        OverrideTerm("bg-support-outage", service, NOON_NS, NOON_NS + 8 * HOUR_NS)
        for service in ("support-assistant", "support-digest")
    )
    assert glass().terms_of([a_night()], NOON_NS + 8 * HOUR_NS) == ()
    assert glass(max_hours=1).terms_of([a_night()], NOON_NS) == ()
