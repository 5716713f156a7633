"""`tallygate override activate` and `end`, as they are typed on the proxy's machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fakes.policy_folders import BREAK_GLASS, small_policies
from tallygate.adapters.files.activations import ActivationFolder
from tallygate.adapters.files.starter import starter_policies
from tallygate.adapters.spool import SegmentReader
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.application.ports import EventFilter
from tallygate.bootstrap.books import DrainPlaces, drain_what_is_there
from tallygate.cli import main

WISH = ("--reason", "the flag service is down", "--ticket", "INC-7", "--by", "on-call")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make policies and a state folder, as a proxy of this machine has left it."""
    glass = BREAK_GLASS.replace("2026-12-31", "2099-12-31")
    small_policies(tmp_path / "policies", break_glass=glass)
    (tmp_path / "state").mkdir()
    monkeypatch.setenv("TALLYGATE_POLICIES", str(tmp_path / "policies"))
    monkeypatch.setenv("TALLYGATE_STATE", str(tmp_path / "state"))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["override", *arguments])


def events_of(machine: Path) -> list[dict[str, object]]:
    """Drain what the commands wrote, and read who did what."""
    url = f"sqlite:///{machine / 'ledger.db'}"
    drain_what_is_there(DrainPlaces(machine / "state" / "spool", url, starter_policies()))
    ledger = SqliteLedger(url, create=False)
    rows = [dict(row["activation"]) for row in ledger.rows(EventFilter())]
    ledger.close()
    return rows


def test_an_activation_is_kept_for_the_proxy_and_booked_by_the_next_drain(machine: Path) -> None:
    done = run("activate", "bg-support-outage", "--hours", "2", *WISH)

    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("bg-support-outage is active until ")
    (kept,) = ActivationFolder(machine / "state" / "activations").read()
    assert kept.until_ns - kept.from_ns == 2 * 3600 * 1_000_000_000
    (facts,) = events_of(machine)
    assert facts["activated_by"] == "on-call"
    assert facts["ticket"] == "INC-7"
    assert facts["ended"] is False


def test_the_writer_is_gone_when_the_command_is(machine: Path) -> None:
    run("activate", "bg-support-outage", *WISH)

    reader = SegmentReader(machine / "state" / "spool")
    (batch,) = reader.batches(10)
    reader.close()

    assert batch.writer_gone
    assert len(batch.records) == 1


def test_ending_it_is_booked_too(machine: Path) -> None:
    run("activate", "bg-support-outage", *WISH)

    done = run(
        "end", "bg-support-outage", "--reason", "it is back", "--by", "lead", "--format", "json"
    )

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["reason"] == "it is back"
    assert list(ActivationFolder(machine / "state" / "activations").read()) == []
    assert [facts["ended"] for facts in events_of(machine)] == [False, True]


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        pytest.param(("end", "bg-support-outage", "--by", "x"), 1, "not active", id="not active"),
        pytest.param(("activate", "bg-gone", *WISH), 2, "no break-glass entry", id="unknown"),
        pytest.param(
            ("activate", "bg-support-outage", *WISH, "--hours", "9"), 2, "from 1 to 8", id="hours"
        ),
        pytest.param(
            ("activate", "bg-support-outage", *WISH[:4]), 2, "Missing option '--by'", id="nobody"
        ),
        pytest.param(
            ("activate", "bg-support-outage", *WISH, "--by", "jane@example.com"),
            2,
            "no e-mail address",
            id="a person",
        ),
        pytest.param(
            ("activate", "bg-support-outage", *WISH, "--proxy", "http://127.0.0.1:1"),
            2,
            "--by is for this machine",
            id="both ways at once",
        ),
        pytest.param(
            ("end", "bg-support-outage", "--proxy", "http://127.0.0.1:1"),
            2,
            "--key-env",
            id="a proxy without a key",
        ),
    ],
)
def test_what_is_not_right_is_said_and_nothing_is_written(
    machine: Path, arguments: tuple[str, ...], code: int, part: str
) -> None:
    done = run(*arguments)

    assert done.exit_code == code
    assert part in done.stderr
    assert list(ActivationFolder(machine / "state" / "activations").read()) == []


def test_it_is_active_once(machine: Path) -> None:
    run("activate", "bg-support-outage", *WISH)

    done = run("activate", "bg-support-outage", *WISH)

    assert done.exit_code == 1
    assert "is active until" in done.stderr
    assert len(events_of(machine)) == 1


def test_a_state_folder_that_no_proxy_has_is_not_made(machine: Path) -> None:
    done = run("activate", "bg-support-outage", *WISH, "--state", str(machine / "elsewhere"))

    assert done.exit_code == 3
    assert "no proxy would see" in done.stderr
    assert not (machine / "elsewhere").exists()


def test_policies_that_cannot_be_read_are_a_finding(machine: Path) -> None:
    (machine / "policies" / "roles" / "data.yaml").write_text("holders: no\n")

    done = run("activate", "bg-support-outage", *WISH)

    assert done.exit_code == 1
    assert "roles/data.yaml:1" in done.stderr


def test_a_proxy_that_runs_other_policies_is_mentioned(machine: Path) -> None:
    (machine / "state" / "gates").mkdir()
    gates = machine / "state" / "gates"
    (gates / "one.json").write_text('{"policy_revision": "sha256:other"}')
    (gates / "two.json").write_text("half a fi")

    done = run("activate", "bg-support-outage", *WISH)

    assert done.exit_code == 0
    assert "runs the policies' revision sha256:other" in done.stderr


def test_a_proxy_that_cannot_be_reached_is_not_taken_for_a_refusal(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHT_KEY", "sk-night")

    done = run(
        "activate", "bg-support-outage", *WISH[:4], "--proxy", "http://127.0.0.1:1",
        "--proxy", "not a url", "--key-env", "NIGHT_KEY", "--format", "json",
    )  # fmt: skip

    assert done.exit_code == 3
    assert [answer["status"] for answer in json.loads(done.stdout)] == [None, None]
    assert "cannot be asked" in done.stderr
    assert "sk-night" not in done.output
