"""
How fast a change of the policies is replayed: `python bench/impact.py [N [INPUTS [URL]]]`.

Makes a git repository with the policies of this checkout, and a ledger of N recorded calls (a
million by default) with about INPUTS distinct inputs (200 by default) in a new SQLite file, or in
the empty database at URL (a postgresql:// address): one call of each input goes through the gate's
own line, spool and drain, the rest are copies with ids of their own, made in SQL within the
database's own rules and spread over 30 days. Then a pull request enforces a service, and the
command `tallygate policy impact` is run as a CI would run it, in a process of its own. Prints the
seconds from its start to its end, and what they found.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from fakes.git_repositories import commit_all, new_repository  # noqa: E402 - after the path
from fakes.traffic import traffic_into  # noqa: E402 - as above
from tallygate.adapters.stores.opening import ledger_at  # noqa: E402 - as above
from tallygate.adapters.stores.tables import ASSIGNED_BY_STORE, EVENTS  # noqa: E402 - as above

NS = 10**9
DAYS = 30
OWN = ("event_id", "call_id", "decision_id", "occurred_at_ns", "call_started_at_ns", "call_bucket")
FEATURES = ("semantic-search", "query-rewrite", "experiment", "evaluation", None)
TEAMS = {"knowledge-search": "search", "billing-bot": "finance", "support-assistant": "support"}
PULL_REQUEST = (
    "    owner_team: team-search\n    modes: {default: report_only}",
    "    owner_team: team-search\n    modes: {default: report_only, prod: enforce}",
)


def claims_of(number):
    """Distinct inputs: a workflow of its own each, and every fifth without what prod asks for."""
    service, team = list(TEAMS.items())[number % len(TEAMS)]
    claims = {
        "owner_team": f"team-{team}",
        "service": service,
        "environment": ("prod", "staging")[number % 2],
        "tenant_id_hash": f"hk1_{number:032x}",
    }
    if number % 5:
        claims["workflow_id"] = f"workflow-{number}"
    if feature := FEATURES[number // 5 % len(FEATURES)]:
        claims["feature"] = feature
    return claims, f"litellm-team-{team}"


def recorded(folder, url, policies, inputs):
    begin_ns = time.time_ns() - DAYS * 86_400 * NS + 3_600 * NS
    with traffic_into(url, policies, folder / "spool", begin_ns) as traffic:
        for number in range(inputs):
            traffic.call(*claims_of(number))


def copied(url, count):
    """Fill the ledger up with copies; ids and times are told apart by their number."""
    ledger = ledger_at(url)
    ledger.prepare()
    names = [c.name for c in EVENTS.columns if c.name not in ASSIGNED_BY_STORE | set(OWN)]
    with ledger.writing() as connection:
        first = connection.exec_driver_sql("SELECT count(*), max(seq) FROM events").one()
    seeds, step_ns = first[0], (DAYS * 86_400 - 7_200) * NS // count
    sqlite = url.startswith("sqlite")
    for block in range(1, -(-count // seeds)):
        size = min(seeds, count - block * seeds)
        number = f"({block}::bigint * 1000000 + seq)" if not sqlite else f"({block}*1000000+seq)"
        tail = f"printf('%012x', {number})" if sqlite else f"lpad(to_hex({number}), 12, '0')"
        later = f"{block * seeds} * {step_ns}" if sqlite else f"{block * seeds * step_ns}::bigint"
        with ledger.writing() as connection:
            text = (
                f"INSERT INTO events ({', '.join((*OWN, *names))})"
                f" SELECT substr(event_id, 1, 24) || {tail}, 'call-' || {tail},"
                f" substr(decision_id, 1, 24) || {tail}, occurred_at_ns + {later},"
                f" call_started_at_ns + {later}, {number} % 100, {', '.join(names)}"
                f" FROM events WHERE seq <= {size}"
            )
            connection.exec_driver_sql(text if sqlite else text.replace("%", "%%"))
        if block % 500 == 0:
            print(f"  {block * seeds:,} booked", file=sys.stderr, flush=True)
    ledger.close()


def run(policies, url, *words):
    command = (sys.executable, "-m", "tallygate", "policy", "impact", "--policies", str(policies))
    started, spent = time.perf_counter(), os.times()
    answer = subprocess.run(
        (*command, "--base", "main", "--ledger", url, "--format", "json", *words),
        check=False,
        capture_output=True,
        text=True,
    )
    seconds, now = time.perf_counter() - started, os.times()
    if answer.returncode not in (0, 1):
        sys.exit(answer.stderr)
    processor_s = now.children_user + now.children_system
    processor_s -= spent.children_user + spent.children_system
    return json.loads(answer.stdout), seconds, processor_s


def report(what, document, seconds, processor_s):
    replayed, refused = document["replayed"], document["totals"]["newly_refused"]
    print(
        f"{what:30} {seconds:6.1f} s  ({processor_s:.1f} s of processor time)  "
        f"{replayed['calls']:,} calls of {replayed['distinct_inputs']:,} inputs, "
        f"{refused['calls']:,} newly refused, ${refused['cost_usd']}",
        flush=True,
    )


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    inputs = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = sys.argv[3] if len(sys.argv) > 3 else f"sqlite:///{folder}/ledger.db"
        repository = new_repository(folder / "repository")
        policies = shutil.copytree(ROOT / "policies", repository / "policies")
        commit_all(repository, "The policies in force")
        print(f"load average before: {os.getloadavg()[0]:.1f}")
        started = time.perf_counter()
        recorded(folder, url, policies, inputs)
        copied(url, count)
        print(f"booked in {time.perf_counter() - started:.0f} s")
        registry = policies / "registry" / "data.yaml"
        registry.write_text(registry.read_text().replace(*PULL_REQUEST))
        report("as of now", *run(policies, url))
        report("each at its own time", *run(policies, url, "--at", "recorded"))


if __name__ == "__main__":
    main()
