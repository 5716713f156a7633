"""
Which hosts serve models here: the providers' own, and those that the proxy is set up with.

What is read from a host is a provider call only where a provider is; a picture that LiteLLM fetches
for a prompt lies under `/files/` as well.

Errors  None: what of LiteLLM's cannot be read names no host.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from tallygate.proxy.provider_paths import provider_of_host
from tallygate.proxy.wire import mapping_of

_REFRESH_S: Final = 10.0
_ENDINGS: Final = ("_API_BASE", "_BASE_URL", "_ENDPOINT")


class ProviderHosts:
    """The hosts of this proxy's config, read again when an unknown one is asked about."""

    def __init__(self) -> None:
        self._hosts: frozenset[str] = frozenset()
        self._read_at_s = float("-inf")

    def holds(self, host: str) -> bool:
        """Whether models are served there."""
        if provider_of_host(host) is not None or host in self._hosts:
            return True
        now_s = time.monotonic()
        if now_s - self._read_at_s < _REFRESH_S:
            return False
        self._read_at_s = now_s
        self._hosts = frozenset(_hosts())
        return host in self._hosts


def _hosts() -> Iterator[str]:
    for address in _addresses():
        with suppress(ValueError):
            host = urlsplit(address if "://" in address else f"//{address}").hostname
            if host:
                yield host


def _addresses() -> Iterator[str]:
    for name, value in os.environ.items():
        if name.endswith(_ENDINGS):
            yield value
    proxy_server = sys.modules.get("litellm.proxy.proxy_server")
    router = getattr(proxy_server, "llm_router", None)
    for deployment in getattr(router, "model_list", None) or ():
        yield from _texts(mapping_of(deployment).get("litellm_params"))
    yield from _texts(getattr(router, "assistants_config", None))
    for module in ("openai_files_endpoints.files_endpoints", "fine_tuning_endpoints.endpoints"):
        yield from _settings_of(module)
    for endpoint in mapping_of(getattr(proxy_server, "general_settings", None)).get(
        "pass_through_endpoints", ()
    ):
        yield from _texts(endpoint)


def _settings_of(module: str) -> Iterator[str]:
    loaded = sys.modules.get(f"litellm.proxy.{module}")
    for name in ("files_config", "fine_tuning_config"):
        yield from _texts(getattr(loaded, name, None))


def _texts(value: object, depth: int = 3) -> Iterator[str]:
    """Yield whatever may be an address in a part of the config."""
    if isinstance(value, str) and (":" in value or "." in value) and "/" in value:
        yield value
    elif isinstance(value, Mapping) and depth:
        for inner in value.values():
            yield from _texts(inner, depth - 1)
    elif isinstance(value, (list, tuple)) and depth:
        for inner in value:
            yield from _texts(inner, depth - 1)
