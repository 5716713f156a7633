"""
Blocks of work that say who pays, as a `with` or as a decorator.

Inner blocks add and override, and what was before comes back at their end. A block may be entered
any number of times, also by tasks at once.

Errors  ValueError for a value that the gate would not read, when the block is made.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Any, Final, TypeVar, cast

from tallygate.client import current
from tallygate.client.baggage import encoded
from tallygate.client.fields import BAGGAGE_BYTES, CALL_ID, PARENT, checked
from tallygate.client.keeping import Held
from tallygate.client.steps import Awaited, in_steps
from tallygate.client.tracing import Trace, minted_trace

F = TypeVar("F", bound=Callable[..., Any])

_CALL: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")


class Scope:
    """One run through a block; it can be asked after the block's end too."""

    __slots__ = ("fields", "last_call_id", "trace_id")

    def __init__(self, fields: Mapping[str, str], trace_id: str) -> None:
        self.fields: Mapping[str, str] = MappingProxyType(dict(fields))
        """The ownership that holds here, outer blocks included."""
        self.trace_id = trace_id
        self.last_call_id: str | None = None
        """The gate's id of the last call that succeeded directly in this block."""

    def child(self, **fields: str | None) -> Block:
        """
        Make a block for what the last call here has caused: its id is the `parent_call_id`.

        The cause is fixed now, so calls that run side by side in the child have the same parent.
        Where no call was made yet, the cause of this block itself stands.
        """
        return ownership(**{PARENT: self.last_call_id or self.fields.get(PARENT), **fields})

    def remember(self, headers: Mapping[str, str]) -> None:
        """Take the call's id from the gate's response headers; the hooks for httpx do it."""
        call_id = headers.get(CALL_ID)
        if call_id and _CALL.fullmatch(call_id):
            self.last_call_id = call_id


@dataclass(frozen=True, slots=True)
class _Entered:
    block: Block
    before: Any
    outer: _Entered | None


_ENTERED: ContextVar[_Entered | None] = ContextVar("tallygate_entered", default=None)


class Block:
    """What `ownership` and `extract` return: a context manager, and a decorator."""

    def __init__(
        self,
        fields: Mapping[str, str],
        *,
        received: Trace | None = None,
        continues: bool = False,
    ) -> None:
        self._fields = dict(fields)
        self._received = received
        self._continues = continues
        """Whether this is work that began elsewhere, with a trace and a cause of its own."""

    def __enter__(self) -> Scope:
        kept = current.KEEPING
        outer = kept.held()
        fields = current.fields_here()
        if self._continues:
            fields.pop(PARENT, None)
        fields |= self._fields
        if (size := len(encoded(fields))) > BAGGAGE_BYTES:
            raise ValueError(
                f"{', '.join(fields)}: together {size} bytes as baggage; the gate reads "
                f"{BAGGAGE_BYTES}"
            )
        trace = self._trace(outer)
        span = "" if self._received else (kept.traceparent() or "")[3:35]
        named = (trace.opaque if trace else None) or span or (trace.trace_id if trace else "")
        scope = Scope(fields, named)
        before = kept.put(Held(scope.fields, scope, trace), self._received)
        _ENTERED.set(_Entered(self, before, _ENTERED.get()))
        return scope

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        entered = _ENTERED.get()
        if entered is None or entered.block is not self:
            return  # left in another context than it was entered in, where it never held
        current.KEEPING.restore(entered.before)
        _ENTERED.set(entered.outer)

    def __call__(self, function: F) -> F:
        """Hold the block whenever the function runs; for a generator, while it itself runs."""
        if inspect.isasyncgenfunction(function):
            return cast(F, self._around_async_generator(function))
        if inspect.isgeneratorfunction(function):
            return cast(F, self._around_generator(function))
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any function
                with self:
                    return await function(*args, **kwargs)

            return cast(F, awaited)

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any function
            with self:
                return function(*args, **kwargs)

        return cast(F, called)

    def _trace(self, outer: Held | None) -> Trace | None:
        if self._received is not None:
            return self._received
        if outer is not None and outer.trace is not None and not self._continues:
            return outer.trace
        # Once for the whole tree of blocks below, so that the work keeps one trace.
        return None if current.KEEPING.traceparent() else minted_trace()

    # A generator's body runs in a context of its own: between two steps the caller's values are
    # the caller's, and blocks that the body holds across a yield stay the body's.

    def _around_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def stepped(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any function
            inside = copy_context()
            inside.run(self.__enter__)
            return (yield from in_steps(inside, function(*args, **kwargs)))

        return stepped

    def _around_async_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def stepped(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any function
            inside = copy_context()
            inside.run(self.__enter__)
            steps = function(*args, **kwargs)
            step = steps.__anext__()
            while True:
                try:
                    item = await Awaited(inside, step)
                except StopAsyncIteration:
                    return
                try:
                    sent = yield item
                except GeneratorExit:
                    await Awaited(inside, steps.aclose())
                    raise
                except BaseException as error:  # noqa: BLE001 - the body's to handle, not ours
                    step = steps.athrow(error)
                else:
                    step = steps.asend(sent)

        return stepped


def ownership(  # noqa: PLR0913 - each field by its name, so that editors offer them
    *,
    owner_team: str | None = None,
    service: str | None = None,
    environment: str | None = None,
    workflow_id: str | None = None,
    feature: str | None = None,
    initiator: str | None = None,
    tenant_id_hash: str | None = None,
    user_id_hash: str | None = None,
    parent_call_id: str | None = None,
    **extra: str | None,
) -> Block:
    """
    Say who pays for the calls that are made in a `with`, or in a function.

    None leaves a field as the outer block has it. `extra` are fields that the organisation's
    contract adds.
    """
    said = {
        "owner_team": owner_team,
        "service": service,
        "environment": environment,
        "workflow_id": workflow_id,
        "feature": feature,
        "initiator": initiator,
        "tenant_id_hash": tenant_id_hash,
        "user_id_hash": user_id_hash,
        PARENT: parent_call_id,
    }
    return Block(checked(said | extra))


def current_scope() -> Scope | None:
    """Give the innermost block's scope, for code that did not open the block itself."""
    held = current.KEEPING.held()
    return held.scope if held and isinstance(held.scope, Scope) else None
