"""
A ledger that is down for minutes, under a steady load: what is lost, and what the calls notice.

One proxy with its own drain sends to a PostgreSQL ledger; calls come at a fixed rate, whether or
not earlier ones have been answered. The server is stopped after a while and started again later.
Then the provider's count is compared with the ledger's, and the latencies before with those during.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

import httpx  # noqa: E402 - after the path

from e2e.gated import OWNED  # noqa: E402 - as above
from e2e.proxy_process import RunningProxy, RunningStandin  # noqa: E402 - as above
from fakes.postgres import PostgresServer  # noqa: E402 - as above
from tallygate.adapters.stores.opening import ledger_at  # noqa: E402 - as above

KEY = "sk-demo-support"
BODY = {"model": "gpt-5.4-mini", "messages": [{"role": "user", "content": "Why twice?"}]}


@dataclass
class Phase:
    """What the calls of one phase saw."""

    name: str
    latencies_ms: list[float] = field(default_factory=list)
    failed: int = 0

    def line(self) -> str:
        cuts = statistics.quantiles(self.latencies_ms, n=100)
        return (
            f"{self.name:8} {len(self.latencies_ms):7} {self.failed:6} "
            f"{cuts[49]:8.1f} {cuts[89]:8.1f} {cuts[98]:8.1f} {max(self.latencies_ms):8.1f}"
        )


async def one_call(client: httpx.AsyncClient, phase: Phase) -> None:
    began = time.perf_counter()
    try:
        answer = await client.post("/v1/chat/completions", json=BODY)
        phase.failed += answer.status_code != 200
    except httpx.HTTPError:
        phase.failed += 1
    phase.latencies_ms.append((time.perf_counter() - began) * 1000)


async def steady(client: httpx.AsyncClient, phase: Phase, rate: float, seconds: float) -> None:
    began, calls = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        calls.append(asyncio.create_task(one_call(client, phase)))
    await asyncio.gather(*calls)


async def load(url: str, server: PostgresServer, args: argparse.Namespace) -> list[Phase]:
    phases = [Phase("before"), Phase("down"), Phase("after")]
    headers = {"authorization": f"Bearer {KEY}", **OWNED}
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(
        base_url=url, headers=headers, trust_env=False, timeout=60, limits=limits
    ) as client:
        await steady(client, Phase("warm-up"), args.rate, 10)
        await steady(client, phases[0], args.rate, args.before)
        await asyncio.to_thread(server.stop)
        print("the ledger is down", file=sys.stderr)
        await steady(client, phases[1], args.rate, args.down)
        await asyncio.to_thread(server.start)
        print("the ledger is back", file=sys.stderr)
        await steady(client, phases[2], args.rate, args.before)
    return phases


def compare(url: str, received: int, patience_s: float) -> int:
    """Wait until the drain has caught up; the number of attempts in the ledger."""
    ledger = ledger_at(url, create=False)
    deadline = time.monotonic() + patience_s
    try:
        while (booked := ledger.count_attempts()) < received and time.monotonic() < deadline:
            time.sleep(0.5)
    finally:
        ledger.close()
    return booked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--rate", type=float, default=40, help="calls a second")
    parser.add_argument("--before", type=float, default=60, help="seconds before and after")
    parser.add_argument("--down", type=float, default=600, help="seconds without a ledger")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tallygate-bench-") as made, ExitStack() as running:
        server = PostgresServer()
        running.callback(server.close)
        ledger = server.url(server.new_database())
        standin = running.enter_context(RunningStandin(Path(made)))
        proxy = RunningProxy(
            REPOSITORY / "litellm_config.yaml",
            Path(made),
            standin_url=standin.url,
            environment={
                "TALLYGATE_POLICIES": str(REPOSITORY / "policies"),
                "TALLYGATE_LEDGER_URL": ledger,
            },
        )
        running.enter_context(proxy)
        phases = asyncio.run(load(proxy.url, server, args))
        proxy.stop()
        received = standin.count()["generating"]
        began = time.monotonic()
        booked = compare(ledger, received, 120)
        print(f"{'':8} {'calls':>7} {'failed':>6} {'p50 ms':>8} {'p90':>8} {'p99':>8} {'max':>8}")
        print("\n".join(phase.line() for phase in phases))
        print(
            f"provider received {received}, ledger has {booked} attempts, lost {received - booked}"
        )
        print(f"caught up {time.monotonic() - began:.1f} s after the proxy had gone")
    if booked != received:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
