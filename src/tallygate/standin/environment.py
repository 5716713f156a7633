"""
Which environment variables point a proxy at the stand-in, and which are left to the user.

A vendor whose key is set is the user's own: its key and base address are left alone.
`litellm_config.yaml` reads `<VENDOR>_API_KEY` and `<VENDOR>_API_BASE`.
"""

from __future__ import annotations

from collections.abc import Mapping

STANDIN_KEY = "sk-standin-no-real-key"


def provider_environment(environ: Mapping[str, str], standin_url: str) -> dict[str, str]:
    """Name the variables to add: none for a vendor that has a key."""
    bases = {"OPENAI": f"{standin_url}/v1", "ANTHROPIC": standin_url}
    added: dict[str, str] = {}
    for vendor, base in bases.items():
        if not environ.get(f"{vendor}_API_KEY"):
            added[f"{vendor}_API_KEY"] = STANDIN_KEY
            added[f"{vendor}_API_BASE"] = base
    return added
