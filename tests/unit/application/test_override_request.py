# ruff: noqa: E501 - the table of ids reads in rows
from __future__ import annotations

from typing import Any

import pytest

from fakes.entries import NOON_NS, SECOND_NS
from tallygate.application.override_request import OverrideRequest, entry_of, next_id


def asked(**changes: Any) -> OverrideRequest:
    facts: dict[str, Any] = {
        "service": "support-assistant",
        "codes": ("ownership_missing",),
        "fields": ("feature", "workflow_id"),
        "environments": ("prod",),
        "expires_ns": NOON_NS + 86_400 * SECOND_NS,
        "requested_by": "support-lead",
        "approved_by": "finops-lead",
        "reason": "The console cannot send it yet.",
        "ticket": "SUP-7",
    }
    return OverrideRequest(**facts | changes)


def test_the_entry_says_everything_in_the_order_of_the_file() -> None:
    assert list(entry_of(asked(), NOON_NS).items()) == [
        ("codes", ["ownership_missing"]),
        ("fields", ["feature", "workflow_id"]),
        ("environments", ["prod"]),
        ("starts_at", "2026-11-21T12:00:00Z"),
        ("expires_at", "2026-11-22T12:00:00Z"),
        ("requested_by", "support-lead"),
        ("approved_by", "finops-lead"),
        ("reason", "The console cannot send it yet."),
        ("ticket", "SUP-7"),
    ]


def test_without_environments_it_is_for_all() -> None:
    assert "environments" not in entry_of(asked(environments=()), NOON_NS)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        pytest.param({}, "ovr-2026-0001", id="the first"),
        pytest.param({"a": {"ovr-2026-0007": {}}, "b": {"ovr-2026-0003": {}}}, "ovr-2026-0008", id="of all services"),
        pytest.param({"a": {"ovr-2025-0099": {}}}, "ovr-2026-0001", id="of this year"),
        pytest.param({"a": {"ovr-console": {}, "ovr-2026-1": {}}}, "ovr-2026-0001", id="beside names"),
        pytest.param({"a": {"ovr-2026-9999": {}}}, "ovr-2026-10000", id="past four digits"),
        pytest.param({"a": {"ovr-2026-10000": {}}}, "ovr-2026-10001", id="and on"),
        pytest.param({"a": None}, "ovr-2026-0001", id="an empty service"),
    ],
)  # fmt: skip
def test_the_next_id_is_one_more_than_the_greatest(
    overrides: dict[str, Any], expected: str
) -> None:
    assert next_id(overrides, NOON_NS) == expected
