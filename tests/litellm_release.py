"""Which LiteLLM the tests run against, for what docs/compatibility.md says differs there."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Final

import pytest

LOCKED: Final = "1.106.2"
IS_LOCKED: Final = version("litellm") == LOCKED


def is_before(release: str) -> bool:
    return _ordered(version("litellm")) < _ordered(release)


def since(release: str) -> pytest.MarkDecorator:
    """Skip what older releases do otherwise; the reason is where the page says so."""
    return pytest.mark.skipif(is_before(release), reason="docs/compatibility.md, What differs")


def _ordered(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", release)[:3])
