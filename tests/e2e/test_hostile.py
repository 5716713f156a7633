"""
Hostile requests on a gated proxy and on a bare one: nothing breaks, leaks or is billed to others.

Method: requests made from a seed go to both proxies over raw sockets; then the gated proxy's books
are compared with what its stand-in received. `HOSTILE_SEED` and `HOSTILE_REQUESTS` change the run.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from e2e.conftest import REPOSITORY, without_plugin
from e2e.gated import copy_policies, rows
from e2e.hostile_requests import (
    CANARY,
    FORGED,
    FORGER_KEY,
    HEX_KEY,
    PLAIN_KEY,
    TRACE_HEADER,
    Attack,
    attacks,
    warm_up,
)
from e2e.proxy_process import STANDIN_KEY, RunningProxy, RunningStandin
from tallygate.adapters.stores.sqlite import SqliteLedger

SEED: Final = int(os.environ.get("HOSTILE_SEED", "20261121"))
COUNT: Final = int(os.environ.get("HOSTILE_REQUESTS", "350"))
HASH_SECRET: Final = f"{CANARY}-secret-of-this-machine"
SECRETS: Final = (CANARY, HEX_KEY, STANDIN_KEY, "the stand-in that tallygate ships")
"""The last one is what every answer says."""
CLIENTS: Final = 8
PATIENCE_S: Final = 20.0

AUTH: Final = f'''
"""The demo keys, keys of other shapes, and a file of what tallygate logs, whole."""

import logging
import os

from litellm.proxy._types import LitellmUserRoles, UserAPIKeyAuth
from tallygate.proxy import demo_auth

KEYS = {{
    {PLAIN_KEY!r}: ("litellm-team-support", {{}}),
    {HEX_KEY!r}: ("litellm-team-support", {{}}),
    {FORGER_KEY!r}: ("litellm-team-search", {FORGED!r}),
}}


class Everything(logging.Formatter):
    def format(self, record):
        return repr(vars(record))


handler = logging.FileHandler(os.environ["HOSTILE_LOG"])
handler.setFormatter(Everything())
logging.getLogger("tallygate").addHandler(handler)


async def authenticate(request, api_key):
    key = api_key.removeprefix("Bearer ").strip()
    if key not in KEYS:
        return await demo_auth.authenticate(request, api_key)
    team, metadata = KEYS[key]
    role = LitellmUserRoles.INTERNAL_USER
    return UserAPIKeyAuth(api_key=key, team_id=team, metadata=metadata, user_role=role)
'''


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer; its body is not looked at."""

    raw: bytes

    @property
    def status(self) -> int:
        """0 where the server closed the connection, or where nobody read on."""
        match = re.match(rb"HTTP/1\.1 (\d{3}) ", self.raw)
        return int(match[1]) if match else 0

    @property
    def header_lines(self) -> list[bytes]:
        return self.raw.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]

    def header(self, name: bytes) -> bytes | None:
        found = [line for line in self.header_lines if line.lower().startswith(name + b":")]
        assert len(found) <= 1, found
        return found[0].partition(b":")[2].strip() if found else None

    @property
    def action(self) -> bytes | None:
        return self.header(b"x-tallygate-action")


@dataclass(frozen=True, slots=True)
class Exchange:
    """What became of one attack on both proxies."""

    attack: Attack
    gated: Answer
    bare: Answer

    def __repr__(self) -> str:
        attack = self.attack
        told = f"seed={SEED} number={attack.number} key={attack.key} {attack.methods}"
        return (
            f"<{told}: {self.gated.raw[:300]!r} bare={self.bare.status} {attack.wire()[:1500]!r}>"
        )


@dataclass(frozen=True, slots=True)
class Battle:
    """Everything that is left when the requests are through."""

    exchanges: list[Exchange]
    gated: RunningProxy
    log: Path
    received: list[dict[str, Any]]
    generating: int
    attempts: int
    booked: list[dict[str, Any]]


def send(proxy: RunningProxy, attack: Attack) -> Answer:
    received = b""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as connection:
        try:
            connection.sendall(attack.wire())
            while not attack.leaves and (part := connection.recv(65_536)):
                received += part
        except ConnectionError:
            pass  # the server had seen enough
    return Answer(received)


def start_both(stack: ExitStack, root: Path) -> tuple[RunningProxy, RunningProxy, RunningStandin]:
    """Start a gated and a bare proxy at the same time, each with a stand-in of its own."""
    config = (REPOSITORY / "litellm_config.yaml").read_text()
    config = config.replace("tallygate.proxy.demo_auth", "hostile_auth")
    config = config.replace("router_settings:\n", "router_settings:\n  disable_cooldowns: true\n")
    environment = {
        "TALLYGATE_POLICIES": str(copy_policies(root)),
        "TALLYGATE_HASH_KEY": HASH_SECRET,
        "TALLYGATE_SETTLE_GRACE_S": "3",
        "MAX_STRING_LENGTH_STDOUT_LOG": "1000000",
    }
    proxies, standins = [], []
    for name, text in (("gated", config), ("bare", without_plugin(config))):
        folder = root / name
        folder.mkdir()
        (folder / "hostile_auth.py").write_text(AUTH)
        (folder / "config.yaml").write_text(text)
        standin = stack.enter_context(RunningStandin(folder))
        log = {"HOSTILE_LOG": str(folder / "tallygate.log")}
        proxy = RunningProxy(
            folder / "config.yaml",
            folder,
            standin_url=standin.url,
            environment=log | (environment if name == "gated" else {}),
        )
        stack.callback(proxy.stop)
        proxy.process.spawn()
        proxies.append(proxy)
        standins.append(standin)
    for proxy in proxies:
        proxy.process.wait_until(proxy._answers, 120)
    return proxies[0], proxies[1], standins[0]


def until_booked(proxy: RunningProxy, standin: RunningStandin) -> tuple[int, int]:
    """Wait for streams to settle and for the drain; returns what was received and booked."""
    deadline = time.monotonic() + PATIENCE_S
    before = (-1, -1)
    while True:
        attempts = 0
        if (proxy.state / "ledger.db").exists():
            ledger = SqliteLedger(proxy.state / "ledger.db", create=False)
            attempts = ledger.count_attempts()
            ledger.close()
        now = (standin.count()["generating"], attempts)
        is_complete = now == before and now[0] <= now[1]
        if is_complete or time.monotonic() > deadline:
            return now
        before = now
        time.sleep(1.5)


@pytest.fixture(scope="module")
def battle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Battle]:
    root = tmp_path_factory.mktemp("hostile")
    with ExitStack() as stack:
        gated, bare, standin = start_both(stack, root)

        def fight(attack: Attack) -> Exchange:
            return Exchange(attack, send(gated, attack), send(bare, attack))

        with ThreadPoolExecutor(CLIENTS) as clients:
            assert {send(gated, honest).status for honest in warm_up()} >= {200, 404}
            exchanges = list(clients.map(fight, attacks(SEED, COUNT)))
        generating, attempts = until_booked(gated, standin)
        yield Battle(
            exchanges=exchanges,
            gated=gated,
            log=root / "gated" / "tallygate.log",
            received=[call for call in standin.calls() if call["generates"]],
            generating=generating,
            attempts=attempts,
            booked=rows(gated),
        )


def binding_of(team: str) -> set[str]:
    """Read from the registry whom a LiteLLM team may charge, and who keeps what it may not."""
    registry = yaml.safe_load((REPOSITORY / "policies/registry/data.yaml").read_text())
    binding = registry["principals"]["teams"][team]
    quarantine = registry["quarantine"]["owner_team"]
    return {binding["team"], *binding.get("may_charge", ()), quarantine}


def test_the_proxy_lives_on_and_most_kinds_of_answer_were_seen(battle: Battle) -> None:
    assert battle.gated.process.alive
    assert battle.gated._answers()
    actions = {exchange.gated.action for exchange in battle.exchanges}
    assert actions >= {b"admit", b"quarantine", b"reject", None}
    assert {exchange.gated.status for exchange in battle.exchanges} >= {200, 400, 401, 403, 404}
    assert battle.generating > COUNT / 10


def test_no_answer_is_worse_than_a_bare_proxys(battle: Battle) -> None:
    """Refusals apart, the gate changes no status."""
    worse = []
    for exchange in battle.exchanges:
        gated, bare = exchange.gated, exchange.bare
        is_refusal = gated.action == b"reject" and gated.status in {400, 403}
        is_excused = trips_litellm(exchange) or is_left_to_the_server(exchange)
        if not is_refusal and gated.status != bare.status and not is_excused:
            worse.append(exchange)
    assert not worse, "\n".join(map(repr, worse))


def trips_litellm(exchange: Exchange) -> bool:
    """LiteLLM takes these from the body, and falls over them when it has any failure to report."""
    body = exchange.attack.wire()
    is_tripped = b'"litellm_params"' in body or b'"litellm_logging_obj"' in body
    return is_tripped and exchange.gated.action == b"reject" and exchange.gated.status == 500


def is_left_to_the_server(exchange: Exchange) -> bool:
    """Past 16 KiB of headers, the server takes or refuses them by how the bytes arrive."""
    head = exchange.attack.wire().partition(b"\r\n\r\n")[0]
    answers = exchange.gated.raw + exchange.bare.raw
    return len(head) > 16_000 and b"Invalid HTTP request received." in answers


def test_no_hook_of_ours_failed(battle: Battle) -> None:
    """In LiteLLM's log, a traceback is ours where its innermost frame is, refusals apart."""
    ours = battle.log.read_text()
    assert "_failed" not in ours
    assert "settlement_not_written" not in ours
    traceback = re.compile(r"Traceback \(most recent call last\):\n((?:  .*\n)+)(\S.*)")
    for frames, error in traceback.findall(battle.gated.log()):
        innermost = ["", *re.findall(r'  File "([^"]+)"', frames)][-1]
        is_said_no = error.startswith(("tallygate.proxy.refused.", "litellm.proxy._types.Proxy"))
        assert "src/tallygate" not in innermost or is_said_no, frames + error


def test_nobody_is_billed_outside_a_binding(battle: Battle) -> None:
    bound = [row for row in battle.booked if row["principal_bound"]]
    assert bound
    for row in bound:
        assert row["owner_team"] in binding_of(row["principal_team"]), row


def test_no_spoof_reaches_a_provider_where_it_is_enforced(battle: Battle) -> None:
    spoofs = [exchange for exchange in battle.exchanges if exchange.attack.is_spoof]
    reached = {call["headers"].get(TRACE_HEADER.decode()) for call in battle.received}

    assert len(spoofs) > COUNT / 20
    for exchange in spoofs:
        assert exchange.attack.trace_id not in reached, exchange
        assert exchange.gated.status >= 400 or exchange.gated.status in {0, 307}, exchange


def test_no_secret_is_kept(battle: Battle) -> None:
    """Prompts, answers, keys, raw tenants and addresses, in every file of the gate's."""
    files = [path for path in battle.gated.state.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"ledger.db", "drain.log"} <= names
    assert any(path.suffix == ".seg" for path in files)
    assert any(path.parent.name == "gates" for path in files)
    for path in [*files, battle.log]:
        content = path.read_bytes()
        for secret in SECRETS:
            at = content.find(secret.encode())
            assert at < 0, (path, content[max(0, at - 300) : at + 100])


def test_no_answer_holds_a_header_that_an_attack_brought(battle: Battle) -> None:
    line = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
    for exchange in battle.exchanges:
        for header in exchange.gated.header_lines:
            assert line.fullmatch(header), exchange
            assert not header.lower().startswith(b"x-injected"), exchange


def test_no_provider_gets_a_callers_trace_beside_the_gates(battle: Battle) -> None:
    traces = [call["headers"].get("traceparent", "") for call in battle.received]
    assert any(traces)
    assert not [trace for trace in traces if CANARY in trace and "," in trace]


def test_every_call_that_the_stand_in_received_is_booked_once(battle: Battle) -> None:
    """A request that went out on a connection that was just closed may be one too many."""
    resent = [row for row in battle.booked if row["detail"] == "sent_again"]
    lost = sum(row["status"] == "unknown" for row in resent)
    assert battle.generating <= battle.attempts <= battle.generating + lost
