"""
Which environment variables a proxy on `litellm_config.yaml` needs, and which are the user's own.

A provider whose key is set is the user's: its key and base address are left alone. LiteLLM does not
start without a master key, even where `custom_auth` answers for every key; it gets one that nobody
knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_hex

STANDIN_KEY = "sk-standin-no-real-key"
MASTER_KEY = "LITELLM_MASTER_KEY"


def provider_environment(environ: Mapping[str, str], standin_url: str) -> dict[str, str]:
    """Name the variables to add to `environ`; what is set there is not among them."""
    bases = {"OPENAI": f"{standin_url}/v1", "ANTHROPIC": standin_url}
    added: dict[str, str] = {}
    for provider, base in bases.items():
        if not environ.get(f"{provider}_API_KEY"):
            added[f"{provider}_API_KEY"] = STANDIN_KEY
            added[f"{provider}_API_BASE"] = base
    if not environ.get(MASTER_KEY):
        added[MASTER_KEY] = f"sk-{token_hex(32)}"
    return added
