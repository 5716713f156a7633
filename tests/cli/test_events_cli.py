from __future__ import annotations

import csv
import io
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from fakes.entries import (
    NOON_NS,
    SECOND_NS,
    TENANT,
    a_call,
    a_price,
    a_refusal,
    an_attempt,
    an_entry,
    an_event,
    an_outcome,
    an_ownership,
    event_id,
    no_charge,
)
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.cli import main
from tallygate.domain.ledger.events import Entry, Status


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command over a ledger with four events, in the default place."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    ledger = SqliteLedger(tmp_path / ".tallygate" / "ledger.db")
    later = an_attempt(number=2, opened_at_ns=NOON_NS + SECOND_NS, retry_of_event_id=event_id(1))
    ledger.append(
        [
            Entry(
                an_event(1, outcome=an_outcome(status=Status.TIMEOUT, usage=None)), a_price(None)
            ),
            an_entry(2, attempt=later),
            Entry(a_refusal(3, ownership=an_ownership(owner_team=None)), no_charge()),
            an_entry(
                4,
                call=a_call(call_id="call-2", trace_id="tr_other"),
                ownership=an_ownership(owner_team="=cmd|'/c calc'!A1", feature="[red]loud[/red]"),
            ),
        ]
    )
    ledger.close()
    return lambda *words: CliRunner().invoke(main, words)


def json_of(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return orjson.loads(result.stdout)


def test_events_show_newest_first_with_totals_and_unpriced_as_a_word(
    run: Callable[..., Result],
) -> None:
    result = run("events")

    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if line.strip()]
    newest, refused, retried, lost = (line for line in lines if line.startswith(" 11-21 12:00"))
    assert "=cmd|'/c calc'!A1" in newest
    assert "refused" in refused
    assert "unattributed" in refused
    assert "missing feature" in refused
    assert "3,400/620" in retried
    assert "$0.00453" in retried
    assert lost.rstrip().endswith("unpriced")
    assert lines[-1].strip() == "4 events; 0.00906 in all, 1 unpriced"


def test_a_limit_says_how_much_is_not_shown_and_sums_all(run: Callable[..., Result]) -> None:
    result = run("events", "--limit", "1")

    assert "4 events, 3 not shown" in result.stdout
    assert "0.00906 in all" in result.stdout


@pytest.mark.parametrize(
    ("words", "found"),
    [
        pytest.param(["--team", "team-support"], [1, 2], id="team"),
        pytest.param(["--team", ""], [3], id="unattributed"),
        pytest.param(["--model", "frontier", "--status", "timeout"], [1], id="model and status"),
        pytest.param(["--violation", "ownership_missing"], [3], id="violation"),
        pytest.param(["--trace", "tr_other"], [4], id="trace"),
        pytest.param(["--call", "call-2"], [4], id="call"),
        pytest.param(["--unpriced"], [1], id="unpriced"),
        pytest.param(["--would-action", "reject"], [3], id="would action"),
        pytest.param(["--tenant", TENANT], [1, 2, 3, 4], id="tenant"),
        pytest.param(["--since", "2026-11-21T12:00:01Z"], [2], id="since"),
        pytest.param(["--since", "2026-11-21T13:00:01+01:00"], [2], id="since elsewhere"),
        pytest.param(["--until", "2026-11-21T12:00:00.5"], [1, 3, 4], id="until"),
        pytest.param(["--since", "2026-11-22"], [], id="a day"),
        pytest.param(["--since", "0s"], [], id="ago"),
        pytest.param(["--limit", "2"], [4, 3], id="the newest"),
    ],
)
def test_options_narrow_the_list(
    run: Callable[..., Result], words: list[str], found: list[int]
) -> None:
    rows = json_of(run("events", "--format", "json", *words))

    assert [row["event_id"] for row in rows] == [event_id(number) for number in found]


@pytest.mark.parametrize("words", [["--since", "yesterday"], ["--limit", "0"], ["--names", "x"]])
def test_what_cannot_be_read_is_wrong_use(run: Callable[..., Result], words: list[str]) -> None:
    assert run("events", *words).exit_code == 2


def test_json_has_whole_rows_with_money_as_text(run: Callable[..., Result]) -> None:
    rows = json_of(run("events", "--format", "json"))

    assert [row["cost"] for row in rows] == [None, "0.00453", "0", "0.00453"]
    assert rows[1]["usage"]["prompt_tokens"] == 3400
    assert rows[1]["occurred_at_ns"] == NOON_NS + SECOND_NS


def test_csv_has_stable_columns_and_no_cell_that_a_spreadsheet_would_run(
    run: Callable[..., Result],
) -> None:
    result = run("events", "--format", "csv")

    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert list(rows[0])[:6] == [
        "event_id",
        "kind",
        "corrects_event_id",
        "call_id",
        "trace_id",
        "attempt_number",
    ]
    assert [row["cost"] for row in rows] == ["", "0.00453", "0", "0.00453"]
    assert rows[3]["owner_team"] == "'=cmd|'/c calc'!A1"
    assert rows[2]["violations"] == "ownership_missing:feature"
    assert rows[0]["occurred_at"] == "2026-11-21T12:00:00.000000Z"


@pytest.mark.parametrize("style", ["json", "csv"])
def test_articles_have_their_own_names(run: Callable[..., Result], style: str) -> None:
    result = run("events", "--format", style, "--names", "articles")

    assert result.exit_code == 0, result.output
    rows: list[dict[str, Any]] = (
        orjson.loads(result.stdout)
        if style == "json"
        else list(csv.DictReader(io.StringIO(result.stdout)))
    )
    row = rows[1]
    assert row["event_id"] == event_id(2)
    assert row["request_id"] == "call-1"
    assert row["timestamp"] == "2026-11-21T12:00:01.000000Z"
    assert row["team_id"] == "team-support"
    assert row["status"] == "success"
    assert row["model"] == "gpt-5.4-2026-03-05"
    assert row["computed_cost_usd"] == "0.00453"
    assert rows[0]["status"] == "timeout"
    assert rows[0]["computed_cost_usd"] == (None if style == "json" else "")
    assert row["cache_hit"] == (False if style == "json" else "false")


def test_an_empty_answer_is_an_empty_array(run: Callable[..., Result]) -> None:
    assert json_of(run("events", "--format", "json", "--team", "nobody")) == []


def test_a_trace_is_shown_as_a_tree(run: Callable[..., Result]) -> None:
    result = run("trace", "show", "tr_9f4c")

    assert result.exit_code == 0, result.output
    assert "#1 timeout" in result.stdout
    assert "#2 ok  openai/gpt-5.4-2026-03-05  3,400 in (1,200 cached), 620 out" in result.stdout
    assert "retry of #1" in result.stdout
    assert "refused 400  ownership_missing:feature" in result.stdout
    assert "2 attempts, $0.00453, 1 unpriced, 1 refused" in result.stdout


def test_the_trace_document_sums_exactly_and_keeps_refusals_apart(
    run: Callable[..., Result],
) -> None:
    document = json_of(run("trace", "show", "tr_9f4c", "--format", "json"))

    first, second = document["provider_calls"]
    assert document["trace_id"] == "tr_9f4c"
    assert document["owner_team"] == "team-support"
    assert document["tenant_id_hash"] == TENANT
    assert first["estimated_cost_usd"] is None
    assert first["unpriced_reason"] == "usage_missing"
    assert second["attempt"] == 2
    assert second["retry_of_event_id"] == event_id(1)
    assert second["latency_ms"] == 812.345
    assert second["cache_hit"] is False
    assert second["cache_read_input_tokens"] == 1200
    assert second["billing_rule_version"] == "openai-pricing-2026-05-31"
    assert document["unpriced_calls"] == 1
    known = [call["estimated_cost_usd"] for call in document["provider_calls"]]
    total = sum(Decimal(cost) for cost in known if cost is not None)
    assert document["total_estimated_cost_usd"] == str(total) == "0.00453"
    assert [refusal["event_id"] for refusal in document["refusals"]] == [event_id(3)]


def test_an_unknown_trace_is_a_finding(run: Callable[..., Result]) -> None:
    result = run("trace", "show", "tr_nobody")

    assert result.exit_code == 1
    assert "no event with trace_id 'tr_nobody'" in result.stderr


@pytest.mark.parametrize("words", [["events"], ["trace", "show", "tr_9f4c"]])
def test_a_missing_ledger_says_where_it_looked_and_how_to_point_elsewhere(
    run: Callable[..., Result], tmp_path: Path, words: list[str]
) -> None:
    result = run(*words, "--ledger", "sqlite:///elsewhere.db")

    assert result.exit_code == 3
    assert str(tmp_path / "elsewhere.db") in result.stderr
    assert "TALLYGATE_LEDGER_URL" in result.stderr
    assert not (tmp_path / "elsewhere.db").exists()


def test_a_misspelt_variable_is_named(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLYGATE_LEDGER", "x")

    result = run("events")

    assert result.exit_code == 3
    assert "TALLYGATE_LEDGER_URL" in result.stderr
