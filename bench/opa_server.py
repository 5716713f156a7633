"""
A decision by an OPA server on loopback, and by the embedded engine beside it.

    python bench/opa_server.py [--connections 16] [--rate 200] [--rounds 5]
    python bench/opa_server.py --proxy [words for bench/throughput.py]

Paced: questions come at a rate, whether answers do or not, as calls come to a proxy; so many
connections are open. Flooded: each connection asks as soon as it is answered; then the latency is
connections divided by throughput, and says how much one worker and one OPA can do on this machine.
Rounds go to the sides in turn. With --proxy: the throughput of two proxies, one on each engine.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "bench")]

import throughput  # noqa: E402 - after the path

from contract.questions import good_questions  # noqa: E402 - after the path
from fakes.opa_servers import RunningOpa, write_bundle  # noqa: E402 - after the path
from tallygate.adapters.engines.embedded import EmbeddedEngine  # noqa: E402 - after the path
from tallygate.adapters.engines.opa import find_opa, verify_compiled  # noqa: E402 - after the path
from tallygate.adapters.engines.opa_server import OpaServer  # noqa: E402 - after the path
from tallygate.adapters.files.policies import read_policies  # noqa: E402 - after the path

Ask = Callable[[dict[str, Any]], Awaitable[object]]
LOGGED = (
    "--set=services.nobody.url=http://127.0.0.1:9",
    "--set=decision_logs.service=nobody",
    "--set=decision_logs.reporting.buffer_type=event",
)
"""Decision logs on, in the ring that deploy/opa/ configures, and nobody there who takes them."""


@dataclass
class Side:
    """One engine and what was measured of it, in milliseconds."""

    name: str
    ask: Ask
    paced: list[float] = field(default_factory=list)
    flooded: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    failed: int = 0


async def timed(side: Side, question: dict[str, Any], taken: list[float], due: float) -> None:
    try:
        await side.ask(question)
    except Exception:  # noqa: BLE001 - counted, and the run does not count then
        side.failed += 1
    taken.append((time.perf_counter() - due) * 1000)


async def pace(side: Side, questions: list[dict[str, Any]], rate: float, seconds: float) -> None:
    """Measure from the moment at which a question was due, so that a late start counts."""
    loop, asking = asyncio.get_running_loop(), []
    began = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = began + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        question = questions[number % len(questions)]
        asking.append(loop.create_task(timed(side, question, side.paced, time.perf_counter())))
    await asyncio.gather(*asking)


async def flood(
    side: Side, questions: list[dict[str, Any]], connections: int, seconds: float
) -> None:
    before, began = len(side.flooded), time.perf_counter()

    async def one_after_another(first: int) -> None:
        number = first
        while (now := time.perf_counter()) - began < seconds:
            await timed(side, questions[number % len(questions)], side.flooded, now)
            number += connections
            await asyncio.sleep(0)

    await asyncio.gather(*(one_after_another(first) for first in range(connections)))
    side.rates.append((len(side.flooded) - before) / (time.perf_counter() - began))


async def measure(args: argparse.Namespace, urls: dict[str, str]) -> list[Side]:
    policies = read_policies(REPOSITORY / "policies")
    wasm = verify_compiled(policies.rego, policies.wasm, policies.lock)
    embedded = EmbeddedEngine(wasm, policies.data, policies.revision)
    questions = list(good_questions(policies.data))

    async def ask_embedded(question: dict[str, Any]) -> object:
        return embedded.decide(question)

    sides, servers = [Side("embedded", ask_embedded)], []
    for name, url in urls.items():
        server = OpaServer(url, timeout_s=5)
        servers.append(server)
        sides.append(Side(name, lambda question, server=server: server.ask(question, "call-1")))
    for side in sides:
        warm = Side(side.name, side.ask)
        await flood(warm, questions, args.connections, 1.0)
    for number in range(args.rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            await pace(side, questions, args.rate, args.seconds)
            await flood(side, questions, args.connections, args.seconds)
    for server in servers:
        await server.close()
    return sides


def row(side: Side) -> str:
    paced, flooded = (statistics.quantiles(taken, n=100) for taken in (side.paced, side.flooded))
    return (
        f"{side.name:22}{paced[49]:>8.2f}{paced[98]:>8.2f}{max(side.paced):>9.1f}"
        f"{flooded[49]:>10.2f}{flooded[98]:>8.2f}{statistics.median(side.rates):>9.0f}"
        f"{side.failed:>8}"
    )


def decisions(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="tallygate-bench-") as made, ExitStack() as running:
        urls = {}
        for name, words in (("OPA server", ()), ("OPA server, logged", LOGGED)):
            folder = Path(made) / name
            folder.mkdir()
            bundle = write_bundle(folder, read_policies(REPOSITORY / "policies"))
            opa = RunningOpa(folder, "-b", str(bundle), "--log-level=error", *words)
            running.callback(opa.kill9)
            urls[name] = opa.start().url
        sides = asyncio.run(measure(args, urls))
    print(f"paced at {args.rate:.0f}/s; flooded over {args.connections} connections; milliseconds")
    print(f"{'':22}{'p50':>8}{'p99':>8}{'worst':>9}{'p50':>10}{'p99':>8}{'per s':>9}{'failed':>8}")
    for side in sides:
        print(row(side))


def proxies(words: list[str]) -> None:
    args = throughput.arguments(words)
    with tempfile.TemporaryDirectory(prefix="tallygate-bench-") as made:
        bundle = write_bundle(Path(made), read_policies(args.policies))
        with RunningOpa(Path(made), "-b", str(bundle), "--log-level=error") as opa:
            handler = ["tallygate.proxy.handler"]
            # A busy machine must not turn calls into refusals, which are fast and would flatter.
            asked = {"TALLYGATE_OPA_URL": opa.url, "TALLYGATE_OPA_TIMEOUT_MS": "5000"}
            sides = [
                throughput.Side("embedded", handler, {}),
                throughput.Side("OPA server", handler, asked),
            ]
            print(throughput.table(throughput.run(args, sides)))
    if any(side.failed for side in sides):
        raise SystemExit("some calls failed: the numbers above do not count")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rate", type=float, default=200.0, help="paced questions per second")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a round")
    parser.add_argument("--proxy", action="store_true", help="two proxies instead of two engines")
    if find_opa() is None:
        print("There is no opa on the PATH (scripts/install-opa puts one there): not measured.")
    elif "--proxy" in sys.argv:
        proxies([word for word in sys.argv[1:] if word != "--proxy"])
    else:
        decisions(parser.parse_args())


if __name__ == "__main__":
    main()
