"""A proxy that is killed in the middle of a realtime session loses no turn that had ended."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from e2e.gated import OWNED, copy_policies, settled_rows
from e2e.proxy_process import RunningProxy, RunningStandin
from e2e.routes.proxy_config import config_for

KEY = "sk-demo-support"


def turn(session: ClientConnection, text: str) -> None:
    said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    session.send(json.dumps({"type": "conversation.item.create", "item": said}))
    session.send(json.dumps({"type": "response.create"}))
    while json.loads(session.recv())["type"] != "response.done":
        pass


def test_turns_that_had_ended_are_billed_and_the_session_is_unknown(
    tmp_path: Path, standin: RunningStandin
) -> None:
    policies = copy_policies(tmp_path)
    config = tmp_path / "litellm_config.yaml"
    config.write_text(config_for(standin.url))
    environment = {"TALLYGATE_POLICIES": str(policies), "TALLYGATE_DRAIN": "off"}
    proxy = RunningProxy(config, tmp_path, standin_url=standin.url, environment=environment).start()
    url = f"{proxy.url.replace('http', 'ws', 1)}/v1/realtime?model=gpt-realtime"
    headers: dict[str, Any] = {"authorization": f"Bearer {KEY}", **OWNED}

    session = connect(url, additional_headers=headers, proxy=None)
    session.recv()
    turn(session, "[[standin: input=40 output=7]] one")
    turn(session, "[[standin: input=90 output=8]] two")
    session.send(json.dumps({"type": "response.create"}))
    proxy.kill9()
    booked = settled_rows(proxy, policies, 1)

    (attempt,) = [row for row in booked if row["kind"] == "attempt"]
    turns = [row for row in booked if row["kind"] == "usage"]
    assert (attempt["status"], attempt["operation"]) == ("unknown", "realtime")
    assert attempt["price_status"] == "unpriced"
    assert [(row["input_tokens"], row["output_tokens"]) for row in turns[:2]] == [(40, 7), (90, 8)]
    assert {row["parent_event_id"] for row in turns} == {attempt["event_id"]}
    assert all(row["cost"] > Decimal(0) for row in turns)
    # LiteLLM asks for models and tools on its own, when it starts.
    assert [call["operation"] for call in standin.calls()].count("realtime") == 1
