"""A pull request that enforces a service whose recorded traffic is only partly ready."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fakes.entries import NOON_NS, a_call, a_decision, a_price, an_attempt, an_event, event_id
from fakes.git_repositories import commit_all, git, new_repository
from fakes.policy_folders import path_without_opa
from fakes.traffic import PROVIDER_OF_NO_BOOK, Traffic, traffic_into
from tallygate.adapters.files.starter import starter_policies
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.application.impact_findings import Impact, Tally
from tallygate.cli import main
from tallygate.cli.policy.impact import is_impact_a_finding
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.domain.ledger.events import Entry, Event, EventKind

HOUR_NS = 3_600 * 10**9
SINCE, UNTIL = text_from_ns(NOON_NS - HOUR_NS), text_from_ns(NOON_NS + HOUR_NS)
AT_NOON = ("--since", SINCE, "--until", UNTIL, "--at", text_from_ns(NOON_NS))
SCHEDULE = """\
    schedule:
      - {from: "2026-12-01T00:00:00Z", mode: enforce, environment: prod, percent: 25}
      - {from: "2027-01-15T00:00:00Z", mode: enforce, environment: prod}
"""
WATCHING = "    owner_team: team-search\n    modes: {default: report_only}\n"
ENFORCED = "    owner_team: team-search\n    modes: {default: report_only, prod: enforce}\n"
SEARCH = {
    "owner_team": "team-search",
    "service": "knowledge-search",
    "environment": "prod",
    "workflow_id": "nightly-index",
    "feature": "semantic-search",
    "tenant_id_hash": "hk1_" + "a" * 32,
}
BILLING = SEARCH | {
    "owner_team": "team-finance",
    "service": "billing-bot",
    "feature": "invoice-matching",
}


def without(claims: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in claims.items() if name not in names}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a repository with the policies on main, and beside it a ledger of calls under them."""
    folder = tmp_path_factory.mktemp("recorded")
    repository = new_repository(folder / "repository")
    shutil.copytree(starter_policies(), repository / "policies")
    registry = repository / "policies" / "registry" / "data.yaml"
    text = registry.read_text()
    assert SCHEDULE in text
    assert WATCHING in text
    registry.write_text(text.replace(SCHEDULE, ""))
    commit_all(repository, "The policies in force")
    with traffic_into(
        f"sqlite:///{folder / 'ledger.db'}", repository / "policies", folder / "spool", NOON_NS
    ) as traffic:
        make_calls(traffic)
    return folder


def make_calls(traffic: Traffic) -> None:
    team = "litellm-team-search"
    for number in range(30):
        traffic.call(SEARCH | {"tenant_id_hash": f"hk1_{number:032x}"}, team)
    for number in range(12):
        traffic.call(without(SEARCH, "workflow_id"), team, model=f"not-in-a-group-{number % 3}")
    for _ in range(5):
        traffic.call(without(SEARCH, "workflow_id", "feature"), team)
    for _ in range(3):
        traffic.call(SEARCH | {"feature": "no-such-feature"}, team, provider=PROVIDER_OF_NO_BOOK)
    for _ in range(7):
        traffic.call(without(SEARCH, "workflow_id") | {"environment": "staging"}, team)
    for _ in range(2):
        traffic.call(SEARCH, team, route="unknown")
    for number in range(20):
        claims = BILLING if number % 2 else without(BILLING, "workflow_id")
        traffic.call(claims, "litellm-team-finance")


@pytest.fixture
def repository(recorded: Path, tmp_path: Path) -> Path:
    """Copy the repository, for a change of its own."""
    copy = tmp_path / "repository"
    shutil.copytree(recorded / "repository", copy)
    return copy


@pytest.fixture
def run(recorded: Path, repository: Path) -> Callable[..., Result]:
    def run(*words: str) -> Result:
        fixed = ["policy", "impact", "--policies", str(repository / "policies")]
        ledger = [] if "--inputs" in words else ["--ledger", f"sqlite:///{recorded / 'ledger.db'}"]
        return CliRunner().invoke(main, [*fixed, *ledger, *words], env={"COLUMNS": "200"})

    return run


def change_registry(repository: Path, old: str, new: str) -> None:
    registry = repository / "policies" / "registry" / "data.yaml"
    text = registry.read_text()
    assert old in text
    registry.write_text(text.replace(old, new, 1))


def document_of(result: Result) -> dict[str, Any]:
    assert result.exit_code in (0, 1), result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def counted(recorded: Path, where: str) -> tuple[int, Decimal, int]:
    """Count calls, their cost and their unpriced events from the ledger's own rows."""
    database = sqlite3.connect(f"file:{recorded / 'ledger.db'}?mode=ro", uri=True)
    rows = database.execute(
        f"SELECT kind, call_id, call_count, cost_e12, price_status FROM events WHERE {where}"
    ).fetchall()
    database.close()
    calls = len({row[1] for row in rows if row[0] == "attempt"})
    calls += sum(row[2] for row in rows if row[0] == "refusal")
    cost = Decimal(sum(row[3] for row in rows if row[3] is not None)).scaleb(-12)
    return calls, cost, sum(row[4] == "unpriced" for row in rows)


def test_newly_refused_are_exactly_the_calls_that_the_ledger_has_as_not_ready(
    run: Callable[..., Result], repository: Path, recorded: Path
) -> None:
    change_registry(repository, WATCHING, ENFORCED)
    git(repository, "checkout", "--quiet", "-b", "enforce-search")
    commit_all(repository, "Enforce knowledge-search in prod")

    result = run("--base", "main", "--head", "enforce-search", *AT_NOON, "--format", "json")

    document = document_of(result)
    not_ready = counted(
        recorded,
        "service = 'knowledge-search' AND environment = 'prod'"
        " AND (violations <> '[]' OR route = 'unknown')",
    )
    refused = document["totals"]["newly_refused"]
    assert result.exit_code == 1
    assert (refused["calls"], Decimal(refused["cost_usd"]), refused["unpriced_events"]) == not_ready
    assert not_ready[0] == 12 + 5 + 3 + 2
    assert not_ready[1] > 0
    assert not_ready[2] == 12 + 3  # their models, or their provider, are in no price list
    by_reason = {
        tuple((v["code"], v["field"]) for v in row["violations"]): row["calls"]
        for row in document["changes"]
        if row["kind"] == "newly_refused"
    }
    assert by_reason == {
        (("ownership_missing", "workflow_id"),): 12,
        (("ownership_missing", "feature"), ("ownership_missing", "workflow_id")): 5,
        (("ownership_unknown", "feature"),): 3,
        (("route_unknown", "route"),): 2,
    }


def test_the_rest_of_the_service_changes_its_mode_and_nobody_else_anything(
    run: Callable[..., Result], repository: Path, recorded: Path
) -> None:
    change_registry(repository, WATCHING, ENFORCED)

    document = document_of(run("--base", "main", *AT_NOON, "--format", "json"))

    totals = {kind: tally["calls"] for kind, tally in document["totals"].items() if tally["calls"]}
    assert totals == {"newly_refused": 22, "mode_only": 30}
    assert {row["service"] for row in document["changes"]} == {"knowledge-search"}
    assert {row["calls_of_service"] for row in document["changes"]} == {59}
    everything = counted(recorded, "1 = 1")
    replayed = document["replayed"]
    assert (replayed["calls"], Decimal(replayed["cost_usd"])) == everything[:2]
    assert replayed["calls"] == 79
    assert replayed["refused_when_recorded"] == 10
    assert replayed["distinct_inputs"] < 15
    assert document["not_replayed"]["calls"] == 0
    assert document["unlike_record"]["calls"] == 0


def test_a_canary_refuses_its_share_of_the_calls_that_are_not_ready(
    run: Callable[..., Result], repository: Path, recorded: Path
) -> None:
    change_registry(repository, WATCHING, ENFORCED + "    canary: {prod: 40}\n")

    document = document_of(run("--base", "main", *AT_NOON, "--format", "json"))

    not_ready = (
        "service = 'knowledge-search' AND environment = 'prod'"
        " AND (violations <> '[]' OR route = 'unknown')"
    )
    in_share, cost, _ = counted(recorded, f"{not_ready} AND call_bucket < 40")
    refused = document["totals"]["newly_refused"]
    assert (refused["calls"], Decimal(refused["cost_usd"])) == (in_share, cost)
    assert 0 < in_share < 22
    assert (
        document["totals"]["mode_only"]["calls"]
        == counted(
            recorded,
            "service = 'knowledge-search' AND environment = 'prod' AND call_bucket < 40"
            " AND violations = '[]' AND route <> 'unknown'",
        )[0]
    )


def test_a_file_of_recorded_calls_says_the_same_as_the_ledger(
    run: Callable[..., Result], repository: Path, recorded: Path, tmp_path: Path
) -> None:
    change_registry(repository, WATCHING, ENFORCED)
    file = tmp_path / "inputs.jsonl.zst"
    ledger = f"sqlite:///{recorded / 'ledger.db'}"
    exported = CliRunner().invoke(
        main,
        ["policy", "record", "--ledger", ledger, "-o", str(file), *AT_NOON[:4]],
    )
    assert exported.exit_code == 0, exported.output

    at = AT_NOON[4:]
    from_file = document_of(run("--base", "main", *at, "--inputs", str(file), "--format", "json"))
    from_ledger = document_of(run("--base", "main", *AT_NOON, "--format", "json"))

    assert from_file["window"]["since"] == SINCE
    assert from_file["window"]["until"] == UNTIL
    for name in ("replayed", "totals", "refused_later", "unlike_record", "not_replayed"):
        assert from_file[name] == from_ledger[name]
    told = [{**row, "sample_decision_ids": []} for row in from_file["changes"]]
    assert told == [{**row, "sample_decision_ids": []} for row in from_ledger["changes"]]


def test_samples_are_decisions_that_the_ledger_has(
    run: Callable[..., Result], repository: Path, recorded: Path
) -> None:
    change_registry(repository, WATCHING, ENFORCED)

    document = document_of(run("--base", "main", *AT_NOON, "--format", "json"))

    samples = [sample for row in document["changes"] for sample in row["sample_decision_ids"]]
    named = ", ".join(f"'{sample}'" for sample in samples)
    calls, _, _ = counted(recorded, f"decision_id IN ({named}) AND service = 'knowledge-search'")
    assert calls == len(set(samples)) > 5


def test_what_was_refused_and_would_pass_has_no_cost_to_show(
    run: Callable[..., Result], repository: Path
) -> None:
    change_registry(
        repository,
        "    owner_team: team-finance\n    modes: {default: enforce}",
        "    owner_team: team-finance\n    modes: {default: report_only}",
    )

    result = run("--base", "main", *AT_NOON)

    assert result.exit_code == 0, result.output
    assert "No call would newly be refused; 20 of 79 replayed calls" in result.stdout
    assert "cost unknown (refused when recorded)" in result.stdout


def test_a_schedule_that_is_merged_in_advance_is_a_finding_by_its_date(
    run: Callable[..., Result], repository: Path
) -> None:
    step = (
        '    schedule:\n      - {from: "2099-12-01T00:00:00Z", mode: enforce, environment: prod}\n'
    )
    change_registry(repository, WATCHING, WATCHING + step)

    result = run("--base", "main", *AT_NOON, "--format", "json")

    document = document_of(result)
    assert result.exit_code == 1
    assert document["changes"] == []
    assert [(each["from"], each["calls"]) for each in document["refused_later"]] == [
        ("2099-12-01T00:00:00Z", 22)
    ]
    refused = [date for date in document["dates_ahead"] if date["kind"] == "newly_refused"]
    assert [(date["at"], date["origin"], date["calls"]) for date in refused] == [
        ("2099-12-01T00:00:00Z", "new", 22)
    ]


def test_a_step_in_the_past_counts_from_its_date_where_each_call_has_its_own_time(
    run: Callable[..., Result], repository: Path, recorded: Path
) -> None:
    from_ns = NOON_NS + 35 * 10**9
    step = (
        f'    schedule:\n      - {{from: "{text_from_ns(from_ns)}", mode: enforce,'
        " environment: prod}\n"
    )
    change_registry(repository, WATCHING, WATCHING + step)
    window = ("--since", SINCE, "--until", UNTIL)

    own_time = document_of(run("--base", "main", *window, "--at", "recorded", "--format", "json"))
    as_of_end = document_of(run("--base", "main", *window, "--at", UNTIL, "--format", "json"))

    after, _, _ = counted(
        recorded,
        "service = 'knowledge-search' AND environment = 'prod'"
        f" AND (violations <> '[]' OR route = 'unknown') AND call_started_at_ns >= {from_ns}",
    )
    assert own_time["totals"]["newly_refused"]["calls"] == after
    assert 0 < after < 22 == as_of_end["totals"]["newly_refused"]["calls"]


def test_a_field_that_is_new_in_the_contract_is_a_caveat_with_its_line(
    run: Callable[..., Result], repository: Path
) -> None:
    contract = repository / "policies" / "contract" / "data.yaml"
    text = contract.read_text()
    place = text.index("  workflow_id:\n    kind: pattern")
    contract.write_text(text[:place] + "  project: {kind: vocabulary}\n" + text[place:])
    line = text[:place].count("\n") + 1

    result = run("--base", "main", *AT_NOON)

    told = " ".join(result.stdout.split())
    assert f"{contract}:{line}:3: fields.project: project is new" in told


def test_the_comment_is_fit_for_a_pull_request(
    run: Callable[..., Result], repository: Path
) -> None:
    change_registry(repository, WATCHING, ENFORCED)

    text = run("--base", "main", *AT_NOON, "--format", "markdown").stdout

    assert text.startswith("<!-- tallygate policy impact -->\n### Policy impact: 🛑 22 of 79 ")
    assert "|`knowledge-search`|`prod`|`team-search`|`ownership_missing` `workflow_id`" in text


@pytest.mark.parametrize(("choice", "code"), [("refused", 0), ("any", 1), ("never", 0)])
def test_what_is_a_finding_can_be_chosen(
    run: Callable[..., Result], repository: Path, choice: str, code: int
) -> None:
    change_registry(
        repository,
        "    owner_team: team-finance\n    modes: {default: enforce}",
        "    owner_team: team-finance\n    modes: {default: report_only}",
    )

    assert run("--base", "main", *AT_NOON, "--fail-on", choice).exit_code == code


def test_never_a_finding_holds_for_refusals_too(
    run: Callable[..., Result], repository: Path
) -> None:
    change_registry(repository, WATCHING, ENFORCED)

    assert run("--base", "main", *AT_NOON, "--fail-on", "never").exit_code == 0


def an_attempt_like(recorded: Path, number: int, at_ns: int, where: str) -> Event:
    """One more call of what a line of the ledger was about."""
    database = sqlite3.connect(f"file:{recorded / 'ledger.db'}?mode=ro", uri=True)
    digest, content = database.execute(
        "SELECT input_digest, content FROM events JOIN decision_inputs USING (input_digest)"
        f" WHERE service = 'knowledge-search' AND environment = 'prod' AND {where} LIMIT 1"
    ).fetchone()
    database.close()
    return an_event(
        number,
        call=a_call(call_id=f"call-{number}", started_at_ns=at_ns),
        attempt=an_attempt(opened_at_ns=at_ns),
        decision=a_decision(
            decision_id=event_id(number), input_digest=digest, input=json.loads(content)
        ),
    )


@pytest.fixture
def batch_ended(recorded: Path, tmp_path: Path) -> tuple[str, ...]:
    """Have one call that is ready, and beside it usage of one that is not and came in before."""
    shutil.copy(recorded / "ledger.db", tmp_path / "ledger.db")
    at_ns = NOON_NS + 2 * HOUR_NS
    ready = an_attempt_like(recorded, 9001, at_ns, "violations = '[]' AND route <> 'unknown'")
    before = an_attempt_like(recorded, 9002, NOON_NS, "violations LIKE '%workflow_id%'")
    usage = replace(
        before,
        event_id=event_id(9003),
        kind=EventKind.USAGE,
        attempt=an_attempt(opened_at_ns=at_ns),
    )
    with closing(SqliteLedger(tmp_path / "ledger.db")) as ledger:
        priced = ((ready, "0.5"), (before, "0.25"), (usage, "2"))
        ledger.append([Entry(event, a_price(c, lines=(), usage=None)) for event, c in priced])
    since, until = text_from_ns(NOON_NS + HOUR_NS), text_from_ns(NOON_NS + 3 * HOUR_NS)
    return ("--ledger", f"sqlite:///{tmp_path / 'ledger.db'}", "--since", since, "--until", until)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(ENFORCED, id="now"),
        pytest.param(
            f'{WATCHING}    schedule:\n      - {{from: "2099-12-01T00:00:00Z", mode: enforce,'
            " environment: prod}\n",
            id="by its date",
        ),
    ],
)
def test_usage_of_a_call_from_before_the_window_is_no_finding(
    run: Callable[..., Result], repository: Path, batch_ended: tuple[str, ...], change: str
) -> None:
    change_registry(repository, WATCHING, change)

    result = run("--base", "main", *batch_ended, "--format", "json")

    document = document_of(result)
    assert result.exit_code == 0
    assert document["replayed"]["calls"] == document["replayed"]["distinct_inputs"] == 1
    assert document["replayed"]["cost_usd"] == "2.5"
    assert {each["calls"] for each in document["changes"]} <= {1}
    assert document["totals"]["newly_refused"]["cost_usd"] == "0"
    assert document["refused_later"] == []
    assert "newly_refused" not in {date["kind"] for date in document["dates_ahead"]}


@pytest.mark.parametrize("fail_on", ["refused", "any"])
def test_a_finding_takes_a_call(fail_on: str) -> None:
    at = "2099-12-01T00:00:00Z"

    assert not is_impact_a_finding(Impact(later={at: Tally(cost=Decimal(5))}), fail_on)
    assert is_impact_a_finding(Impact(later={at: Tally(calls=1)}), fail_on)


def test_without_a_recorded_call_it_could_not_tell(run: Callable[..., Result]) -> None:
    result = run("--base", "main", "--since", "2020-01-01", "--until", "2020-02-01")

    assert result.exit_code == 3
    assert "Could not tell: no call was recorded in this time." in result.stdout


def test_an_unknown_revision_is_wrong_use(run: Callable[..., Result]) -> None:
    result = run("--base", "mian", *AT_NOON)

    assert result.exit_code == 2
    assert "'mian' is no commit that git knows here. Did you mean main?" in result.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--at", "yesterday"), "'yesterday' is no time"),
        (("--since", "2020-02-01", "--until", "2020-01-01"), "--until must be later than --since."),
        (("--inputs", __file__, "--ledger", "sqlite:///x"), "not from both"),
    ],
)
def test_what_does_not_fit_together_is_wrong_use(
    run: Callable[..., Result], words: tuple[str, ...], told: str
) -> None:
    result = run("--base", "main", *words)

    assert result.exit_code == 2
    assert told in result.stderr


def test_policies_that_cannot_be_read_leave_the_question_open(
    run: Callable[..., Result], repository: Path
) -> None:
    change_registry(repository, "prod: enforce", "prod: enforce_it")
    commit_all(repository, "A mistake")

    result = run("--base", "HEAD~1", "--head", "HEAD", *AT_NOON)

    assert result.exit_code == 3
    assert "HEAD:policies/registry/data.yaml:" in result.stderr
    assert "the policies cannot be compared" in result.stderr


def test_rego_that_was_not_compiled_is_named_with_what_mends_it(
    run: Callable[..., Result], repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "policies" / "policy.wasm").unlink()
    commit_all(repository, "Without the compiled policy")
    git_only = path_without_opa(tmp_path / "bin")
    (tmp_path / "bin" / "git").symlink_to(shutil.which("git") or "")
    monkeypatch.setenv("PATH", git_only)

    result = run("--base", "HEAD", *AT_NOON)

    assert result.exit_code == 3
    assert "HEAD:policies: policy.wasm is missing" in result.stderr
    assert "opa 1.21.3 or newer is on the PATH" in result.stderr
