"""
Break-glass over HTTP: `POST /tallygate/overrides/{id}/activate` and `…/end`.

LiteLLM authenticates the caller as it does for a call, and the policy's holders of the entry's
role may do it: an admin of LiteLLM may not, unless the reviewed file says so.

Shapes  A JSON object in (`reason`, `ticket`, `hours`), the activation out; an error in OpenAI's
        shape, with a code.
Errors  403 role not held, 404 unknown id, 409 active or not active, 422 what is wrong with the
        body, 503 where the event or the activation cannot be written.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from litellm.proxy._types import LiteLLMRoutes
from litellm.proxy.auth.user_api_key_auth import user_api_key_auth

from tallygate.application.activating import BreakGlassDesk, Caller, Wish
from tallygate.application.flow import RequestLine
from tallygate.application.ports import Activations
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.domain.policy.break_glass import Activation
from tallygate.errors import (
    ActivationError,
    ActivationInvalid,
    ActivationsUnusable,
    AlreadyActive,
    NotActive,
    OverrideUnknown,
    RoleNotHeld,
    SpoolError,
    TallygateError,
)
from tallygate.proxy.own_routes import PREFIX
from tallygate.proxy.principals import principal_of

log = logging.getLogger("tallygate.proxy")

ACTIVATE: Final = "/overrides/{override_id}/activate"
END: Final = "/overrides/{override_id}/end"
_ACTIVATING: Final[Mapping[str, type]] = {"reason": str, "ticket": str, "hours": int}
_ENDING: Final[Mapping[str, type]] = {"reason": str}
_NAMES: Final = {str: "text", int: "a whole number"}
_STATUSES: Final[Mapping[type[TallygateError], int]] = {
    RoleNotHeld: 403,
    OverrideUnknown: 404,
    AlreadyActive: 409,
    NotActive: 409,
    ActivationInvalid: 422,
    ActivationsUnusable: 503,
}


def activation_routes(line: RequestLine, activations: Activations) -> APIRouter:
    """Build the two routes over the policy that is in force when they are called."""
    router = APIRouter()

    @router.post(ACTIVATE, include_in_schema=False)
    async def activate(
        override_id: str, request: Request, key: Annotated[Any, Depends(user_api_key_auth)]
    ) -> JSONResponse:
        caller = _caller(line, key, request, f"{PREFIX}{ACTIVATE}")

        def done(body: bytes) -> Activation:
            given = _given(body, _ACTIVATING)
            wish = Wish(
                override_id=override_id,
                reason=given.get("reason", ""),
                ticket=given.get("ticket", ""),
                hours=given.get("hours"),
            )
            return _desk(line, activations).activate(wish, caller)

        return await _answered("break_glass_activated", request, done)

    @router.post(END, include_in_schema=False)
    async def end(
        override_id: str, request: Request, key: Annotated[Any, Depends(user_api_key_auth)]
    ) -> JSONResponse:
        caller = _caller(line, key, request, f"{PREFIX}{END}")

        def done(body: bytes) -> Activation:
            reason = _given(body or b"{}", _ENDING).get("reason")
            return _desk(line, activations).end(override_id, reason, caller)

        return await _answered("break_glass_ended", request, done)

    return router


def let_keys_call() -> None:
    """
    Have LiteLLM let any key through to these routes, which decide for themselves who may.

    Of keys that are no admin's it lets through only routes that it knows, and those that it lists
    as managing themselves.
    """
    self_managed: list[str] = LiteLLMRoutes.self_managed_routes.value
    paths = (f"{PREFIX}{ACTIVATE}", f"{PREFIX}{END}")
    self_managed.extend(path for path in paths if path not in self_managed)


def _desk(line: RequestLine, activations: Activations) -> BreakGlassDesk:
    policy = line.policy
    return BreakGlassDesk(
        break_glass=policy.break_glass,
        revision=policy.engine.revision,
        activations=activations,
        spool=line.spool,
        clock=line.clock,
        new_id=line.new_id,
    )


def _caller(line: RequestLine, key: object, request: Request, route: str) -> Caller:
    principal = principal_of(key, request.scope["headers"])
    return Caller(
        name=principal.key_hash or "",
        route=route,
        principal=principal,
        is_bound=line.policy.registry.binding_of(principal) is not None,
    )


def _given(body: bytes, expected: Mapping[str, type]) -> dict[str, Any]:
    """Read the body strictly; raises ActivationInvalid with all that is wrong with it."""
    try:
        given = json.loads(body)
    except ValueError as error:
        raise ActivationInvalid("body: expected a JSON object.") from error
    if not isinstance(given, dict):
        raise ActivationInvalid("body: expected a JSON object.")
    faults = []
    if given.keys() - expected:
        faults.append(f"body: expected only {', '.join(expected)}.")
    faults += [
        f"{name}: expected {_NAMES[kind]}."
        for name, kind in expected.items()
        if given.get(name) is not None and type(given[name]) is not kind
    ]
    if faults:
        raise ActivationInvalid(" ".join(faults))
    return {name: value for name, value in given.items() if value is not None}


async def _body(request: Request) -> bytes:
    try:
        return await request.body()
    except RuntimeError as error:  # LiteLLM's authentication has read it, as a form
        raise ActivationInvalid(
            "body: expected a JSON object, got a form. Send it with content-type application/json."
        ) from error


async def _answered(
    event: str, request: Request, done: Callable[[bytes], Activation]
) -> JSONResponse:
    try:
        activation = await run_in_threadpool(done, await _body(request))
    except (ActivationError, SpoolError) as error:
        status = _STATUSES.get(type(error), 503)
        content = {"message": str(error), "type": "break_glass", "code": error.code, "param": None}
        return JSONResponse({"error": content}, status)
    log.warning(
        "%s override=%s until=%s", event, activation.override_id, text_from_ns(activation.until_ns)
    )
    return JSONResponse(
        {
            "id": activation.override_id,
            "role": activation.role,
            "activated_by": activation.activated_by,
            "reason": activation.reason,
            "ticket": activation.ticket,
            "from": text_from_ns(activation.from_ns),
            "until": text_from_ns(activation.until_ns),
        }
    )
