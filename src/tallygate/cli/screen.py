"""The terminal, or what stands in for one."""

from __future__ import annotations

import os
import sys
from typing import Final

from rich.console import Console

_WIDTH_OF_A_FILE: Final = 160


def screen() -> Console:
    """Make a console for results; in a file or pipe lines may be long, unless COLUMNS says."""
    narrow = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if narrow else _WIDTH_OF_A_FILE)
