from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from fakes.entries import NOON_NS, SECOND_NS, a_call, an_attempt, an_entry, an_ownership
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.cli import main
from tallygate.domain.ledger.events import Entry


def hop(number: int, service: str, call_id: str, parent: str | None, **call: Any) -> Entry:
    at_ns = NOON_NS + number * SECOND_NS
    return an_entry(
        number,
        call=a_call(call_id=call_id, parent_call_id=parent, **call),
        attempt=an_attempt(opened_at_ns=at_ns),
        ownership=an_ownership(service=service),
    )


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command over a ledger with one piece of work of three services in two traces."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    ledger = SqliteLedger(tmp_path / ".tallygate" / "ledger.db")
    new = {"trace_id": "tr_new", "trace_source": "minted"}
    ledger.append(
        [
            hop(4, "knowledge-search", "answer", "lost", **new | {"trace_source": "received"}),
            hop(3, "batch-summaries", "lost", "plan", **new),
            hop(2, "knowledge-search", "search", "plan"),
            hop(1, "support-assistant", "plan", None, trace_source="minted"),
        ]
    )
    ledger.close()
    return lambda *words: CliRunner().invoke(main, words)


def test_a_fan_out_is_one_tree_over_the_hop_that_lost_the_trace(
    run: Callable[..., Result],
) -> None:
    result = run("trace", "show", "tr_9f4c")

    assert result.exit_code == 0, result.output
    calls = [line for line in result.stdout.splitlines() if "call " in line and "──" in line]
    assert [line.index("call") for line in calls] == [4, 8, 8, 12]
    assert "trace minted here: broken hop as tr_new" in calls[2]
    assert "2 attempts, $0.00906\n" in result.stdout
    assert "not in the sum: 2 calls in other traces, $0.00906" in result.stdout


def test_the_document_has_every_hop_with_its_parent(run: Callable[..., Result]) -> None:
    result = run("trace", "show", "tr_9f4c", "--format", "json")

    document = orjson.loads(result.stdout)
    assert [
        (hop["call_id"], hop["parent_call_id"], hop["service"], hop["is_broken_hop"])
        for hop in document["hops"]
    ] == [
        ("plan", None, "support-assistant", False),
        ("search", "plan", "knowledge-search", False),
        ("lost", "plan", "batch-summaries", True),
        ("answer", "lost", "knowledge-search", False),
    ]
    assert document["total_estimated_cost_usd"] == "0.00906"
    assert len(document["provider_calls"]) == 2


def test_the_other_trace_says_where_it_broke_off(run: Callable[..., Result]) -> None:
    document = orjson.loads(run("trace", "show", "tr_new", "--format", "json").stdout)

    first = document["hops"][0]
    assert (first["parent"], first["parent_trace_id"]) == ("elsewhere", "tr_9f4c")
    assert first["is_broken_hop"]
