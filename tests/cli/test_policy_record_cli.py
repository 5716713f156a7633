from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fakes.entries import NOON_NS, SECOND_NS, a_call, a_decision, an_attempt, an_entry
from tallygate.adapters.files.recorded_inputs import RecordedInputsFile
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.cli import main
from tallygate.domain.policy.recorded_input import digest_of_input

CHAT = {"claims": {"service": "support-assistant"}}
OUTPUT = "inputs.jsonl.zst"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command over three calls, one of them older than inputs, and a later one."""
    monkeypatch.chdir(tmp_path)
    decision = a_decision(input_digest=digest_of_input(CHAT), input=CHAT, call_bucket=7)
    with_input = [
        an_entry(
            number,
            call=a_call(call_id=f"call-{number}", started_at_ns=at_ns),
            attempt=an_attempt(opened_at_ns=at_ns),
            decision=decision,
        )
        for number, at_ns in ((1, NOON_NS), (2, NOON_NS), (3, NOON_NS + 86_400 * SECOND_NS))
    ]
    ledger = SqliteLedger(tmp_path / ".tallygate" / "ledger.db")
    ledger.append([*with_input, an_entry(4, call=a_call(call_id="call-4"))])
    ledger.close()
    return lambda *words: CliRunner().invoke(main, ["policy", "record", *words])


def test_the_calls_of_a_time_are_written_with_their_inputs(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    result = run("--since", "2026-11-21", "--until", "2026-11-22", "-o", OUTPUT)

    assert result.exit_code == 0, result.output
    assert f"{OUTPUT}: 3 calls of 1 inputs, in 2 groups" in result.stdout
    assert "1 of the calls have no recorded input" in result.stdout
    lines = RecordedInputsFile(tmp_path / OUTPUT)
    assert dict(lines.decision_inputs()) == {digest_of_input(CHAT): CHAT}
    found = lines.recorded_calls(None, None, by_call_bucket=True)
    assert [(calls.input_digest, calls.call_bucket, calls.calls) for calls in found] == [
        (None, None, 1),
        (digest_of_input(CHAT), 7, 2),
    ]


def test_a_time_that_ends_before_it_begins_is_wrong_use(run: Callable[..., Result]) -> None:
    result = run("--since", "2026-11-22", "--until", "2026-11-21", "-o", OUTPUT)

    assert result.exit_code == 2
    assert "ends before it begins" in result.stderr


def test_a_ledger_that_is_not_there_leaves_no_file(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    result = run("--ledger", "sqlite:///none.db", "-o", OUTPUT)

    assert result.exit_code == 3
    assert "there is no ledger" in result.stderr
    assert not (tmp_path / OUTPUT).exists()


def test_a_place_that_cannot_be_written_is_named(run: Callable[..., Result]) -> None:
    result = run("-o", f"nowhere/{OUTPUT}")

    assert result.exit_code == 3
    assert f"nowhere/{OUTPUT} cannot be written" in result.stderr
