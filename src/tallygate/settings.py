"""
Facts about a machine: folders, addresses, timeouts, secrets. Never what a reviewed file decides.

Shapes  TALLYGATE_* in the environment -> Settings.
Errors  SettingsInvalid names the variable, what it held (never a secret) and what was expected.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tallygate.errors import SettingsInvalid

_PREFIX: Final = "TALLYGATE_"
_HIDDEN: Final = ("HASH_KEY", "OPA_TOKEN", "OPA_URL")
"""What may hold a secret, where it is right or by mistake."""


class Settings(BaseSettings):
    """Every TALLYGATE_* variable; docs/operating.md has the table."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_ignore_empty=True,  # `TALLYGATE_HASH_KEY=` is no key, not the empty one
        extra="forbid",
        frozen=True,
    )

    policies: Path | None = None
    """Folder of the policies; by default `policies` beside the proxy's config file."""
    state: Path | None = None
    """Folder for spool, ledger and last good bundle; by default `.tallygate` beside the config."""
    spool: Path | None = None
    ledger_url: str | None = None
    hash_key: SecretStr | None = None
    """Secret for hashing raw tenant and user ids."""
    hash_key_id: str = Field(default="hk1", pattern=r"^hk[0-9]{1,6}$")
    settle_grace_s: float = Field(default=30.0, gt=0, le=3600)
    """How long after the response an attempt may stay open before it is booked as unknown."""
    spool_limit_mb: int = Field(default=4096, ge=256)
    sync_interval_ms: int = Field(default=100, ge=0, le=60_000)
    """How much a power loss may cost; 0 syncs each record."""
    drain: Literal["child", "off"] = "child"
    """`off` where `tallygate drain` runs on its own beside the proxy."""
    opa_url: str | None = None
    """Address of an OPA server that decides; without it the embedded engine does."""
    opa_timeout_ms: int = Field(default=250, ge=10, le=5000)
    opa_token: SecretStr | None = None
    opa_ca_file: Path | None = None
    """Certificates that an https address is checked against; by default the machine's own."""
    opa_bundle: str = Field(default="tallygate", min_length=1)
    """Name of our bundle in the server's configuration, where it has several."""

    @field_validator("opa_url")
    @classmethod
    def _is_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        try:
            is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_good = False
        if not is_good or parts.path not in {"", "/"} or parts.query or "@" in parts.netloc:
            raise ValueError(
                "expected scheme, host and port and nothing else, such as http://127.0.0.1:8181; a "
                "token goes into TALLYGATE_OPA_TOKEN"
            )
        return url.rstrip("/")

    reload: Literal["watch", "off"] = "watch"
    """`off` where workers are restarted for each change, as with policies baked into an image."""

    def policies_folder(self, base: Path) -> Path:
        return self.policies or base / "policies"

    def state_folder(self, base: Path) -> Path:
        return self.state or base / ".tallygate"

    def spool_folder(self, base: Path) -> Path:
        return self.spool or self.state_folder(base) / "spool"

    def ledger(self, base: Path) -> str:
        """Return the store's address; SQLite in the state folder unless told otherwise."""
        return self.ledger_url or f"sqlite:///{(self.state_folder(base) / 'ledger.db').absolute()}"


def read_settings() -> Settings:
    """Read the environment; a misspelt TALLYGATE_* variable is an error, not a silence."""
    names = [name for name in os.environ if name.upper().startswith(_PREFIX)]
    known = [name.upper() for name in Settings.model_fields]
    for name in names:
        own = name.upper().removeprefix(_PREFIX)
        if own not in known:
            close = difflib.get_close_matches(own, known, n=1)
            listed = ", ".join(_PREFIX + each for each in known)
            hint = f" Did you mean {_PREFIX}{close[0]}?" if close else f" Known: {listed}."
            raise SettingsInvalid(f"{name} is not a variable that tallygate knows.{hint}")
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsInvalid("; ".join(_sentence(detail) for detail in error.errors())) from error


def _sentence(detail: Mapping[str, object]) -> str:
    location = detail["loc"]
    name = _PREFIX + str(location[0] if isinstance(location, tuple) else location).upper()
    held = "" if name.endswith(_HIDDEN) else f" (it holds {detail['input']!r})"
    return f"{name}{held}: {detail['msg']}"
