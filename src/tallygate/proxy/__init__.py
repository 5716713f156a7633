"""
The plugin: `litellm_settings.callbacks: ["tallygate.proxy.handler"]` is the whole installation.

Importing this package builds nothing. LiteLLM asks for `handler` when it loads its config, once per
worker, inside the running event loop; then the gate is built and installed into the proxy.
"""

from __future__ import annotations

from typing import Any

_built: dict[str, Any] = {}


def __getattr__(name: str) -> Any:
    if name != "handler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if "handler" not in _built:
        from tallygate.proxy.install import install_gate  # noqa: PLC0415 - LiteLLM loads us lazily

        _built["handler"] = install_gate()
    return _built["handler"]
