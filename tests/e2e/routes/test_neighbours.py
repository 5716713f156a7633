"""
Callbacks of others that dawdle or raise take nothing out of the ledger, wherever they stand.

Method: a proxy with both before the gate in `callbacks`, and one with both behind it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from e2e.gated import copy_policies
from e2e.proxy_process import RunningProxy, RunningStandin
from e2e.routes.caller import MINI, Caller
from e2e.routes.conftest import Books, environment_for, kept_whole, run_scenario
from e2e.routes.proxy_config import GATE, config_for
from e2e.routes.scenario import CHAT, REFUSED_BY_PROVIDER, Attempt, Scenario

NEIGHBOURS = ("neighbours.slow", "neighbours.raising")
ORDERS = {"behind the gate": (GATE, *NEIGHBOURS), "before the gate": (*NEIGHBOURS, GATE)}
USUAL = "0.0000615"  # 40 x 0.75 + 7 x 4.50 millionths
LONG = "chunks=20 interval=0.1 input=40 output=20"


def message_streamed(caller: Caller) -> None:
    with caller.streaming("/v1/messages", caller.claude()) as lines:
        list(lines)


def leave(caller: Caller) -> None:
    body = {"model": MINI, "messages": caller.messages(LONG)}
    with caller.streaming("/v1/chat/completions", body) as lines:
        next(lines)


def embed(caller: Caller) -> None:
    caller.openai.embeddings.create(model="text-embedding-3-small", input=caller.text("input=40"))


def pass_on(caller: Caller) -> None:
    body = {"model": MINI, "messages": caller.messages()}
    caller.ok("/gateway/v1/chat/completions", body)


SCENARIOS = (
    Scenario(name="chat", act=Caller.chat, cost=USUAL),
    Scenario(name="chat streamed", act=lambda c: list(c.chat(stream=True)), cost=USUAL),
    Scenario(name="message streamed", act=message_streamed, cost="0.00015"),
    Scenario(
        name="embeddings",
        act=embed,
        attempts=(Attempt(operation="embeddings", asked="embeddings"),),
        cost="0.0000008",
    ),
    Scenario(name="passed on", act=pass_on, attempts=(Attempt(price="unpriced"),)),
    Scenario(
        name="retried",
        act=lambda caller: caller.chat("status=500 fail=1 input=40 output=7"),
        attempts=(REFUSED_BY_PROVIDER, CHAT),
        cost=USUAL,
    ),
    Scenario(
        name="refused by the provider",
        act=lambda caller: caller.chat("status=400"),
        attempts=(REFUSED_BY_PROVIDER,),
        raises=openai.BadRequestError,
    ),
    Scenario(
        name="client gone",
        act=leave,
        attempts=(Attempt(status="cancelled", usage="estimated"),),
        cost=None,
    ),
)


@pytest.fixture(scope="module", params=ORDERS.values(), ids=ORDERS)
def neighboured(
    request: pytest.FixtureRequest,
    shared_standin: RunningStandin,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Books]:
    folder = tmp_path_factory.mktemp("neighbours")
    shutil.copy(Path(__file__).with_name("neighbours.py"), folder)
    config = folder / "litellm_config.yaml"
    config.write_text(config_for(shared_standin.url, callbacks=request.param))
    environment = environment_for(shared_standin, copy_policies(folder))
    # Longer than the slow one takes, as it is by default.
    environment["TALLYGATE_SETTLE_GRACE_S"] = "10"
    started = RunningProxy(config, folder, standin_url=shared_standin.url, environment=environment)
    with started as proxy:
        yield from kept_whole(Books(proxy, shared_standin))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_books_agree(scenario: Scenario, neighboured: Books) -> None:
    run_scenario(neighboured, scenario)
