"""The `mcp` client, and LiteLLM's own, find three tools; the book has each call of one."""

from __future__ import annotations

from typing import Any

import httpx
import mcp
import pytest
from litellm.experimental_mcp_client.client import MCPClient
from mcp.types import CallToolRequestParams

INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def _rpc(url: str, method: str, path: str = "/mcp", **params: Any) -> httpx.Response:
    message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    return httpx.post(f"{url}{path}", json=message)


def _call(url: str, name: str, **arguments: Any) -> httpx.Response:
    return _rpc(url, "tools/call", name=name, arguments=arguments)


def _executed(book: httpx.Client) -> list[dict[str, Any]]:
    return [c for c in book.get("/calls").json() if c["operation"] == "execute_tool"]


async def test_the_official_client_lists_and_calls_the_tools(
    standin_url: str, book: httpx.Client
) -> None:
    async with mcp.Client(f"{standin_url}/mcp") as client:
        tools = (await client.list_tools()).tools
        found = await client.call_tool("lookup", {"query": "three words here"})
        slow = await client.call_tool("slow", {"query": "one", "seconds": 0.01})
        failed = await client.call_tool("failing", {})

    assert [tool.name for tool in tools] == ["lookup", "slow", "failing"]
    assert "looked up 3 words" in found.content[0].text
    assert "looked up 1 words" in slow.content[0].text
    assert [found.is_error, slow.is_error, failed.is_error] == [False, False, True]
    calls = _executed(book)
    assert [call["model"] for call in calls] == ["lookup", "slow", "failing"]
    assert {call["billed"]["tool_calls"] for call in calls} == {1}


async def test_litellm_s_client_does_too(standin_url: str, book: httpx.Client) -> None:
    client = MCPClient(server_url=f"{standin_url}/mcp/docs", auth_value=None, timeout=20)

    tools = await client.list_tools()
    result = await client.call_tool(
        CallToolRequestParams(name="lookup", arguments={"query": "two words"})
    )

    assert [tool.name for tool in tools] == ["lookup", "slow", "failing"]
    assert "looked up 2 words" in result.content[0].text
    assert [call["path"] for call in _executed(book)] == ["/mcp/docs"]


def test_only_a_tool_s_call_could_cost_something(standin_url: str, book: httpx.Client) -> None:
    for method in ("initialize", "ping", "tools/list"):
        assert "result" in _rpc(standin_url, method).json()
    assert httpx.post(f"{standin_url}/mcp", json=INITIALIZED).status_code == 202
    _call(standin_url, "lookup", query="hi")

    assert book.get("/count").json()["generating"] == 1
    assert [call["generates"] for call in book.get("/calls").json()] == [False] * 4 + [True]


@pytest.mark.parametrize(
    ("asked", "given"), [("2025-03-26", "2025-03-26"), ("2099-01-01", "2025-11-25")]
)
def test_the_version_is_the_client_s_where_it_is_known(
    standin_url: str, asked: str, given: str
) -> None:
    answer = _rpc(standin_url, "initialize", protocolVersion=asked).json()

    assert answer["result"]["protocolVersion"] == given


def test_what_is_not_there_is_an_error_of_the_protocol(
    standin_url: str, book: httpx.Client
) -> None:
    assert _rpc(standin_url, "resources/list").json()["error"]["code"] == -32601
    assert _call(standin_url, "unknown").json()["error"]["code"] == -32602
    assert _call(standin_url, "slow", seconds=-1).status_code == 400
    assert httpx.get(f"{standin_url}/mcp").status_code == 405
    assert httpx.delete(f"{standin_url}/mcp").status_code == 405
    assert [call["billed"] for call in _executed(book)] == [None, {"tool_calls": 1}]


def test_faults_on_demand_reach_one_tool_s_call(standin_url: str, book: httpx.Client) -> None:
    def ask(name: str, wish: str) -> httpx.Response:
        return _call(standin_url, name, query=f"[[standin: {wish}]]")

    assert ask("lookup", "status=503").status_code == 503
    for _ in range(2):
        ask("lookup", "fail=1 status=500 key=mcp")
    for name, wish in (("lookup", "cut=0"), ("slow", "cut=0")):
        with pytest.raises(httpx.RemoteProtocolError):
            ask(name, wish)
    error = ask("slow", "error_after=0").text
    ask("lookup", "malformed")

    assert '"id":7,"error"' in error
    ended = [call["ended"] for call in _executed(book)]
    assert ended == ["error", "error", "complete", "cut", "cut", "error", "malformed"]


def test_a_client_that_will_not_wait_is_seen_to_leave(standin_url: str, book: httpx.Client) -> None:
    message = {"name": "slow", "arguments": {"seconds": 30}}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{standin_url}/mcp",
            json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": message},
            timeout=0.2,
        )

    while not (calls := _executed(book)) or calls[0]["ended"] == "open":
        pass  # pytest-timeout ends a wait in vain
    assert calls[0]["ended"] == "client_gone"
