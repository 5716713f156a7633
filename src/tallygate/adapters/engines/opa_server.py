"""
The OPA server as an engine: asked over HTTP for every call, by opa-python-client's async client.

Shapes  A question goes out as `input`, with the call's id beside it for the server's decision log.
Units   The timeout is in seconds and covers all of it: waiting for a connection, and the answer.
Exact   One session for the worker's life, no retry: a second try would only make a slow server
        slower, and the caller has been waiting. Builtins that fail are errors, as in WebAssembly.
        Sets come sorted from OPA, so an answer equals the embedded engine's.
Errors  EngineFailed, which quotes neither the question nor the answer. A server without an active
        bundle answers 200 and no `result`: that is no decision.
Source  opa_client/opa_async.py, 3.0.0. It has no way to name a CA file and no headers per question;
        so its session is made here, and the call's id travels in the input.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import orjson
from opa_client import AsyncOpaClient
from typing_extensions import override

from tallygate.adapters.engines.breaker import Breaker, Unanswered
from tallygate.adapters.engines.opa import ENTRYPOINT
from tallygate.application.ports import Answer
from tallygate.errors import EngineFailed

TIMEOUT_S: Final = 0.25
BUNDLE_NAME: Final = "tallygate"
CONNECTIONS: Final = 64
"""At most; further questions wait for one, within their timeout."""

PROBE: Final = "probe"
"""Call id of a question that no call asks; the shipped drop rule keeps it out of decision logs."""

_ASKED: Final = {"strict-builtin-errors": "true", "provenance": "true"}
_GATEWAY_ERRORS: Final = frozenset({502, 503, 504})
_NOT_ALLOWED: Final = frozenset({401, 403})
_DECISION_ID: Final = re.compile(r"[0-9A-Za-z._-]{1,128}")
_REVISION: Final = re.compile(r"[!-~]{1,128}")


class _Client(AsyncOpaClient):  # type: ignore[misc]  # opa_client is not typed
    """The client, with a session that trusts a CA file and writes JSON as everything else here."""

    def __init__(
        self, url: str, timeout_s: float, token: str | None, trust: ssl.SSLContext | None
    ) -> None:
        address = urlsplit(url)
        is_tls = address.scheme == "https"
        host = address.hostname or ""
        super().__init__(
            host=f"[{host}]" if ":" in host else host,
            port=address.port or (443 if is_tls else 80),
            ssl=is_tls,
            token=token,
            retries=0,
            timeout=timeout_s,
        )
        self._trust = trust or True

    @override
    async def _init_session(self) -> None:
        # Nothing is awaited here, so two first questions cannot make two sessions.
        self._connector = aiohttp.TCPConnector(ssl=self._trust, limit=CONNECTIONS)
        self._session = aiohttp.ClientSession(
            headers=self.headers,
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            json_serialize=_json,
            timeout=aiohttp.ClientTimeout(total=self.timeout),
        )


class OpaServer:
    """Answers `tallygate/admission/decision` from an OPA server. For one event loop."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = TIMEOUT_S,
        token: str | None = None,
        ca_file: Path | None = None,
        bundle: str = BUNDLE_NAME,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._bundle = bundle
        trust = None if ca_file is None else ssl.create_default_context(cafile=ca_file)
        self._client = _Client(url, timeout_s, token, trust)
        self._breaker = Breaker(now)
        self._has_session = self._is_closed = False
        self._revision: str | None = None
        self._failure: str | None = None

    @property
    def url(self) -> str:
        return self._url

    @property
    def revision(self) -> str | None:
        return self._revision

    @property
    def failure(self) -> str | None:
        return self._failure

    async def ask(self, question: Mapping[str, Any], call_id: str) -> Answer:
        with self._breaker.around():
            try:
                answer = self._read(await self._query({**question, "call_id": call_id}))
            except EngineFailed as error:
                self._failure = str(error)
                raise
        self._failure, self._revision = None, answer.revision
        return answer

    async def close(self) -> None:
        self._is_closed = True
        await self._client.close_connection()

    async def _query(self, question: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever it answers
        if self._is_closed:
            raise EngineFailed("the OPA server's session is closed.")
        if not self._has_session:
            await self._client.__aenter__()
            self._has_session = True
        try:
            return await self._client.query_rule(question, ENTRYPOINT, query_params=_ASKED)
        except TimeoutError:
            waited = f"{self._timeout_s * 1000:.0f} ms"
            raise Unanswered(f"the OPA server gave no answer within {waited}.") from None
        except aiohttp.ContentTypeError as error:
            raise _unread(error) from None
        except aiohttp.ClientResponseError as error:
            raise _refused(error.status) from None
        except (aiohttp.ClientError, OSError) as error:  # a wrong certificate is a ValueError too
            kind = type(error).__name__
            raise Unanswered(f"the OPA server could not be asked ({kind}).") from None
        except (TypeError, ValueError, RecursionError) as error:
            raise _unread(error) from None

    def _read(self, answer: object) -> Answer:
        decision = answer.get("result") if isinstance(answer, dict) else None
        if not isinstance(answer, dict) or not isinstance(decision, dict):
            raise EngineFailed(
                "the OPA server has no decision: its bundle is not active, or is another one."
            )
        revision = _named(self._revision_in(answer), _REVISION)
        return Answer(decision, revision, _named(answer.get("decision_id"), _DECISION_ID))

    def _revision_in(self, answer: Mapping[str, Any]) -> object:
        """Return our bundle's revision: the only bundle's, or the one's that bears the name."""
        provenance = answer.get("provenance")
        bundles = provenance.get("bundles") if isinstance(provenance, dict) else None
        if not isinstance(bundles, dict) or not bundles:
            return None
        bundle = next(iter(bundles.values())) if len(bundles) == 1 else bundles.get(self._bundle)
        return bundle.get("revision") or None if isinstance(bundle, dict) else None


def _unread(error: Exception) -> EngineFailed:
    return EngineFailed(f"the question or the answer is no JSON ({type(error).__name__}).")


def _refused(status: int) -> EngineFailed:
    said = f"the OPA server answered {status}"
    if status in _GATEWAY_ERRORS:
        return Unanswered(f"{said}.")
    if status in _NOT_ALLOWED:
        return EngineFailed(f"{said}: look at TALLYGATE_OPA_TOKEN and at its system.authz.")
    return EngineFailed(f"{said}.")


def _named(value: object, pattern: re.Pattern[str]) -> str | None:
    """Read an id or a revision; it goes into headers and the ledger, so it is held to a shape."""
    if value is None:
        return None
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise EngineFailed("the OPA server's decision id or revision cannot be read.")
    return value


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
