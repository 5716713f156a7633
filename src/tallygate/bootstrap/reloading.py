"""
Hot reload: the policies folder is watched, read beside the calls, and swapped in as a whole.

    watch ─► look (digest of the files) ─► read and judge ─► build the engine ─► one assignment
    thread   thread                        child process      thread             event loop

Exact   A call takes the policy once, so it is decided by the old one or by the new one. The last
        good bundle is kept on disk after each swap. A change that comes during a reload is looked
        at after it; of several only what then lies in the folder counts.
Errors  None leaves here: what is refused is logged once, with file and line, and `Reloading` tells.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from tallygate.adapters.engines.embedded import EmbeddedEngine
from tallygate.adapters.engines.loading import keep_as_last_good, not_kept, read_bundle
from tallygate.adapters.files.folder_content import read_content
from tallygate.adapters.files.watching import FolderWatch
from tallygate.application.flow import PolicyInForce, RequestLine
from tallygate.application.metrics import Metrics
from tallygate.application.reloading import Outcome, Reading, Reloading
from tallygate.bootstrap.drain_child import INHERITED
from tallygate.bootstrap.policy_reading import MODULE, reading_from_json
from tallygate.errors import EngineError, PoliciesUnsettled, Problem

log = logging.getLogger("tallygate.policies")

_DEADLINE_S: Final = 300.0
_BUNDLE: Final = "bundle.zip"
_TAIL: Final = 300
_LOGGED: Final = 20

Result = TypeVar("Result")
BuildPolicy = Callable[[EmbeddedEngine, Mapping[str, Any]], PolicyInForce]


class ReadingFailed(Exception):
    """The child found nothing out; the text is safe to log."""


@dataclass(frozen=True, slots=True)
class ReloadParts:
    """What a reload works on and with."""

    folder: Path
    last_good: Path
    line: RequestLine
    state: Reloading
    metrics: Metrics
    build: BuildPolicy
    warn_about: Callable[[PolicyInForce], tuple[str, ...]]
    """What of the machine does not fit a policy, such as a missing hash key."""


class PolicyReloader:
    """Keeps one worker on what lies in the folder, from `start` to `close`."""

    def __init__(self, parts: ReloadParts) -> None:
        self._parts = parts
        self._news = asyncio.Event()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="tallygate-reload")
        self._watch: FolderWatch | None = None
        self._task: asyncio.Task[None] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._is_closed = False
        self._is_change = False
        """Whether the next look is at a change; others only make sure that none was missed."""

    @property
    def fault(self) -> str | None:
        """Why the folder is not watched, if it is not."""
        return self._watch.fault if self._watch is not None else None

    def start(self) -> None:
        """Begin to watch; call it on the event loop."""
        loop = asyncio.get_running_loop()

        def told(is_change: bool) -> None:  # noqa: FBT001 - the watch's own call
            with suppress(RuntimeError):  # the loop has closed meanwhile
                loop.call_soon_threadsafe(self._hear, is_change)

        self._watch = FolderWatch(self._parts.folder, told)
        self._watch.start()
        self._task = loop.create_task(self._keep_up(), name="tallygate-reload")

    def _hear(self, is_change: bool) -> None:  # noqa: FBT001 - as the watch tells it
        self._is_change |= is_change
        self._news.set()

    async def close(self) -> None:
        """Stop watching, and a reading that is under way with it."""
        if self._task is not None:
            self._task.cancel()
        self._is_closed = True  # before the kill: a child that is started after it sees this
        self._kill_child()
        if self._watch is not None:
            await asyncio.to_thread(self._watch.stop)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _keep_up(self) -> None:
        pause_s: float | None = None
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), pause_s)
            self._news.clear()
            try:
                pause_s = await self._look()
            except Exception as error:  # noqa: BLE001 - whatever fails, the policy in force stays
                pause_s = self._failed(type(error).__name__)

    async def _look(self) -> float | None:
        """Look once; returns after how many seconds to look again, though nothing changes."""
        parts, state = self._parts, self._parts.state
        try:
            content = await self._aside(lambda: read_content(parts.folder).digest)
            if not state.is_news(content):
                self._seen_again(content)
                return None
            reading, policy = await self._aside(self._prepare)
        except (PoliciesUnsettled, ReadingFailed, EngineError, OSError) as error:
            return self._failed(str(error))
        now_ns = parts.line.clock.now_ns()
        if state.refuses(reading, now_ns):
            self._told(Outcome.REFUSED)
            _log_refused(reading.problems, state.in_force.revision)
        elif policy is not None:
            parts.line.policy = policy  # the swap: whoever has begun keeps the one it took
            state.put_in_force(reading, now_ns)
            state.warn(*parts.warn_about(policy))
            parts.metrics.policy_in_force(state.in_force)
            self._told(Outcome.LOADED)
            log.warning("policies_loaded revision=%s", reading.revision)
        return None

    def _seen_again(self, content: str) -> None:
        was_refused = self._parts.state.refused is not None
        outcome = self._parts.state.seen_again(content)
        if self._is_change or was_refused:
            self._told(outcome)
        self._is_change = False
        if was_refused and self._parts.state.refused is None:
            log.warning("policies_mended revision=%s", self._parts.state.in_force.revision)

    def _failed(self, why: str) -> float:
        if self._parts.state.failure is None:
            log.error("policies_not_judged why=%s", why)
        pause_s = self._parts.state.failed(why)
        self._told(Outcome.FAILED)
        return pause_s

    def _told(self, outcome: Outcome) -> None:
        self._is_change = False
        self._parts.metrics.looked_at_policies(outcome)
        self._parts.metrics.policies_refused(is_refused=self._parts.state.refused is not None)

    async def _aside(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _prepare(self) -> tuple[Reading, PolicyInForce | None]:
        """Read what lies in the folder, and make of it a policy that could decide at once."""
        with tempfile.TemporaryDirectory(prefix="tallygate-reload-") as temporary:
            file = Path(temporary) / _BUNDLE
            reading = self._read_in_child(file)
            if reading.problems:
                return reading, None
            bundle = read_bundle(file)
            if bundle is None:
                raise ReadingFailed("the child's bundle cannot be read")
            engine = EmbeddedEngine(bundle.wasm, bundle.data, bundle.revision)
            policy = self._parts.build(engine, bundle.data)
            try:
                keep_as_last_good(self._parts.last_good, file)
            except OSError as error:
                unkept = not_kept(self._parts.last_good, error)
                reading = replace(reading, warnings=(*reading.warnings, unkept))
        return reading, policy

    def _read_in_child(self, bundle: Path) -> Reading:
        environment = {name: value for name in INHERITED if (value := os.environ.get(name))}
        self._go_on_unless_closed()
        self._child = child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", MODULE, str(self._parts.folder), str(bundle)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        with child:
            try:
                self._go_on_unless_closed()
                found, said = child.communicate(timeout=_DEADLINE_S)
                code = child.returncode
            except subprocess.TimeoutExpired as error:
                raise ReadingFailed(f"reading took longer than {_DEADLINE_S:.0f} s") from error
            finally:
                self._kill_child()
        if code != 0:
            last = said.decode(errors="replace").strip().rpartition("\n")[2][:_TAIL]
            raise ReadingFailed(f"the reading child ended with {code}: {last}")
        try:
            return reading_from_json(found)
        except (ValueError, KeyError, TypeError) as error:
            raise ReadingFailed("the reading child's answer cannot be read") from error

    def _go_on_unless_closed(self) -> None:
        if self._is_closed:
            raise ReadingFailed("the worker is closing")

    def _kill_child(self) -> None:
        child, self._child = self._child, None
        if child is not None and child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # with an opa that it may have started
            child.wait()


def _log_refused(problems: Sequence[Problem], revision: str) -> None:
    """Name each problem once; the text is the policies' own, and holds nothing of a call."""
    for problem in problems[:_LOGGED]:
        log.error("policies_refused in_force=%s problem=%s", revision, problem)
    if len(problems) > _LOGGED:
        log.error("policies_refused in_force=%s more=%s", revision, len(problems) - _LOGGED)
