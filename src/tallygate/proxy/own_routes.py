"""
The proxy's own routes under /tallygate/: how the gate is, and what it counts.

LiteLLM authenticates them, and lets only administrators and keys that name them (`allowed_routes`)
reach routes that it does not know. No call is governed or counted here.

    install_own_routes(app, [router, …])    puts routers in front of everything that LiteLLM serves
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, Final

from fastapi import APIRouter, Depends, Response
from litellm.proxy.auth.user_api_key_auth import user_api_key_auth

from tallygate.adapters.telemetry.metrics import CONTENT_TYPE, exposition, is_shared
from tallygate.bootstrap.gate import GateParts
from tallygate.bootstrap.workers import Worker, differing_revisions, published_workers
from tallygate.domain.kernel.instants import text_from_ns

PREFIX: Final = "/tallygate"


def install_own_routes(app: Any, routers: Sequence[APIRouter]) -> None:
    """Serve routers below /tallygate/, each request authenticated by LiteLLM first."""
    served = app.router.routes
    before = len(served)
    for router in routers:
        # LiteLLM's dependency is looked up by each request, and is the gate's wrapper of it.
        app.include_router(
            router,
            prefix=PREFIX,
            dependencies=[Depends(user_api_key_auth)],
            include_in_schema=False,
        )
    # Whatever LiteLLM or a config serves may begin with a pattern that takes every path.
    served[:] = [*served[before:], *served[:before]]


def monitoring_router(parts: GateParts) -> APIRouter:
    """Make the routes for those who watch the proxy; both read files, so they run on threads."""
    router = APIRouter()

    @router.get("/health")
    def health() -> dict[str, Any]:
        return health_of(parts)

    @router.get("/metrics")
    def metrics() -> Response:
        return Response(exposition(), headers={"content-type": CONTENT_TYPE})

    return router


def health_of(parts: GateParts) -> dict[str, Any]:
    """Say how this worker is, and what all workers on its state folder publish."""
    state = parts.policy
    workers = published_workers(parts.state_folder, parts.spool_folder)
    living = [worker for worker in workers if worker.is_alive]
    warnings = [*state.told(), *_warnings(parts, living)]
    return {
        "status": "warning" if warnings else "ok",
        "revision": state.in_force.revision,
        "loaded_at": text_from_ns(state.in_force.loaded_at_ns),
        "is_last_good": state.in_force.is_last_good,
        "warnings": warnings,
        "pid": os.getpid(),
        "workers": [_shown(worker) for worker in living],
    }


def _warnings(parts: GateParts, living: Sequence[Worker]) -> Iterator[str]:
    if parts.reloader is not None and parts.reloader.fault is not None:
        yield f"The policies folder is not watched: {parts.reloader.fault}"
    if parts.line.uncounted:
        yield (
            f"{parts.line.uncounted} attempts passed without a record, because the spool has no"
            " room and the contract says pass."
        )
    for found in differing_revisions(living, parts.line.clock.now_ns()):
        if not found.is_passing:
            yield f"{found.found}. {found.remedy}"
    if len(living) > 1 and not is_shared():
        yield (
            f"{len(living)} workers run and PROMETHEUS_MULTIPROC_DIR is not set, so that a scrape"
            " shows one of them."
        )


def _shown(worker: Worker) -> dict[str, Any]:
    policy = worker.policy
    return {
        "pid": worker.pid,
        "revision": worker.revision,
        "loaded_at": text_from_ns(int(policy["loaded_at_ns"])) if policy else None,
        "is_refusing": bool(policy.get("refused")),
    }
