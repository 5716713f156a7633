"""
Random troubles at random moments, from a seed that is printed: at the start, and when it fails.

    FAULTS_SEED=… FAULTS_MINUTES=…    the same again, or for longer; `make soak` does so at will
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from pathlib import Path

import pytest

from e2e.faults.plan import play_until


@pytest.mark.timeout(0)  # as long as one likes; whatever it waits for has a deadline of its own
def test_the_books_match_through_random_troubles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = os.environ.get("FAULTS_SEED") or secrets.token_hex(4)
    minutes = float(os.environ.get("FAULTS_MINUTES") or 1)
    with capsys.disabled():
        sys.stdout.write(f"\nrandom troubles: again with FAULTS_SEED={seed}\n")
    until_s = time.monotonic() + 60 * minutes
    told: list[str] = []

    def enough(played: int) -> bool:
        return played > 0 and time.monotonic() >= until_s

    try:
        differ = play_until(tmp_path, seed, enough, told.append)
    except Exception as error:
        error.add_note("\n".join([f"FAULTS_SEED={seed}", *told]))
        raise

    assert not differ, "\n".join([f"FAULTS_SEED={seed}", *told])
