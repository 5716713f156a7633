"""
Throughput of a proxy with the plugin against the same proxy without it.

Both run at once, one worker each, on the same stand-in; short rounds of load go to them in turn
(A B, B A, …), so that whatever else the machine does hits both. Two processes of the same program
differ too, so the proxies start anew a few times, in turned order.
bench/README.md says how to read the numbers and how to repeat them.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

from e2e.proxy_process import RunningProxy, RunningStandin  # noqa: E402 - after the path

CALLBACKS = '  callbacks: ["tallygate.proxy.handler"]\n'
KEY = "sk-demo-support"
OWNER_HEADERS = {
    "x-tallygate-owner-team": "team-support",
    "x-tallygate-service": "support-assistant",
    "x-tallygate-environment": "prod",
    "x-tallygate-feature": "ticket-triage",
    "x-tallygate-workflow-id": "wf-bench",
    "x-tallygate-user-id-hash": "hk1_0123456789abcdef0123456789abcdef",
}


@dataclass
class Side:
    """One of the proxies that are compared, and what was measured of it."""

    name: str
    callbacks: list[str]
    environment: dict[str, str]
    proxy: RunningProxy | None = None
    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    children_cpu_ms: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    calls: int = 0
    failed: int = 0


def chat_request(model: str, words: int, *, stream: bool = False) -> bytes:
    content = "Why was I billed twice? " + "word " * words
    asked = {"model": model, "messages": [{"role": "user", "content": content}]}
    body = json.dumps({**asked, "stream": True} if stream else asked)
    headers = {
        "host": "127.0.0.1",
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json",
        "content-length": str(len(body)),
        **OWNER_HEADERS,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /v1/chat/completions HTTP/1.1\r\n{lines}\r\n{body}".encode()


async def read_answer(reader: asyncio.StreamReader) -> int:
    """Read one HTTP answer to its end; the status."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head[9:12])
    where = head.find(b"\r\ncontent-length:")
    if where >= 0:
        await reader.readexactly(int(head[where + 17 : head.index(b"\r\n", where + 2)]))
        return status
    while size := int(await reader.readuntil(b"\r\n"), 16):
        await reader.readexactly(size + 2)
    await reader.readexactly(2)
    return status


async def ask_until(side: Side, requests: list[bytes], deadline: float, done: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", side.proxy.port, limit=2**20)
    kinds = itertools.cycle(requests)
    while (began := time.perf_counter()) < deadline:
        writer.write(next(kinds))
        if await read_answer(reader) != 200:
            side.failed += 1
        done.append((time.perf_counter() - began) * 1000)
    writer.close()
    await writer.wait_closed()


async def one_round(
    side: Side, requests: list[bytes], seconds: float, connections: int
) -> list[float]:
    done: list[float] = []
    deadline = time.perf_counter() + seconds
    turned = [
        requests[i % len(requests) :] + requests[: i % len(requests)] for i in range(connections)
    ]
    await asyncio.gather(*(ask_until(side, each, deadline, done) for each in turned))
    return done


def measure(side: Side, requests: list[bytes], seconds: float, connections: int) -> None:
    own_before, all_before = cpu_seconds(side.proxy.process.pid)
    began = time.perf_counter()
    done = asyncio.run(one_round(side, requests, seconds, connections))
    took = time.perf_counter() - began
    own, everything = cpu_seconds(side.proxy.process.pid)
    side.rates.append(len(done) / took)
    side.cpu_ms.append((own - own_before) * 1000 / len(done))
    side.children_cpu_ms.append(((everything - own) - (all_before - own_before)) * 1000 / len(done))
    side.latencies_ms.extend(done)
    side.memory_mb.append(resident_mb(side.proxy.process.pid))
    side.calls += len(done)


def cpu_seconds(pid: int) -> tuple[float, float]:
    """Processor time of a process, and of it with its descendants; zero where there is no /proc."""
    tick = os.sysconf("SC_CLK_TCK")
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            continue
        process = int(stat.parent.name)
        parents[process] = int(fields[1])
        used[process] = (int(fields[11]) + int(fields[12])) / tick
    family = {pid}
    while more := {p for p, parent in parents.items() if parent in family} - family:
        family |= more
    return used.get(pid, 0.0), sum(used.get(process, 0.0) for process in family)


def resident_mb(pid: int) -> float:
    """Memory that the proxy's own process holds; zero where there is no /proc."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def config_with(callbacks: list[str]) -> str:
    """Write the shipped config with these callbacks instead of ours."""
    shipped = (REPOSITORY / "litellm_config.yaml").read_text()
    assert CALLBACKS in shipped, "litellm_config.yaml has another callbacks line"
    return shipped.replace(
        CALLBACKS, f"  callbacks: {json.dumps(callbacks)}\n" if callbacks else ""
    )


def otel_environment(packages: Path | None) -> dict[str, str]:
    """Make LiteLLM's own `otel` callback work without a collector: spans go to the log."""
    if packages is not None:
        sys.path.insert(0, str(packages))
    if importlib.util.find_spec("opentelemetry.sdk") is None:
        raise SystemExit(
            "--otel needs opentelemetry-sdk, which LiteLLM does not bring. Put it beside:\n"
            "  .venv/bin/pip install --target .tools/otel opentelemetry-sdk\n"
            "  … --otel --otel-packages .tools/otel"
        )
    path = {"PYTHONPATH": str(packages)} if packages else {}
    return {**path, "OTEL_EXPORTER": "console"}


def planned_sides(args: argparse.Namespace) -> list[Side]:
    sides = [Side("bare", [], {})]
    sides.append(
        Side("bare again", [], {})
        if args.null
        else Side("tallygate", ["tallygate.proxy.handler"], {})
    )
    if args.otel:
        sides.append(Side("otel", ["otel"], otel_environment(args.otel_packages)))
    return sides


def new_proxy(side: Side, args: argparse.Namespace, place: Path, standin_url: str) -> RunningProxy:
    place.mkdir(parents=True)
    config = place / "litellm_config.yaml"
    config.write_text(config_with(side.callbacks))
    fixed = {"PYTHONHASHSEED": "0", "TALLYGATE_POLICIES": str(args.policies)}
    return RunningProxy(
        config,
        place,
        standin_url=standin_url,
        environment={**fixed, **side.environment},
        prefix=pinned(args.proxy_core),
    )


def pinned(core: int | None) -> tuple[str, ...]:
    return () if core is None else ("taskset", "-c", str(core))


def run(args: argparse.Namespace, sides: list[Side] | None = None) -> dict[str, object]:
    """Measure; other sides than the usual ones are compared with the first of them."""
    if args.load_core is not None:
        os.sched_setaffinity(0, {args.load_core})
    requests = [chat_request(args.model, args.words)]
    if args.mixed:
        requests.append(chat_request(args.model, args.words, stream=True))
    sides = sides or planned_sides(args)
    received = 0
    with tempfile.TemporaryDirectory(prefix="tallygate-bench-") as made, ExitStack() as running:
        folder = Path(made)
        standin = running.enter_context(RunningStandin(folder, prefix=pinned(args.load_core)))
        for start in range(args.starts):
            with ExitStack() as proxies:
                for side in sides if start % 2 == 0 else reversed(sides):
                    place = folder / str(start) / side.name
                    side.proxy = new_proxy(side, args, place, standin.url)
                    proxies.enter_context(side.proxy)
                    asyncio.run(one_round(side, requests, args.warm_up, args.connections))
                    side.failed = 0
                    print(f"start {start + 1}: {side.name} is warm", file=sys.stderr)
                standin.forget()
                rounds_of_load(args, sides, requests)
                received += standin.count()["generating"]
    return report(args, sides, received)


def rounds_of_load(args: argparse.Namespace, sides: list[Side], requests: list[bytes]) -> None:
    for number in range(args.rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            measure(side, requests, args.seconds, args.connections)
        rates = "  ".join(f"{side.name} {side.rates[-1]:.1f}/s" for side in sides)
        print(f"round {number + 1}: {rates}", file=sys.stderr)


def report(args: argparse.Namespace, sides: list[Side], received: int) -> dict[str, object]:
    bare = sides[0]
    rows = [
        {
            "side": side.name,
            "calls_per_s_median": statistics.median(side.rates),
            "calls_per_s_min": min(side.rates),
            "calls_per_s_max": max(side.rates),
            "ratio_of_medians": statistics.median(side.rates) / statistics.median(bare.rates),
            "ratio_by_start": [
                statistics.median(side.rates[i : i + args.rounds])
                / statistics.median(bare.rates[i : i + args.rounds])
                for i in range(0, len(side.rates), args.rounds)
            ],
            "ratio_by_round": [a / b for a, b in zip(side.rates, bare.rates, strict=True)],
            "cpu_ms_per_call_median": statistics.median(side.cpu_ms),
            "cpu_ratio": bare_over(bare, side),
            "children_cpu_ms_per_call_median": statistics.median(side.children_cpu_ms),
            "latency_ms_p50": statistics.median(side.latencies_ms),
            "latency_ms_p99": statistics.quantiles(side.latencies_ms, n=100)[98],
            "memory_mb": side.memory_mb[-1],
            "calls": side.calls,
            "failed": side.failed,
        }
        for side in sides
    ]
    return {
        "connections": args.connections,
        "starts": args.starts,
        "rounds": args.rounds,
        "seconds_per_round": args.seconds,
        "proxy_core": args.proxy_core,
        "load_core": args.load_core,
        "provider_calls_received": received,
        "sides": rows,
    }


def bare_over(bare: Side, side: Side) -> float | None:
    """Give the ratio that processor time alone would make; steadier on a busy machine."""
    used = statistics.median(side.cpu_ms)
    return statistics.median(bare.cpu_ms) / used if used else None


def table(result: dict[str, object]) -> str:
    head = (
        f"{'':12} {'calls/s':>8} {'min':>7} {'max':>7} {'ratio':>6} {'(quartiles)':>15} "
        f"{'cpu ms':>7} {'ratio':>6} {'children':>8} {'p50 ms':>7} {'p99 ms':>7} {'MB':>5} "
        f"{'failed':>6}"
    )
    lines = [head]
    for row in result["sides"]:
        low, _, high = statistics.quantiles(row["ratio_by_round"], n=4)
        spread = f"({low:.3f}…{high:.3f})"
        cpu_ratio = row["cpu_ratio"]
        lines.append(
            f"{row['side']:12} {row['calls_per_s_median']:8.1f} {row['calls_per_s_min']:7.1f} "
            f"{row['calls_per_s_max']:7.1f} {row['ratio_of_medians']:6.3f} {spread:>15} "
            f"{row['cpu_ms_per_call_median']:7.2f} {cpu_ratio or float('nan'):6.3f} "
            f"{row['children_cpu_ms_per_call_median']:8.2f} {row['latency_ms_p50']:7.1f} "
            f"{row['latency_ms_p99']:7.1f} {row['memory_mb']:5.0f} {row['failed']:6}"
        )
    for row in result["sides"][1:]:
        starts = "  ".join(f"{ratio:.3f}" for ratio in row["ratio_by_start"])
        lines.append(f"ratio of {row['side']} by start: {starts}")
    return "\n".join(lines)


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--starts", type=int, default=3, help="times that the proxies start anew")
    parser.add_argument("--rounds", type=int, default=12, help="rounds of each side, per start")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a round")
    parser.add_argument("--warm-up", type=float, default=5.0, help="seconds of load before")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--words", type=int, default=200, help="length of the prompt")
    parser.add_argument("--mixed", action="store_true", help="every other call is a stream")
    parser.add_argument("--model", default="gpt-5.4-mini")
    parser.add_argument("--policies", type=Path, default=REPOSITORY / "policies")
    parser.add_argument("--null", action="store_true", help="bare against bare: the noise")
    parser.add_argument("--otel", action="store_true", help="LiteLLM's own otel callback beside it")
    parser.add_argument("--otel-packages", type=Path, help="folder with opentelemetry-sdk")
    parser.add_argument("--proxy-core", type=int, help="pin the proxies to this core")
    parser.add_argument("--load-core", type=int, help="pin client and stand-in to this core")
    parser.add_argument("--json", action="store_true", help="the numbers for a program")
    args = parser.parse_args(words)
    if args.rounds < 2:
        parser.error("--rounds: a spread needs two or more")
    return args


def main() -> None:
    args = arguments()
    result = run(args)
    print(json.dumps(result, indent=2) if args.json else table(result))
    if any(row["failed"] for row in result["sides"]):
        raise SystemExit("some calls failed: the numbers above do not count")


if __name__ == "__main__":
    main()
