"""Where the starter policies lie: in a wheel within the package, in a checkout beside src/."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[2]


def starter_policies() -> Path:
    """Return the folder that `tallygate init` copies and schemas fall back to."""
    packaged = _PACKAGE / "starter" / "policies"
    return packaged if packaged.is_dir() else _PACKAGE.parents[1] / "policies"
