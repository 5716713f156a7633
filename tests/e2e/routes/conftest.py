"""
One proxy for every table of scenarios, and the way a scenario is run and compared.

Each module also ends with a look at all its calls at once, where what came late would show.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.gated import copy_policies
from e2e.proxy_process import STANDIN_KEY, RunningProxy, RunningStandin
from e2e.routes.caller import Caller
from e2e.routes.comparison import Book, differences, ids_apart, without_handshakes
from e2e.routes.proxy_config import config_for
from e2e.routes.scenario import Scenario
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.application.ports import EventFilter

_PATIENCE_S = 6.0
_POLL_S = 0.1
_QUIET_S = 0.25
_OF_CALL = "operation method path status ended provider_request_id billed"
_OF_ROW = (
    "kind operation provider request_model status http_status error_type detail usage_source "
    "usage_format input_tokens output_tokens price_status unpriced_reason cost owner_team trace_id "
    "provider_request_id route call_type"
)

RunScenario = Callable[[Scenario], None]


class Books:
    """Both books of a running proxy."""

    def __init__(self, proxy: RunningProxy, standin: RunningStandin) -> None:
        self.proxy, self.standin = proxy, standin

    def newest(self) -> int:
        return max((call["seq"] for call in self.standin.calls()), default=0)

    def calls(self, after: int) -> Book:
        return without_handshakes(self.standin.calls(after))

    def rows(self, trace_id: str | None = None) -> Book:
        path = self.proxy.state / "ledger.db"
        if not path.exists():
            return []
        ledger = SqliteLedger(path, create=False)
        try:
            return [dict(row) for row in ledger.rows(EventFilter(trace_id=trace_id))]
        finally:
            ledger.close()

    def compare(self, scenario: Scenario, caller: Caller, after: int) -> None:
        """Wait until the books agree, and go on to agree; show where they do not."""
        until = time.monotonic() + _PATIENCE_S
        quiet = False
        while True:
            calls, rows = self.calls(after), self.rows(caller.trace_id)
            found = differences(scenario, caller, calls, rows)
            if not found and quiet:
                break
            quiet = not found
            assert quiet or time.monotonic() < until, "\n".join([*found, _shown(calls, rows)])
            time.sleep(_QUIET_S if quiet else _POLL_S)
        if scenario.check is not None:
            scenario.check(rows, calls)


def _shown(calls: Book, rows: Book) -> str:
    of_call, of_row = _OF_CALL.split(), _OF_ROW.split()
    lines = [f"  provider {_picked(call, of_call)}" for call in calls]
    return "\n".join([*lines, *(f"  ledger   {_picked(row, of_row)}" for row in rows)])


def _picked(record: dict[str, Any], names: Any) -> str:
    return " ".join(str(record[name]) for name in names)


@pytest.fixture(scope="session")
def routes_proxy(
    shared_standin: RunningStandin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningProxy]:
    folder = tmp_path_factory.mktemp("routes")
    config = folder / "litellm_config.yaml"
    config.write_text(config_for(shared_standin.url))
    environment = environment_for(shared_standin, copy_policies(folder))
    with RunningProxy(
        config, folder, standin_url=shared_standin.url, environment=environment
    ) as proxy:
        yield proxy


def environment_for(standin: RunningStandin, policies: Path) -> dict[str, str]:
    """Point every provider that LiteLLM finds by the environment at the stand-in."""
    return {
        "TALLYGATE_POLICIES": str(policies),
        "TALLYGATE_SETTLE_GRACE_S": "2",
        "OPENAI_BASE_URL": f"{standin.url}/v1",
        "GEMINI_API_BASE": standin.url,
        "GEMINI_API_KEY": STANDIN_KEY,
        "COHERE_API_BASE": standin.url,
        "COHERE_API_KEY": STANDIN_KEY,
        "AWS_ACCESS_KEY_ID": "AKIASTANDIN",
        "AWS_SECRET_ACCESS_KEY": STANDIN_KEY,
        "AWS_REGION_NAME": "eu-west-1",
        "AWS_BEDROCK_RUNTIME_ENDPOINT": standin.url,
    }


@pytest.fixture(scope="module")
def books(routes_proxy: RunningProxy, shared_standin: RunningStandin) -> Iterator[Books]:
    """Give both books; in the end all calls of the module must be in both."""
    found = Books(routes_proxy, shared_standin)
    yield from kept_whole(found)


def kept_whole(books: Books) -> Iterator[Books]:
    after, since_ns = books.newest(), time.time_ns()
    yield books
    until_whole(books, after, lambda row: row["call_started_at_ns"] >= since_ns)


def until_whole(
    books: Books, after: int, is_meant: Callable[[dict[str, Any]], bool]
) -> list[dict[str, Any]]:
    """Wait until the rows that are meant and the calls since then are the same calls."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        rows = [row for row in books.rows() if is_meant(row)]
        found = list(ids_apart(books.calls(after), rows))
        if not found:
            return rows
        assert time.monotonic() < until, f"over all of them: {found}"
        time.sleep(_POLL_S)


@pytest.fixture
def run(books: Books) -> RunScenario:
    """Run a scenario, and compare the books of it."""
    return lambda scenario: run_scenario(books, scenario)


def run_scenario(books: Books, scenario: Scenario) -> None:
    after = books.newest()
    with Caller(books.proxy.url) as caller:
        if scenario.raises is None:
            scenario.act(caller)
        else:
            with pytest.raises(scenario.raises):
                scenario.act(caller)
        books.compare(scenario, caller, after)
