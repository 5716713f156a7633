"""`tallygate rollout` over a ledger that the real line, spool and drain have written."""

from __future__ import annotations

import csv
import io
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from click.testing import CliRunner, Result

from fakes.governed_calls import GovernedCalls, governed_calls
from tallygate.adapters.files.starter import starter_policies
from tallygate.adapters.files.strict_yaml import read_yaml
from tallygate.cli import main
from tallygate.domain.kernel.instants import ns_from_text
from tallygate.domain.ledger.events import Status, UsageSource

NOW: Final = "2026-11-21T12:00:00Z"
DAY_NS: Final = 86_400 * 1_000_000_000
SEARCH: Final = {
    "owner_team": "team-search",
    "service": "knowledge-search",
    "environment": "prod",
    "feature": "semantic-search",
    "workflow_id": "answers",
    "user_id_hash": "hk1_" + "b" * 32,
}
BATCH: Final = {
    "owner_team": "team-support",
    "service": "batch-summaries",
    "environment": "prod",
    "workflow_id": "nightly",
    "initiator": "job:nightly-digest",
}
GATES: Final = """\
      min_days: 14
      min_calls: 50
      max_missing_field_rate: {overall: "2.0", fields: {workflow_id: "1.0"}}
      max_vocabulary_violation_rate: "1.0"
      max_environment_leakage: "0.1"
      min_token_coverage: "98.0"
      max_unattributed_share: "2.0"
"""


def traffic(calls: GovernedCalls) -> None:
    """
    Fifty calls of each service in twenty days; what is odd about some is written at them.

    batch-summaries: 1 without its initiator, 1 whose usage nobody counted: both 2 %, at the limit.
    knowledge-search: 2 without workflow, 1 with an unknown feature.
    """
    start = ns_from_text(NOW) - 20 * DAY_NS
    uncounted = {"usage": None, "usage_source": UsageSource.NONE, "status": Status.TIMEOUT}
    for number in range(50):
        # Twelve of the days are in the window of a test that looks back for 30.
        at_ns = start + number * 20 * DAY_NS // 50
        batch = {name: value for name, value in BATCH.items() if (number, name) != (7, "initiator")}
        ended = uncounted if number == 9 else {}
        calls.call(at_ns, "litellm-team-support", batch, tries=3 if number == 3 else 1, **ended)
        claims = dict(SEARCH)
        if number in (11, 12):
            del claims["workflow_id"]
        if number == 13:
            claims["feature"] = "semantic-serch"
        calls.call(at_ns, "litellm-team-search", claims)
    # Enforced: refused, and so no spend of anybody.
    support = {"service": "support-assistant", "environment": "prod"}
    calls.call(start, "litellm-team-support", support)
    # Not bound by the registry, so nothing is refused; the ledger keeps no unregistered name.
    calls.call(start, None, {"service": "ghost", "environment": "prod"})
    calls.call(start, None, {})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the folder that each test gets a copy of: policies, and a ledger of their calls."""
    folder = tmp_path_factory.mktemp("rollout")
    policies = folder / "policies"
    shutil.copytree(starter_policies(), policies, ignore=shutil.ignore_patterns("cases"))
    plan = policies / "rollout" / "plan.yaml"
    text = plan.read_text(encoding="utf-8")
    shipped = text[text.index("      min_days") : text.index("  # Days 31")]
    text = text.replace(shipped, GATES).replace('"2026-12-01', '"2026-11-21')
    plan.write_text(text, encoding="utf-8")
    with governed_calls(policies, folder / ".tallygate") as calls:
        traffic(calls)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path / "here"


@pytest.fixture
def run(folder: Path) -> Callable[..., Result]:
    assert folder.is_dir()
    return lambda *words: CliRunner().invoke(main, ["rollout", *words, "--as-of", NOW])


def status(run: Callable[..., Result], *words: str) -> dict[str, Any]:
    result = run("status", "--since", "30d", "--format", "json", *words)
    assert result.exit_code in (0, 1), result.output
    document: dict[str, Any] = orjson.loads(result.stdout)
    return document


def service(document: dict[str, Any], name: str | None) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in document["services"] if one["service"] == name)
    return found


def test_a_service_that_is_only_partly_ready_is_told_what_it_lacks(
    run: Callable[..., Result],
) -> None:
    result = run("status", "--since", "30d", "--service", "knowledge-search")

    assert result.exit_code == 1
    lines = [line.strip() for line in result.stdout.splitlines()]
    head = lines.index("knowledge-search is not ready to leave observe (6 of 9 gates passed):")
    assert lines[head + 1 : head + 4] == [
        "missing_field_rate 4.0 % of 2.0 % allowed: workflow_id 4.0 %",
        "missing_field_rate.workflow_id 4.0 % of 1.0 % allowed",
        "vocabulary_violation_rate 2.0 % of 1.0 % allowed: feature 2.0 %",
    ]


def test_a_service_exactly_at_its_limits_is_ready(run: Callable[..., Result]) -> None:
    result = run("status", "--since", "30d", "--service", "batch-summaries")

    assert result.exit_code == 0, result.output
    found = service(status(run), "batch-summaries")
    assert found["readiness"] == "ready"
    # One of fifty lacks its initiator, one has no usage; both are 2 %.
    assert (found["missing_field_rate"], found["token_coverage"]) == ("2", "98")
    assert found["missing_by_field"] == {"initiator": {"calls": 1, "rate": "2"}}


def test_one_call_more_or_less_is_not_at_the_limit_any_more(
    run: Callable[..., Result],
) -> None:
    # The first day has 2.5 calls and none of the odd ones: 1 of 48 is more than 2 %.
    since = "2026-11-02T14:00:00Z"
    result = run("status", "--since", since, "--service", "batch-summaries")

    assert result.exit_code == 1
    assert "calls 47 of 50 needed" in result.stdout
    assert "missing_field_rate 2.1 % of 2.0 % allowed" in result.stdout
    assert "token_coverage 97.9 % of 98.0 % needed" in result.stdout


def test_every_number_is_what_the_ledger_says(run: Callable[..., Result], folder: Path) -> None:
    document = status(run)

    with closing(sqlite3.connect(folder / ".tallygate" / "ledger.db")) as ledger:
        for one in document["services"]:
            calls, e12 = ledger.execute(
                "SELECT COUNT(DISTINCT call_id), COALESCE(SUM(cost_e12), 0) FROM events"
                " WHERE service IS ?",
                (one["service"],),
            ).fetchone()
            assert one["calls"] == calls
            assert float(one["cost"]) == pytest.approx(e12 / 10**12)
    search = service(document, "knowledge-search")
    assert (search["calls"], search["unpriced_events"]) == (50, 0)
    assert search["would_refuse"]["calls"] == 3
    assert search["would_refuse"]["by_violation"] == [
        {"code": "ownership_missing", "field": "workflow_id", **priced(2, "0.0302")},
        {"code": "ownership_unknown", "field": "feature", **priced(1, "0.0151")},
    ]
    assert [one["owner_team"] for one in search["would_refuse"]["by_payer"]] == ["team-search"]
    batch = service(document, "batch-summaries")
    assert (batch["calls"], batch["unpriced_events"]) == (50, 1)


def test_refused_calls_and_strangers_have_their_place(run: Callable[..., Result]) -> None:
    document = status(run)

    support = service(document, "support-assistant")
    assert (support["calls"], support["refused_calls"], support["cost"]) == (1, 1, "0")
    assert support["would_refuse"]["calls"] == 0
    assert support["modes"]["prod"]["mode"] == "enforce"
    nobody = service(document, None)
    assert (nobody["kind"], nobody["calls"]) == ("unnamed", 2)
    assert nobody["vocabulary_by_field"] == {"service": 1}  # the other one named none at all
    assert nobody["unattributed"]["calls_share"] == "100"
    assert document["by_owner"]["team-search"]["missing_calls"] == 2
    assert document["total"]["calls"] == 103


def test_nothing_that_matters_is_cut_at_a_hundred_columns(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")

    shown = run("status", "--since", "30d").stdout

    assert "…" not in shown
    for word in (
        "knowledge-search",
        "batch-summaries",
        "observe, day 20",
        "not ready",
        "known service",
    ):
        assert word in shown
    assert "Reconciliation drift: no statements yet." in shown


def test_csv_and_markdown_say_the_same(run: Callable[..., Result]) -> None:
    rows = list(
        csv.DictReader(io.StringIO(run("status", "--since", "30d", "--format", "csv").stdout))
    )
    text = run("status", "--since", "30d", "--format", "markdown").stdout

    search = next(row for row in rows if row["service"] == "knowledge-search")
    assert (search["calls"], search["missing_field_rate"], search["readiness"]) == (
        "50",
        "4",
        "not_ready",
    )
    assert search["failing_gates"].split() == [
        "missing_field_rate",
        "missing_field_rate.workflow_id",
        "vocabulary_violation_rate",
    ]
    assert "| knowledge-search | observe, 20.0 days | prod report_only | 50 |" in text
    assert "- missing_field_rate 4.0 % of 2.0 % allowed: workflow_id 4.0 %" in text
    assert "- `ownership_unknown` feature: 1 calls" in text


def test_one_environment_can_be_looked_at(run: Callable[..., Result]) -> None:
    assert service(status(run, "--environment", "staging"), "knowledge-search")["calls"] == 0
    assert service(status(run, "--environment", "prod"), "knowledge-search")["calls"] == 50


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["status", "--service", "nobody"], 2, "neither in the registry nor in the ledger"),
        (["status", "--since", "2027-01-01"], 2, "the window is empty"),
        (["status", "--ledger", "sqlite:///none.db"], 3, "Name another with --ledger"),
        (["promote", "nobody"], 2, "nobody is not in the registry"),
        (["promote", "batch-summaries", "--environment", "qa"], 2, "qa is not in the registry"),
        (["promote", "batch-summaries", "--force"], 2, "--force needs --reason"),
        (["promote", "batch-summaries", "--reason", "so"], 2, "--reason goes with --force"),
        (["promote", "billing-bot"], 2, "nothing comes after it"),
        (["promote", "support-assistant", "--to", "pilot"], 2, "no way back"),
    ],
)
def test_wrong_use_and_what_cannot_be_told_have_their_exit_codes(
    run: Callable[..., Result], words: list[str], code: int, said: str
) -> None:
    result = run(*words)

    assert result.exit_code == code, result.output
    assert said in result.stderr.replace("\n", " ")


def priced(calls: int, cost: str) -> dict[str, Any]:
    """At $2.5, $0.25 and $15 a million: 2,200 in, 1,200 from cache, 620 out are $0.0151."""
    return {"calls": calls, "cost": cost, "unpriced_events": 0}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted((folder / "policies").rglob("*"))
        if path.is_file()
    }


def test_a_service_that_is_not_ready_is_not_promoted(
    run: Callable[..., Result], folder: Path
) -> None:
    before = contents(folder)

    result = run("promote", "knowledge-search", "--since", "30d")

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "knowledge-search is not ready for pilot:" in result.stderr
    assert "missing_field_rate 4.0 % of 2.0 % allowed: workflow_id 4.0 %" in result.stderr
    assert contents(folder) == before


def test_a_ready_service_is_promoted_by_the_lines_that_were_meant(
    run: Callable[..., Result], folder: Path
) -> None:
    before = contents(folder)

    result = run("promote", "batch-summaries", "--since", "30d", "--environment", "prod")

    assert result.exit_code == 0, result.output
    assert [line for line in result.stdout.splitlines() if line[0] in "+-"] == [
        "--- a/policies/registry/data.yaml",
        "+++ b/policies/registry/data.yaml",
        "-    modes: {default: report_only}",
        "+    modes: {default: report_only, prod: enforce}",
        "--- a/policies/rollout/plan.yaml",
        "+++ b/policies/rollout/plan.yaml",
        "-    services: [knowledge-search, batch-summaries]",
        "+    services: [knowledge-search]",
        "-    services: [support-assistant, platform-gateway, query-rewriter]",
        "+    services: [support-assistant, platform-gateway, query-rewriter, batch-summaries]",
    ]
    changed = {name for name, text in contents(folder).items() if text != before[name]}
    assert changed == {"policies/registry/data.yaml", "policies/rollout/plan.yaml"}
    assert CliRunner().invoke(main, ["policy", "check"]).exit_code == 0
    now = service(status(run), "batch-summaries")
    assert (now["stage"], now["modes"]["prod"]["mode"]) == ("pilot", "enforce")


def test_the_diff_applies_with_git(run: Callable[..., Result], folder: Path) -> None:
    shown = run("promote", "batch-summaries", "--since", "30d", "--dry-run").stdout
    before = contents(folder)

    subprocess.run(["git", "apply", "-"], input=shown, text=True, check=True, cwd=folder)
    applied = contents(folder)
    for name, text in before.items():
        (folder / name).write_bytes(text)
    run("promote", "batch-summaries", "--since", "30d")

    assert contents(folder) == applied != before


def test_a_dated_promotion_is_a_step_of_the_schedule(
    run: Callable[..., Result], folder: Path
) -> None:
    result = run("promote", "batch-summaries", "--since", "30d", "--from", "2026-12-01")

    assert result.exit_code == 0, result.output
    registry = read_yaml(folder / "policies" / "registry" / "data.yaml").value
    assert registry["services"]["batch-summaries"]["schedule"] == [
        {"from": "2026-12-01T00:00:00Z", "mode": "enforce"}
    ]


def test_a_forced_promotion_keeps_its_reason_at_the_entries(
    run: Callable[..., Result], folder: Path
) -> None:
    words = ["--force", "--reason", "The release of December mends both."]

    result = run("promote", "knowledge-search", "--since", "30d", "--environment", "prod", *words)

    assert result.exit_code == 0, result.output
    for name in ("registry/data.yaml", "rollout/plan.yaml"):
        text = " ".join((folder / "policies" / name).read_text().replace("#", "").split())
        assert (
            "knowledge-search to pilot on 2026-11-21, forced past missing_field_rate, "
            "missing_field_rate.workflow_id, vocabulary_violation_rate: "
            "The release of December mends both." in text
        )


def test_a_plan_is_made_from_what_the_ledger_has_seen(
    run: Callable[..., Result], folder: Path
) -> None:
    plan = folder / "policies" / "rollout" / "plan.yaml"
    kept = plan.read_text()

    refused = run("plan", "-o", str(plan))
    plan.unlink()
    without = run("status", "--since", "30d")
    written = run("plan", "-o", str(plan))

    assert (refused.exit_code, "is there already" in refused.stderr) == (2, True)
    assert without.exit_code == 0
    assert "There is no rollout plan" in without.stdout
    assert written.exit_code == 0, written.output
    stages = read_yaml(plan).value["stages"]
    assert stages["observe"]["services"] == ["knowledge-search", "batch-summaries"]
    assert sorted(stages["pilot"]["services"]) == [
        "platform-gateway",
        "query-rewriter",
        "support-assistant",
    ]
    assert sorted(stages["enforce"]["services"]) == ["billing-bot", "research-notebook"]
    assert stages["observe"]["starts_at"] == "2026-11-21T00:00:00Z"
    assert kept.splitlines()[0] == plan.read_text().splitlines()[0]
    assert CliRunner().invoke(main, ["policy", "check"]).exit_code == 0


def test_without_a_plan_nothing_is_promoted(run: Callable[..., Result], folder: Path) -> None:
    (folder / "policies" / "rollout" / "plan.yaml").unlink()

    result = run("promote", "batch-summaries")

    assert result.exit_code == 2
    assert "tallygate rollout plan -o" in result.stderr.replace("\n", " ")


def test_a_plan_with_a_fault_is_named_with_its_line(
    run: Callable[..., Result], folder: Path
) -> None:
    plan = folder / "policies" / "rollout" / "plan.yaml"
    plan.write_text(plan.read_text().replace("knowledge-search,", "knowledge-serch,"))

    for words in (["rollout", "status"], ["policy", "check"]):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 1
        assert "rollout/plan.yaml:16:16: " in result.output
        assert "Did you mean knowledge-search?" in result.output
