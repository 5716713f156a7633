"""
Installing the gate into a running LiteLLM proxy, and saying what could not be installed.

LiteLLM imports the handler inside its event loop while it starts, once per worker. What the gate
needs beyond documented hooks is looked for here; what is missing is named, with what is lost by
it, in the log and in a file for `tallygate doctor`, and the rest goes on.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import litellm
from litellm.proxy import proxy_server
from litellm.proxy.auth.user_api_key_auth import user_api_key_auth

from tallygate.bootstrap.gate import GateParts, build_gate
from tallygate.proxy.activation_route import activation_routes, let_keys_call
from tallygate.proxy.auth import wrap_authentication
from tallygate.proxy.calls import Calls
from tallygate.proxy.gate import _PROXY_Gate, report
from tallygate.proxy.journal import Journal
from tallygate.proxy.own_routes import install_own_routes, monitoring_router
from tallygate.proxy.releases import findings_about, look_at_litellm
from tallygate.proxy.selfcheck import Finding, SelfCheck
from tallygate.proxy.sending import watch_sends
from tallygate.proxy.server_check import ServerCheck
from tallygate.proxy.tap import Tap
from tallygate.settings import read_settings

log = logging.getLogger("tallygate.proxy")

_HOUSEKEEPING_S: Final = 1.0
_DRAIN_AT_END_S: Final = 5.0


def install_gate() -> _PROXY_Gate:
    """Build the gate for this worker and hook it into the proxy that is loading it."""
    settings = read_settings()
    base = _config_folder()
    parts = build_gate(settings, base)
    journal = Journal(parts.line, settings.settle_grace_s)
    calls = Calls(parts.line, journal, parts.metrics)
    gate = _PROXY_Gate(calls)
    server = ServerCheck(parts.line)
    check = SelfCheck(parts, server)
    installed = _Installed(parts, journal, gate, check, server)
    check.note(*_install_hooks(calls, journal, gate, installed))
    check.note(*_look_around())
    for warning in parts.warnings:
        log.warning("%s", warning)
    installed.start()
    return gate


class _Installed:
    """What runs beside the calls of one worker, from start to shutdown."""

    def __init__(
        self,
        parts: GateParts,
        journal: Journal,
        gate: _PROXY_Gate,
        check: SelfCheck,
        server: ServerCheck,
    ) -> None:
        self.parts = parts
        self._journal = journal
        self._gate = gate
        self._check = check
        self._server = server
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(
            self._keep_house(), name="tallygate-housekeeping"
        )
        if self.parts.reloader is not None:
            self.parts.reloader.start()

    async def close(self) -> None:
        """
        Let late hooks finish, then write all that is known and let the spool go.

        No step keeps the next from being taken, nor LiteLLM from its own shutdown after them.
        """
        if self._task is not None:
            self._task.cancel()
        if self.parts.reloader is not None:
            with _reported("close_reloader"):
                await self.parts.reloader.close()
        for _ in range(int(_DRAIN_AT_END_S / 0.05)):
            if self._journal.lingering == 0:
                break
            await asyncio.sleep(0.05)
        with _reported("close_journal"):
            self._journal.sweep(at_end=True)
        with _reported("close_refusals"):
            self.parts.line.write_held_refusals(at_end=True)
        with _reported("close_spool"):
            self.parts.line.spool.close()
        with _reported("close_metrics"):
            self.parts.metrics.close()
        if self.parts.line.server is not None:
            with _reported("close_server"):
                await self.parts.line.server.close()
        with _reported("close_gates_file"):
            self._check.remove()

    async def _keep_house(self) -> None:
        is_noted = False
        while True:
            if not is_noted:
                with _reported("housekeeping_callbacks"):
                    self._check.note(*_order_of_callbacks(self._gate))
                is_noted = True
            with _reported("housekeeping_journal"):
                self._journal.sweep()
            with _reported("housekeeping_refusals"):
                self.parts.line.write_held_refusals()
            with _reported("housekeeping_metrics"):
                self._tell_numbers()
            if self.parts.drain is not None:
                with _reported("housekeeping_drain"):
                    self.parts.drain.keep_alive()
            with _reported("housekeeping_server"):
                await self._server.look()
            with _reported("housekeeping_gates_file"):
                self._check.write_if_changed()
            await asyncio.sleep(_HOUSEKEEPING_S)

    def _tell_numbers(self) -> None:
        line, metrics = self.parts.line, self.parts.metrics
        metrics.terms(line.terms_now(), line.clock.now_ns())
        metrics.uncounted(line.uncounted)


@contextmanager
def _reported(step: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - one step's failure must not be the others'
        report(step, error)


def _install_hooks(
    calls: Calls, journal: Journal, gate: _PROXY_Gate, installed: _Installed
) -> list[Finding]:
    steps: tuple[tuple[str, str, Callable[[], None]], ...] = (
        ("middleware_stack", "no call is governed or accounted", lambda: _install_tap(calls)),
        (
            "dependency_overrides",
            "routes without a pre-call hook are not decided",
            lambda: _install_auth(calls),
        ),
        (
            "proxy_shutdown_event",
            "calls in flight at SIGTERM end as unknown",
            lambda: _install_shutdown(installed),
        ),
        (
            "sends",
            "a kill may leave an attempt that no provider saw",
            lambda: _install_sends(journal),
        ),
        (
            "own_routes",
            "/tallygate/health, /tallygate/metrics and break-glass are not served",
            lambda: _install_routes(installed),
        ),
        (
            # LiteLLM fills this list on the first SDK call only.
            "input_callback",
            "pass-through before the first SDK call is missed",
            lambda: litellm.input_callback.append(gate),
        ),
    )
    return [_tried(name, lost, install) for name, lost, install in steps]


def _tried(name: str, lost: str, install: Callable[[], None]) -> Finding:
    try:
        install()
    except Exception as error:  # noqa: BLE001 - an internal of LiteLLM that has moved
        report(name, error)
        return Finding(name, ok=False, lost=lost)
    return Finding(name, ok=True)


def _install_tap(calls: Calls) -> None:
    app: Any = proxy_server.app
    if app.middleware_stack is None:
        raise RuntimeError("the middleware stack is not built")
    app.middleware_stack = Tap(app.middleware_stack, calls)


def _install_auth(calls: Calls) -> None:
    wrapped = wrap_authentication(user_api_key_auth, calls)
    proxy_server.app.dependency_overrides[user_api_key_auth] = wrapped


def _install_routes(installed: _Installed) -> None:
    parts = installed.parts
    break_glass = activation_routes(parts.line, parts.activations)
    install_own_routes(proxy_server.app, [monitoring_router(parts), break_glass])
    let_keys_call()


def _install_shutdown(installed: _Installed) -> None:
    original: Callable[..., Awaitable[Any]] = proxy_server.proxy_shutdown_event

    async def close_first(*args: Any, **kwargs: Any) -> Any:
        await installed.close()
        return await original(*args, **kwargs)

    proxy_server.proxy_shutdown_event = close_first


def _install_sends(journal: Journal) -> None:
    if missing := watch_sends(journal.sends):
        raise RuntimeError(f"cannot watch {', '.join(missing)}")


def _look_around() -> list[Finding]:
    return [
        *findings_about(look_at_litellm(version("litellm"))),
        Finding(
            "streaming_logging",
            ok=not getattr(litellm, "disable_streaming_logging", False),
            lost="litellm.disable_streaming_logging hides the usage of every stream",
        ),
        Finding("assertions", ok=__debug__, lost="Python runs with -O; invariants are not checked"),
    ]


def _order_of_callbacks(gate: _PROXY_Gate) -> list[Finding]:
    """Look whether anybody else's callback stands before the gate, and whether it is in at all."""
    lost = "a callback that stands before tallygate can delay it or reject calls before it"
    for callback in litellm.callbacks:
        if callback is gate:
            return [Finding("callbacks_first", ok=True)]
        module = type(callback).__module__ if not isinstance(callback, str) else ""
        if not module.startswith("litellm."):
            break
    return [Finding("callbacks_first", ok=False, lost=lost)]


def _config_folder() -> Path:
    """Find the folder of the proxy's config file; the current folder where there is none."""
    for candidate in (
        getattr(proxy_server, "user_config_file_path", None),
        os.environ.get("CONFIG_FILE_PATH"),
    ):
        if isinstance(candidate, str) and candidate:
            return Path(candidate).absolute().parent
    return Path.cwd()
