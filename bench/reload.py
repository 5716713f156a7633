"""
Hot reload of a large registry under load, and broken bundles pushed in a row.

    PYTHONPATH=tests python bench/reload.py [--teams 5000] [--swaps 5] [--broken 100]

Three parts. `loop`: a busy event loop in this process while the folder is read on a thread, and
while it is read in a child, which is what the proxy does; the reason for the child. `proxy`: a real
proxy under load whose folder is swapped again and again; latencies before, during and after, failed
calls, and the revisions on the events. `broken`: the same proxy, and a broken bundle after another.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "bench")]

from decision import large_data  # noqa: E402 - after the path
from throughput import chat_request, read_answer  # noqa: E402 - as above

from e2e.proxy_process import RunningProxy, RunningStandin  # noqa: E402 - as above
from fakes.broken_policies import BREAKS  # noqa: E402 - as above
from fakes.policy_folders import path_without_opa  # noqa: E402 - as above
from tallygate.adapters.engines.embedded import EmbeddedEngine  # noqa: E402 - as above
from tallygate.adapters.engines.loading import read_bundle  # noqa: E402 - as above
from tallygate.adapters.files.folder_content import read_content  # noqa: E402 - as above
from tallygate.adapters.files.policies import read_policies  # noqa: E402 - as above
from tallygate.adapters.files.starter import starter_policies  # noqa: E402 - as above
from tallygate.adapters.stores.sqlite import SqliteLedger  # noqa: E402 - as above
from tallygate.application.ports import EventFilter  # noqa: E402 - as above
from tallygate.bootstrap.policy_reading import MODULE, read_to_bundle  # noqa: E402 - as above

PATIENCE_S = 120
QUESTION = {"ownership": {"owner_team": "team-support", "service": "support-assistant"}}


class _Quoted(str):
    __slots__ = ()


def quoted(value):
    """Quote all text, so that no reader takes it for something else."""
    if isinstance(value, dict):
        return {key: quoted(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [quoted(part) for part in value]
    return _Quoted(value) if isinstance(value, str) else value


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data):  # noqa: ARG002 - as the library calls it
        return True


_Dumper.add_representer(
    _Quoted,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"'),
)


def large_folder(target: Path, teams: int) -> Path:
    """Write the shipped policies with as many teams and a tenth of services more."""
    shutil.copytree(starter_policies(), target)
    small = dict(read_policies(target).data)
    own = small["registry"]
    large = large_data(small, teams, teams // 10, 0)["registry"]
    for team in large["teams"].values():
        team["contact"] = "#bench"
    for service in large["services"].values():
        service["on_violation"] = "reject"
    registry = {
        **own,
        "teams": {**own["teams"], **large["teams"]},
        "services": {**own["services"], **large["services"]},
        "principals": {
            **own["principals"],
            "teams": {**own["principals"]["teams"], **large["principals"]["teams"]},
        },
    }
    text = yaml.dump(quoted(registry), Dumper=_Dumper, sort_keys=False, width=1000)
    (target / "registry" / "data.yaml").write_text(text)
    return target


def p99(latencies: list[float]) -> float:
    return statistics.quantiles(latencies, n=100)[98] if len(latencies) > 1 else float("nan")


def row(name: str, latencies: list[float]) -> str:
    if len(latencies) < 2:
        return f"{name:24}{len(latencies):8}"
    return (
        f"{name:24}{len(latencies):8}{statistics.median(latencies):10.1f}{p99(latencies):10.1f}"
        f"{max(latencies):10.1f}"
    )


HEAD = f"{'milliseconds':24}{'calls':>8}{'p50':>10}{'p99':>10}{'worst':>10}"


# A busy loop in this process.


async def busy_loop(engine: EmbeddedEngine, reload: Callable[[], Awaitable[object]]) -> list[str]:
    """16 callers, each some 5 ms of Python and a decision per call, before and during a reload."""
    done: list[tuple[float, float]] = []
    is_over = False

    async def caller() -> None:
        while not is_over:
            began = time.perf_counter()
            for _ in range(10):
                until = time.perf_counter() + 0.0005
                while time.perf_counter() < until:
                    pass
                await asyncio.sleep(0)
            engine.decide(QUESTION)
            done.append((began, time.perf_counter()))

    callers = [asyncio.create_task(caller()) for _ in range(16)]
    await asyncio.sleep(3)
    began = time.perf_counter()
    await reload()
    ended = time.perf_counter()
    is_over = True
    await asyncio.gather(*callers)
    before = [(b - a) * 1000 for a, b in done if b < began]
    during = [(b - a) * 1000 for a, b in done if a < ended and b >= began]
    took = f"(took {ended - began:.1f} s; p99 {p99(during) / p99(before):.2f} of before)"
    return [row("  before", before), f"{row('  during', during)}   {took}"]


def in_thread(folder: Path, bundle: Path) -> object:
    read_to_bundle(folder, bundle, time.time_ns())
    return built(bundle)


def in_child(folder: Path, bundle: Path) -> object:
    command = [sys.executable, "-m", MODULE, str(folder), str(bundle)]
    subprocess.run(command, check=True, capture_output=True)
    return built(bundle)


def built(path: Path) -> EmbeddedEngine:
    bundle = read_bundle(path)
    assert bundle is not None
    return EmbeddedEngine(bundle.wasm, bundle.data, bundle.revision)


def measure_loop(folder: Path) -> None:
    policies = read_policies(folder)
    assert policies.wasm is not None
    engine = EmbeddedEngine(policies.wasm, policies.data, policies.revision)
    print(f"loop: a busy event loop while the folder is read\n{HEAD}")
    for name, read in (("on a thread", in_thread), ("in a child", in_child)):
        with tempfile.TemporaryDirectory() as place:
            bundle = Path(place) / "bundle.zip"

            async def aside(read=read, bundle=bundle) -> object:
                return await asyncio.to_thread(read, folder, bundle)

            print("\n".join([name, *asyncio.run(busy_loop(engine, aside))]))


# A real proxy.


@dataclass
class Calls:
    """What the load saw: when a call began and ended, and how."""

    spans: list[tuple[float, float]] = field(default_factory=list)
    failed: int = 0
    is_over: bool = False

    def between(self, began: float, ended: float) -> list[float]:
        """Latencies of the calls that ran at any time of a span."""
        return [(b - a) * 1000 for a, b in self.spans if a < ended and b > began]

    def within(self, began: float, ended: float) -> list[float]:
        return [(b - a) * 1000 for a, b in self.spans if a >= began and b <= ended]


async def connection(calls: Calls, port: int, request: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    while not calls.is_over:
        began = time.perf_counter()
        writer.write(request)
        if await read_answer(reader) != 200:
            calls.failed += 1
        calls.spans.append((began, time.perf_counter()))
    writer.close()


class Deployment:
    """Releases of a policies folder behind a link, and the proxy that watches it."""

    def __init__(self, place: Path, first: Path) -> None:
        self.link = place / "policies"
        self._place = place
        self._first = first
        self._numbers = itertools.count(1)
        self.link.symlink_to(first)

    def push(self, change: Callable[[Path], object]) -> Path:
        whole = self._place / f"release-{next(self._numbers)}"
        shutil.copytree(self._first, whole)
        change(whole)
        following = self._place / "next"
        following.symlink_to(whole)
        following.rename(self.link)
        return whole


def published(proxy: RunningProxy) -> dict[str, object]:
    """Read what the worker says of its policy, without a call that would be measured."""
    for path in (proxy.state / "gates").glob("*.json"):
        try:
            return dict(json.loads(path.read_bytes())["policy"])
        except (OSError, ValueError):
            continue
    return {}


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.perf_counter() + PATIENCE_S
    while not condition():
        if time.perf_counter() > deadline:
            raise SystemExit("a reload did not come to its end")
        await asyncio.sleep(0.02)


def renamed(number: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "registry" / "data.yaml"
        text = path.read_text()
        assert '"Customer Support"' in text
        path.write_text(text.replace('"Customer Support"', f'"Customer Support {number}"'))

    return change


async def measure_swaps(
    proxy: RunningProxy, deployment: Deployment, swaps: int, connections: int, known: set[str]
) -> Calls:
    calls = Calls()
    request = chat_request("gpt-5.4-mini", 200)
    load = [asyncio.create_task(connection(calls, proxy.port, request)) for _ in range(connections)]
    await asyncio.sleep(5)
    quiet: list[float] = []
    swapping: list[float] = []
    took: list[float] = []
    for number in range(swaps):
        began = time.perf_counter()
        await asyncio.sleep(8)
        quiet += calls.within(began, time.perf_counter())
        whole = await asyncio.to_thread(deployment.push, renamed(number))
        began = time.perf_counter()
        digest = read_content(whole).digest
        await until(lambda digest=digest: published(proxy).get("content") == digest)
        ended = time.perf_counter()
        await asyncio.sleep(1.5)
        swapping += calls.between(began, ended)
        took.append(ended - began)
        known.add(str(published(proxy)["revision"]))
    began = time.perf_counter()
    await asyncio.sleep(8)
    after = calls.within(began, time.perf_counter())
    calls.is_over = True
    await asyncio.gather(*load)
    print(f"proxy: {connections} connections, {swaps} swaps of the folder\n{HEAD}")
    print(row("before and between", quiet))
    times = ", ".join(f"{each:.1f}" for each in took)
    ratio = p99(swapping) / p99(quiet)
    print(f"{row('during a reload', swapping)}   p99 {ratio:.2f} of before; reloads took {times} s")
    print(row("after", after))
    print(f"{len(calls.spans)} calls, {calls.failed} failed")
    return calls


async def measure_broken(proxy: RunningProxy, deployment: Deployment, count: int) -> None:
    calls = Calls()
    request = chat_request("gpt-5.4-mini", 200)
    load = [asyncio.create_task(connection(calls, proxy.port, request)) for _ in range(2)]
    before = published(proxy)["revision"]
    refused, took = [], []
    for name in list(BREAKS)[:count]:
        whole = await asyncio.to_thread(deployment.push, BREAKS[name])
        began, digest = time.perf_counter(), read_content(whole).digest

        def judged(digest=digest) -> bool:
            said = published(proxy)
            return digest in (said.get("content"), (said.get("refused") or {}).get("content"))

        await until(judged)
        took.append(time.perf_counter() - began)
        said = published(proxy)
        if said["revision"] == before and (said["refused"] or {})["content"] == digest:
            refused.append(name)
        else:
            print(f"NOT REFUSED: {name}")
    whole = await asyncio.to_thread(deployment.push, lambda _: None)
    digest = read_content(whole).digest
    await until(lambda: published(proxy).get("content") == digest)
    calls.is_over = True
    await asyncio.gather(*load)
    print(
        f"broken: {len(took)} pushed in a row, {len(refused)} refused, the last good one kept;"
        f" {statistics.median(took):.1f} s each (median); then a good one was taken up;"
        f" {len(calls.spans)} calls meanwhile, {calls.failed} failed"
    )


def revisions_on_events(proxy: RunningProxy, policies: Path) -> set[str]:
    environment = {
        **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
        "TALLYGATE_STATE": str(proxy.state),
        "TALLYGATE_POLICIES": str(policies),
    }
    subprocess.run([sys.executable, "-m", "tallygate", "drain"], env=environment, check=True)
    ledger = SqliteLedger(proxy.state / "ledger.db", create=False)
    try:
        return {str(line["policy_revision"]) for line in ledger.rows(EventFilter())}
    finally:
        ledger.close()


def measure_proxy(place: Path, large: Path, args: argparse.Namespace) -> None:
    small = place / "small"
    shutil.copytree(starter_policies(), small)
    with ExitStack() as stack:
        standin = stack.enter_context(RunningStandin(place))
        for kind, first in (("swaps", large), ("broken", small))[: 2 if args.broken else 1]:
            inside = place / kind
            inside.mkdir()
            deployment = Deployment(inside, first)
            environment = {
                "TALLYGATE_POLICIES": str(deployment.link),
                "TALLYGATE_DRAIN": "off",
                "PATH": f"{path_without_opa(place / 'no-opa')}:/usr/bin:/bin",
            }
            config = REPOSITORY / "litellm_config.yaml"
            with RunningProxy(
                config, inside, standin_url=standin.url, environment=environment
            ) as proxy:
                asyncio.run(until(lambda proxy=proxy: bool(published(proxy))))
                if kind == "broken":
                    asyncio.run(measure_broken(proxy, deployment, args.broken))
                    continue
                known = {str(published(proxy)["revision"])}
                calls = asyncio.run(
                    measure_swaps(proxy, deployment, args.swaps, args.connections, known)
                )
                found = revisions_on_events(proxy, deployment.link)
                print(f"{len(found)} revisions on the events, {len(found - known)} unknown")
                if calls.failed or found - known:
                    raise SystemExit("a call failed, or was decided by what never was in force")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--teams", type=int, default=5000)
    parser.add_argument("--swaps", type=int, default=5)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--broken", type=int, default=len(BREAKS))
    parser.add_argument("--only", choices=["loop", "proxy"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tallygate-bench-") as name:
        place = Path(name)
        large = large_folder(place / "large", args.teams)
        size = (large / "registry" / "data.yaml").stat().st_size / 1e6
        print(f"{args.teams} teams, {size:.2f} MB of YAML")
        if args.only != "proxy":
            measure_loop(large)
        if args.only != "loop":
            measure_proxy(place, large, args)


if __name__ == "__main__":
    main()
