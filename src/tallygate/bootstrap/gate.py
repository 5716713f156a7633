"""
The gate's wiring: from settings to a request line with a spool under it. No ledger, no LiteLLM.

Errors  SettingsInvalid, PoliciesInvalid, EngineError, SpoolUnusable: all before the first call.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tallygate.adapters.engines.loading import load_engine
from tallygate.adapters.engines.opa_server import OpaServer
from tallygate.adapters.files.activations import ActivationFolder
from tallygate.adapters.files.policies import read_policies
from tallygate.adapters.spool.writer import SegmentSpool
from tallygate.adapters.telemetry.override_metrics import (
    OverrideMetrics,
    override_metrics_of_process,
)
from tallygate.application.flow import PolicyInForce, RequestLine
from tallygate.bootstrap.drain_child import DrainChild
from tallygate.domain.attribution.contract import contract_from_data, registry_from_data
from tallygate.domain.attribution.ownership import Hasher
from tallygate.domain.kernel.ids import uuid7
from tallygate.domain.policy.break_glass import break_glass_from_data
from tallygate.domain.policy.terms import terms_from_data
from tallygate.errors import SettingsInvalid
from tallygate.settings import Settings

ACTIVATIONS: Final = "activations"
"""Where in the state folder activations of break-glass are kept."""


class SystemClock:
    """UTC now, from the machine."""

    def now_ns(self) -> int:
        return time.time_ns()


@dataclass(frozen=True, slots=True)
class GateParts:
    """What a proxy process runs on."""

    line: RequestLine
    drain: DrainChild | None
    state_folder: Path
    warnings: tuple[str, ...]
    """What the operator must hear, in whole sentences."""
    activations: ActivationFolder
    override_metrics: OverrideMetrics


def build_gate(settings: Settings, base: Path) -> GateParts:
    """Build everything; `base` is the folder of the proxy's config file."""
    clock = SystemClock()
    policies_folder = settings.policies_folder(base).absolute()
    state_folder = settings.state_folder(base).absolute()
    spool_folder = settings.spool_folder(base).absolute()
    loaded = load_engine(lambda: read_policies(policies_folder), state_folder / "policies")
    policy = PolicyInForce(
        engine=loaded.engine,
        contract=contract_from_data(loaded.data["contract"]),
        registry=registry_from_data(loaded.data["registry"]),
        is_remembered=True,
        break_glass=break_glass_from_data(loaded.data),
        terms=terms_from_data(loaded.data),
    )
    server = opa_server_of(settings)
    spool = SegmentSpool(
        spool_folder,
        limit_bytes=settings.spool_limit_mb * 1024 * 1024,
        sync_interval_s=settings.sync_interval_ms / 1000,
        clock=clock,
    )
    hasher = hasher_of(settings)
    activations = ActivationFolder(state_folder / ACTIVATIONS)
    line = RequestLine(
        policy=policy,
        spool=spool,
        clock=clock,
        new_id=new_id,
        hasher=hasher,
        server=server,
        activations=activations.current,
    )
    drain = None
    if settings.drain == "child":
        drain = DrainChild(
            spool_folder=spool_folder,
            ledger_url=settings.ledger(base),
            policies_folder=policies_folder,
            log_file=state_folder / "drain.log",
        )
    return GateParts(
        line,
        drain,
        state_folder,
        (*loaded.warnings, *_hash_warning(policy, hasher)),
        activations,
        override_metrics_of_process(),
    )


def new_id() -> str:
    """Mint a UUIDv7."""
    return uuid7(time.time_ns(), os.urandom(8))


def opa_server_of(settings: Settings) -> OpaServer | None:
    """Build the engine that an OPA server is; None where the embedded one decides."""
    if settings.opa_url is None:
        return None
    token = settings.opa_token
    try:
        return OpaServer(
            settings.opa_url,
            timeout_s=settings.opa_timeout_ms / 1000,
            token=None if token is None else token.get_secret_value(),
            ca_file=settings.opa_ca_file,
            bundle=settings.opa_bundle,
        )
    except OSError as error:  # ssl's errors among them
        raise SettingsInvalid(
            f"TALLYGATE_OPA_CA_FILE {settings.opa_ca_file} cannot be used: {error.strerror}. "
            "Expected a file of certificates in PEM."
        ) from error


def hasher_of(settings: Settings) -> Hasher | None:
    """Build the keyed hash for raw tenant and user ids; None without a key."""
    if settings.hash_key is None:
        return None
    key = settings.hash_key.get_secret_value().encode()
    prefix = settings.hash_key_id

    def hashed(raw: str) -> str:
        digest = hmac.new(key, raw.encode(), hashlib.sha256).hexdigest()
        return f"{prefix}_{digest[:32]}"

    return hashed


def _hash_warning(policy: PolicyInForce, hasher: Hasher | None) -> tuple[str, ...]:
    raw = sorted(
        name
        for name, spec in policy.contract.fields.items()
        if spec.hash_from.headers or spec.hash_from.baggage or spec.hash_from.metadata
    )
    if hasher is not None or not raw:
        return ()
    warning = (
        f"The contract lets services send a raw id for {', '.join(raw)}, but TALLYGATE_HASH_KEY is "
        "not set, so raw ids are dropped and the field counts as missing."
    )
    return (warning,)
