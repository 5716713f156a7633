"""What every test run shares: no network for LiteLLM's price map, repeatable properties in CI."""

from __future__ import annotations

import os

from hypothesis import settings

# LiteLLM fetches its price map when it is imported, unless it is told not to.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "here")
