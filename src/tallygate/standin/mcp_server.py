"""
An MCP server over streamable HTTP under /mcp: three tools, each call of one in the book.

`lookup` answers in JSON, `slow` in an event stream after `seconds`, `failing` with a tool's error.
`/mcp/{server}` is the same server under another name. Stateless: no session, no stream of its own.
Directives may stand in any argument. In the book a call of a tool is `execute_tool` and its model
is the tool's name; everything else is `mcp` and costs nothing.
Source: the specification of 2025-06-18; the `mcp` client and LiteLLM read it (tests/standin).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Any

import orjson

from tallygate.standin.answers import Asked, Frame, RequestUnacceptable
from tallygate.standin.asgi import Headers, send_part, start
from tallygate.standin.book import Ending
from tallygate.standin.routing import Call, Request, Route, World

_NEWEST_FIRST = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
_NO_METHOD = -32601
_BAD_PARAMS = -32602
_INTERNAL = -32603
_LONGEST_S = 60.0
_TEXT: Mapping[str, Any] = {"type": "string", "description": "Anything."}
_SECONDS: Mapping[str, Any] = {"type": "number", "minimum": 0, "maximum": _LONGEST_S}


def _tool(name: str, description: str, **properties: Mapping[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"query": _TEXT, **properties}}
    return {"name": name, "description": description, "inputSchema": schema}


TOOLS: Mapping[str, dict[str, Any]] = {
    tool["name"]: tool
    for tool in (
        _tool("lookup", "Look something up; finds it at once."),
        _tool("slow", "Look something up, slowly.", seconds=_SECONDS),
        _tool("failing", "Look something up and fail."),
    )
}


@dataclass(frozen=True, slots=True)
class McpServer:
    """What the routes share; an error names the request's own id where there is one."""

    rpc_id: object = None

    def error_body(
        self, status: int, request_id: str, message: str = "", param: str | None = None
    ) -> dict[str, Any]:
        del request_id, param
        said = message or f"The stand-in was asked to answer {status}."
        return self.error(_INTERNAL, said)

    def error_frame(self, request_id: str) -> bytes:
        return _event(self.error_body(500, request_id))

    def new_request_id(self) -> str:
        return f"mcp_{token_hex(12)}"

    def headers(self, request_id: str) -> Headers:
        return [(b"x-request-id", request_id.encode())]

    def error(self, code: int, message: str) -> dict[str, Any]:
        error = {"code": code, "message": message}
        return {"jsonrpc": "2.0", "id": self.rpc_id, "error": error}

    def result(self, result: Mapping[str, Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": self.rpc_id, "result": result}


def table(world: World) -> Iterator[Route]:
    """List the routes of an MCP server; most of them ask for no key."""
    del world
    for pattern in ("/mcp", "/mcp/", "/mcp/{server}"):
        route = Route(
            method="POST",
            pattern=pattern,
            provider=McpServer(),
            operation="mcp",
            answer=_answer,
            read=_read,
            generates=False,
            needs_key=False,
        )
        yield route
        for method in ("GET", "DELETE"):
            yield replace(route, method=method, answer=_refuse, read=_read_nothing)


def _read(request: Request) -> Asked:
    message = request.json()
    params = message.get("params")
    params = params if isinstance(params, dict) else {}
    calls = message.get("method") == "tools/call"
    return Asked(
        model=str(params.get("name") or "")[:128] if calls else "",
        operation="execute_tool" if calls else "",
        directive_text=orjson.dumps(params.get("arguments")).decode() if calls else "",
        extra={"message": message, "params": params},
    )


def _read_nothing(request: Request) -> Asked:
    del request
    return Asked(model="", extra={})


async def _refuse(call: Call) -> Ending:
    return await call.refuse(405, "The stand-in's MCP server has no stream and no session.")


async def _answer(call: Call) -> Ending:
    message, params = call.asked.extra["message"], call.asked.extra["params"]
    method = message.get("method")
    if "id" not in message:
        return await _accept(call)
    server = McpServer(message["id"])
    call = replace(call, reply=replace(call.reply, provider=server))
    match method:
        case "initialize":
            return await call.json(server.result(_initialized(params)))
        case "ping":
            return await call.json(server.result({}))
        case "tools/list":
            return await call.json(server.result({"tools": list(TOOLS.values())}))
        case "tools/call":
            return await _execute(call, server, params)
    return await call.json(server.error(_NO_METHOD, "Method not found"))


async def _accept(call: Call) -> Ending:
    """Take a notification, to which there is no answer."""
    call.record.status = 202
    headers = McpServer().headers(call.reply.request_id)
    await start(call.send, 202, [(b"content-length", b"0"), *headers])
    await send_part(call.send, b"", more=False)
    return Ending.COMPLETE


def _initialized(params: Mapping[str, Any]) -> dict[str, Any]:
    asked = params.get("protocolVersion")
    return {
        "protocolVersion": asked if asked in _NEWEST_FIRST else _NEWEST_FIRST[0],
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": {"name": "tallygate-standin", "version": "1"},
    }


async def _execute(call: Call, server: McpServer, params: Mapping[str, Any]) -> Ending:
    name = params.get("name")
    given = params.get("arguments")
    arguments = given if isinstance(given, dict) else {}
    if not isinstance(name, str) or name not in TOOLS:
        return await call.json(server.error(_BAD_PARAMS, "Unknown tool"))
    call.record.response_model = name
    call.record.billed = {"tool_calls": 1}
    if name == "failing":
        return await call.json(server.result(_said("The tool failed.", failed=True)))
    if name == "lookup":
        return await call.json(server.result(_said(_found(arguments))))
    if await call.departure.within(_seconds_in(arguments)):
        return Ending.CLIENT_GONE
    answer = server.result(_said(_found(arguments)))
    return await call.stream([Frame(data=_event(answer), is_chunk=True)])


def _seconds_in(arguments: Mapping[str, Any]) -> float:
    seconds = arguments.get("seconds", 0)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise RequestUnacceptable("seconds: expected a number of seconds")
    if not 0 <= seconds <= _LONGEST_S:
        raise RequestUnacceptable(f"seconds: expected 0 to {_LONGEST_S:g}")
    return float(seconds)


def _found(arguments: Mapping[str, Any]) -> str:
    words = str(arguments.get("query") or "").split()
    return f"The stand-in looked up {len(words)} words and found itself."


def _said(text: str, *, failed: bool = False) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": failed}


def _event(message: Mapping[str, Any]) -> bytes:
    return b"event: message\ndata: %b\n\n" % orjson.dumps(message)
