"""Who LiteLLM says is calling, read from what its authentication returned."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tallygate.domain.attribution.contract import Principal

_HASHED: Final = re.compile(r"(hashed-jwt-)?[0-9a-f]{64}")


def principal_of(key: object, headers: Sequence[tuple[bytes, bytes]]) -> Principal:
    """Read LiteLLM's `UserAPIKeyAuth`; `headers` are the request's own."""
    return Principal(
        team=_text(key, "team_id"),
        key_hash=_key_hash(key, headers),
        org=_text(key, "org_id"),
        key_metadata=_metadata(key, "metadata"),
        team_metadata=_metadata(key, "team_metadata"),
    )


def _text(key: object, name: str) -> str | None:
    value = getattr(key, name, None)
    return value if isinstance(value, str) and value else None


def _key_hash(key: object, headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """
    Return the key's hash as LiteLLM stores it.

    LiteLLM hashes keys that begin with `sk-` and JWTs; any other key that a custom_auth returns
    comes as it is, and one that the caller sent is the key itself, whatever it looks like.
    """
    text = _text(key, "api_key")
    if text is None:
        return None
    sent = text.encode("utf-8", "replace")
    if _HASHED.fullmatch(text) and not any(sent in value for _, value in headers):
        return text
    return hashlib.sha256(sent).hexdigest()


def _metadata(key: object, name: str) -> Mapping[str, Any]:
    value = getattr(key, name, None)
    return value if isinstance(value, Mapping) else {}
