"""Where the starter files lie: in a wheel within the package, in a checkout beside src/."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[2]


def starter_policies() -> Path:
    """Return the folder that `tallygate init` copies and schemas fall back to."""
    return _starter("policies")


def starter_config() -> Path:
    """Return the proxy's config that the demo runs."""
    return _starter("litellm_config.yaml")


def starter_log_masks() -> Path:
    """Return the Rego that keeps an OPA server's decision log clean."""
    return _starter("deploy/opa/log-masks")


def _starter(name: str) -> Path:
    packaged = _PACKAGE / "starter" / name
    return packaged if packaged.exists() else _PACKAGE.parents[1] / name
