"""
Answers that ask for a tool: `[[standin: tool=lookup rounds=2]]` asks twice, then says its text.

Nothing is kept between requests: a call's id carries its round, and the caller sends it back with
the tool's result. A tool that the request does not offer is not asked for; of a gateway's name such
as `server-lookup` the end counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from secrets import token_hex

import orjson

from tallygate.standin.directives import Directives

TOKENS = 8
"""What asking for a tool counts as output, unless told."""
_ROUND = re.compile(r"[a-z]+_(\d{2})[0-9a-f]{22}")
_BEFORE_THE_NAME = ("-", "_", ".", "/")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that the model asks for."""

    round: int
    name: str
    secret: str = field(default_factory=lambda: token_hex(11))

    def call_id(self, prefix: str) -> str:
        return f"{prefix}_{self.round:02d}{self.secret}"

    @property
    def arguments(self) -> dict[str, str]:
        return {"query": f"round {self.round}"}

    @property
    def written_arguments(self) -> str:
        return orjson.dumps(self.arguments).decode()


def rounds_in(call_ids: Iterable[object]) -> int:
    """
    Find the last round whose result has come; the id of another's making is a round of its own.

    The ids are those of the results since the user last spoke.
    """
    done = 0
    for call_id in call_ids:
        found = _ROUND.fullmatch(call_id) if isinstance(call_id, str) else None
        done = max(done, int(found[1])) if found else done + 1
    return done


def tool_call_for(wishes: Directives, offered: Iterable[str], done: int) -> ToolCall | None:
    """Choose the call that comes next, if one is still wished for."""
    if not wishes.tool or done >= wishes.rounds:
        return None
    ends = tuple(before + wishes.tool for before in _BEFORE_THE_NAME)
    for name in offered:
        if name == wishes.tool or name.endswith(ends):
            return ToolCall(done + 1, name)
    return None


def names_of(tools: object) -> tuple[str, ...]:
    """List the tools of a request, in OpenAI's nested shape or in the flat one."""
    names: list[str] = []
    for tool in tools if isinstance(tools, list) else []:
        if isinstance(tool, dict):
            inner = tool.get("function")
            name = inner.get("name") if isinstance(inner, dict) else tool.get("name")
            names += [name] if isinstance(name, str) else []
    return tuple(names)
