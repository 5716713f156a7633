"""`tallygate override list` over a ledger whose calls were made a moment ago."""

from __future__ import annotations

import csv
import io
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fakes.entries import (
    SECOND_NS,
    a_call,
    a_decision,
    an_activation,
    an_attempt,
    an_entry,
    an_ownership,
    no_charge,
)
from fakes.policy_folders import BREAK_GLASS, OVERRIDES, small_policies
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.cli import main
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.domain.ledger.events import Entry

DAY_NS = 86_400 * SECOND_NS
GLASS = "bg-support-outage"


@pytest.fixture
def now_ns() -> int:
    return time.time_ns() // SECOND_NS * SECOND_NS


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now_ns: int) -> Path:
    """Make an override that ends in five days, one that has ended, and a night of break-glass."""
    ending = OVERRIDES.replace("2026-11-01T00:00:00Z", text_from_ns(now_ns - 20 * DAY_NS)).replace(
        "2026-12-31T00:00:00Z", text_from_ns(now_ns + 5 * DAY_NS + 60 * SECOND_NS)
    )
    ended = (
        ending.replace("support-assistant:\n", "")
        .replace("0007", "0003")
        .replace(text_from_ns(now_ns + 5 * DAY_NS + 60 * SECOND_NS), text_from_ns(now_ns - DAY_NS))
    )
    glass = BREAK_GLASS.replace("2026-12-31T00:00:00Z", text_from_ns(now_ns + 200 * DAY_NS))
    small_policies(tmp_path / "policies", overrides=ending + ended, break_glass=glass)
    monkeypatch.setenv("TALLYGATE_POLICIES", str(tmp_path / "policies"))
    monkeypatch.setenv("TALLYGATE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "160")
    ledger = SqliteLedger(tmp_path / "state" / "ledger.db")
    night_ns = now_ns - 2 * DAY_NS
    night = an_activation(9, from_ns=night_ns, until_ns=night_ns + 8 * 3600 * SECOND_NS)
    night = replace(night, call=replace(night.call, started_at_ns=night_ns))
    ledger.append(
        [
            a_line(1, "ovr-2026-0007", now_ns - DAY_NS),
            a_line(2, "ovr-2026-0007", now_ns - 2 * DAY_NS, workflow_id="wf-2"),
            a_line(3, GLASS, now_ns - 2 * DAY_NS + 60 * SECOND_NS),
            Entry(night, no_charge()),
        ]
    )
    ledger.close()
    return tmp_path


def a_line(number: int, override: str, at_ns: int, workflow_id: str = "wf-1") -> Entry:
    waived = {"code": "ownership_missing", "field": "tenant_id_hash", "override": override}
    return an_entry(
        number,
        cost="0.25",
        call=a_call(call_id=f"call-{number}", started_at_ns=at_ns),
        attempt=an_attempt(opened_at_ns=at_ns),
        ownership=an_ownership(workflow_id=workflow_id),
        decision=a_decision(waived=(waived,)),
    )


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["override", "list", *arguments])


def test_each_entry_stands_with_its_use(machine: Path, now_ns: int) -> None:
    done = run("--format", "json")

    assert done.exit_code == 0, done.output
    found = {each["id"]: each for each in json.loads(done.stdout)["overrides"]}
    ending = found["ovr-2026-0007"]
    assert ending["state"] == "ending"
    assert ending["days_left"] == 5
    assert (ending["calls"], ending["cost"], ending["unpriced"]) == (2, "0.5", 0)
    assert ending["last_used"] == text_from_ns(now_ns - DAY_NS)
    assert (ending["forecast_calls"], ending["forecast_workflows"]) == (2, 2)
    assert found["ovr-2026-0003"]["state"] == "expired"
    assert found["ovr-2026-0003"]["unused_days"] == 20
    assert found[GLASS]["state"] == "ready"
    assert found[GLASS]["calls"] == 1


def test_activations_are_listed_for_review(machine: Path) -> None:
    (found,) = json.loads(run("--format", "json", "--since", "1d").stdout)["activations"]

    assert found["id"] == GLASS
    assert found["activated_by"] == "a" * 64
    assert found["reason"] == "the flag service is down"
    assert (found["calls"], found["cost"], found["services"]) == (1, "0.25", ["support-assistant"])
    assert found["review_due"] is True


def test_people_read_what_its_end_would_refuse(machine: Path) -> None:
    text = run().stdout

    assert "ovr-2026-0007 ends in 5 days: 2 calls (last 7 days) of 2 workflows would" in text
    assert "ovr-2026-0003 has expired and still stands in the file." in text
    assert "the flag service is down (INC-7)" in text
    assert "8 h 00 min" in text
    assert "$0.5" in text


def test_csv_has_a_line_for_each(machine: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run("--format", "csv").stdout)))

    assert [row["id"] for row in rows] == [GLASS, "ovr-2026-0003", "ovr-2026-0007"]
    assert rows[2]["codes"] == "ownership_missing"
    assert rows[2]["cost"] == "0.5"
    assert rows[2]["starts_at"] == rows[2]["used_since"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param((), 0, id="never, unless asked"),
        pytest.param(("--fail-on", "invalid", "--fail-on", "unused"), 0, id="nothing of the kind"),
        pytest.param(("--fail-on", "expired"), 1, id="expired"),
        pytest.param(("--fail-on", "unused", "--fail-on", "ending"), 1, id="one of two"),
        pytest.param(("--ending", "4d", "--fail-on", "ending"), 0, id="not so soon"),
        pytest.param(("--fail-on", "review"), 1, id="an activation to review"),
        pytest.param(("--ending", "soon"), 2, id="no number of days"),
    ],
)
def test_it_fails_on_what_it_was_told_to(
    machine: Path, arguments: tuple[str, ...], code: int
) -> None:
    assert run(*arguments).exit_code == code


def test_an_override_that_the_policy_check_refuses_is_invalid(machine: Path) -> None:
    path = machine / "policies" / "overrides" / "data.yaml"
    path.write_text(path.read_text().replace("approved_by: finops-lead", "approved_by: eve"))

    text = run("--fail-on", "invalid")

    assert text.exit_code == 1
    assert "eve may not approve overrides" in text.stdout


def test_without_a_ledger_nobody_can_tell(machine: Path) -> None:
    done = run("--ledger", f"sqlite:///{machine / 'none.db'}")

    assert done.exit_code == 3
    assert "there is no ledger" in done.stderr
