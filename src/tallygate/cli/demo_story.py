"""What the demo does, step by step, and what a client and an analyst see of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import httpx
import openai
from rich.console import Console
from rich.markup import escape
from rich.rule import Rule

from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.domain.kernel.instants import NS_PER_SECOND

_DRAIN_PATIENCE_S: Final = 20.0
_TABLE_WIDTH: Final = 118
_TRACE: Final = "tr_9f4c"
_OWNED: Final[Mapping[str, str]] = {
    "x-tallygate-owner-team": "team-support",
    "x-tallygate-service": "support-assistant",
    "x-tallygate-environment": "prod",
    "x-tallygate-workflow-id": "refund-triage",
    "x-tallygate-feature": "ticket-triage",
    "x-tallygate-tenant-id-hash": "hk1_3f2a9c0d4b5e6f708192a3b4c5d6e7f8",
}
_SHOWN: Final = ("x-tallygate-action", "x-tallygate-mode", "x-tallygate-violations")


@dataclass(frozen=True, slots=True)
class Ask:
    """One call of the demo."""

    key: str
    model: str
    text: str
    headers: Mapping[str, str]
    stream: bool = False


class Story:
    """Tells the line end to end, on real HTTP."""

    def __init__(self, console: Console, root: Path, override_ends_ns: int) -> None:
        self._console = console
        self._root = root
        self._override_ends_ns = override_ends_ns
        self._step = 0

    def tell(self, *, proxy_url: str, standin_url: str, stop_proxy: Callable[[], None]) -> None:
        """Make the calls, then show what the ledger holds."""
        self._proxy_url = proxy_url
        self._override()
        self._refusals()
        self._report_only()
        self._trace()
        self._override_ends()
        stop_proxy()
        self._ledger(standin_url)

    def _override(self) -> None:
        self._heading("An override excuses a missing workflow, until it expires")
        ends_in_s = (self._override_ends_ns - time.time_ns()) / NS_PER_SECOND
        self._say(f"ovr-demo-0001 in policies/overrides/data.yaml has {ends_in_s:.0f} s left.")
        self._ask(Ask("sk-demo-support", "gpt-5.4-mini", "Hello.", _without("workflow-id")))

    def _refusals(self) -> None:
        self._heading("A call that names no owner is refused before it costs anything")
        self._ask(Ask("sk-demo-platform", "gpt-5.4", "Summarise ticket 4711.", {}))
        self._heading("The same call, mended as the message says")
        self._ask(Ask("sk-demo-platform", "gpt-5.4", "Summarise ticket 4711.", _OWNED))
        self._heading("Nobody bills another team by typing its name")
        claim = {**_OWNED, "x-tallygate-owner-team": "team-search"}
        self._ask(Ask("sk-demo-support", "gpt-5.4", "Hello.", claim))

    def _report_only(self) -> None:
        self._heading("A service in report-only passes; the answer says what enforce would do")
        headers = {"x-tallygate-service": "knowledge-search", "x-tallygate-environment": "prod"}
        self._ask(Ask("sk-demo-search", "gpt-5.4-mini", "Rewrite this query.", headers))

    def _trace(self) -> None:
        self._heading(f"One trace: a retry, a stream from Anthropic with cache reads ({_TRACE})")
        traced = {**_OWNED, "x-tallygate-trace-id": _TRACE}
        fails = "Classify. [[standin: status=500 fail=1]]"
        self._ask(Ask("sk-demo-support", "gpt-5.4-mini", fails, traced))
        cached = "Draft. [[standin: input=3400 cached=1200 output=620]]"
        self._ask(Ask("sk-demo-support", "claude-sonnet-5-5", cached, traced, stream=True))

    def _override_ends(self) -> None:
        self._heading("The override has expired: the first call of this demo is refused now")
        left_s = (self._override_ends_ns - time.time_ns()) / NS_PER_SECOND
        if left_s > 0:
            self._say(f"waiting {left_s:.0f} s")
            time.sleep(left_s + 1)
        self._ask(Ask("sk-demo-support", "gpt-5.4-mini", "Hello.", _without("workflow-id")))

    def _ledger(self, standin_url: str) -> None:
        self._heading("The ledger: one priced event per provider call, one per refusal")
        counted = httpx.get(f"{standin_url}/standin/count", trust_env=False).json()
        received = counted["generating"]
        deadline = time.monotonic() + _DRAIN_PATIENCE_S
        while self._run("drain", quiet=True) != 0 and time.monotonic() < deadline:
            time.sleep(0.5)  # the proxy's own drain still holds the spool
        self._run("events")
        self._heading(f"The trace {_TRACE}: what one piece of work cost")
        self._run("trace", "show", _TRACE)
        self._heading("Look for yourself")
        state = self._root / "state"
        ledger = SqliteLedger(state / "ledger.db", create=False)
        booked = ledger.count_attempts()
        ledger.close()
        self._say(f"The stand-in received {received} provider calls, the ledger holds {booked}.")
        if received != booked:
            raise click.ClickException("The two should be equal. That is a bug of tallygate.")
        for command in ("events --format csv", f"trace show {_TRACE} --format json", "doctor"):
            self._say(f"TALLYGATE_STATE={state} tallygate {command}")

    def _run(self, *words: str, quiet: bool = False) -> int:
        if not quiet:
            self._console.print(f"[bold]$ tallygate {escape(' '.join(words))}[/bold]")
        environment = {
            **os.environ,
            "TALLYGATE_STATE": str(self._root / "state"),
            "TALLYGATE_POLICIES": str(self._root / "policies"),
            "COLUMNS": str(max(self._console.width, _TABLE_WIDTH)),
        }
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", "tallygate", *words],
            env=environment,
            check=False,
            capture_output=quiet,
        )
        return done.returncode

    def _ask(self, ask: Ask) -> None:
        self._show_request(ask)
        client = openai.OpenAI(
            base_url=f"{self._proxy_url}/v1",
            api_key=ask.key,
            max_retries=0,
            http_client=httpx.Client(trust_env=False, timeout=60),
        )
        try:
            raw = client.chat.completions.with_raw_response.create(
                model=ask.model,
                messages=[{"role": "user", "content": ask.text}],
                stream=ask.stream,
                extra_headers=dict(ask.headers),
            )
            answer: Any = raw.parse()
            if ask.stream:
                for _ in answer:
                    pass
        except openai.APIStatusError as error:
            body = error.body if isinstance(error.body, dict) else {}
            self._console.print(
                f"  [red]{type(error).__name__}[/red] {error.status_code} "
                f"code={body.get('code')} param={body.get('param')}"
            )
            self._say(str(body.get("message", error.message)))
            return
        shown = " ".join(
            f"{name.removeprefix('x-tallygate-')}={raw.headers[name]}"
            for name in _SHOWN
            if name in raw.headers
        )
        self._console.print(f"  [green]200[/green] {escape(shown)}", soft_wrap=True)

    def _show_request(self, ask: Ask) -> None:
        self._console.print(f"  {ask.model} with {ask.key}", style="dim")
        for name, value in ask.headers.items():
            self._console.print(f"    {name}: {value}", style="dim")

    def _heading(self, text: str) -> None:
        self._step += 1
        self._console.print()
        self._console.print(Rule(f"[bold]{self._step}. {escape(text)}[/bold]", align="left"))

    def _say(self, text: str) -> None:
        self._console.print(f"  {escape(text)}", soft_wrap=True, highlight=False)


def _without(field: str) -> dict[str, str]:
    return {name: value for name, value in _OWNED.items() if name != f"x-tallygate-{field}"}
