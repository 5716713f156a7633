"""
Print, as JSON, every route that LiteLLM serves: path, method, whether the wrapper runs on it.

A process of its own, because LiteLLM's lazy features are loaded for it, some 700 MB.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter
from litellm.proxy._lazy_features import LAZY_FEATURES
from litellm.proxy.auth.route_checks import RouteChecks
from litellm.proxy.auth.user_api_key_auth import user_api_key_auth
from litellm.proxy.proxy_server import app

METHODS = {"APIWebSocketRoute": ["WEBSOCKET"]}


def asked(dependant: Any) -> Iterator[Any]:
    """Every callable that FastAPI runs before the endpoint."""
    for inner in dependant.dependencies:
        yield inner.call
        yield from asked(inner)


def routes_in(routes: list[Any], prefix: str = "") -> Iterator[dict[str, Any]]:
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from routes_in(included.routes, prefix + (route.include_context.prefix or ""))
        elif hasattr(route, "dependant"):
            path = prefix + route.path
            plain = path.replace("{", "").replace("}", "").replace(":path", "")
            yield {
                "path": path,
                "methods": sorted(getattr(route, "methods", METHODS.get(type(route).__name__))),
                "wrapped": user_api_key_auth in set(asked(route.dependant)),
                "is_llm": RouteChecks.is_llm_api_route(plain),
            }


def all_routes() -> Iterator[dict[str, Any]]:
    yield from routes_in(app.routes)
    for feature in LAZY_FEATURES:
        module = importlib.import_module(feature.module_path)
        for router in {
            id(r): r for r in vars(module).values() if isinstance(r, APIRouter)
        }.values():
            yield from routes_in(router.routes)


if __name__ == "__main__":
    json.dump(list(all_routes()), sys.stdout)
