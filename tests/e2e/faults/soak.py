"""
What `scripts/soak` runs.

    scripts/soak --kills 100              kill -9 at a random moment under load, that many times
    scripts/soak --seed 7 --minutes 10    random faults at random moments
"""

from __future__ import annotations

import argparse
import random
import secrets
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from e2e.faults.books import Compared
from e2e.faults.plan import play_until
from e2e.faults.rig import Rig, wait_for
from e2e.proxy_process import RunningStandin

_WARM = 5
"""LiteLLM loads much with its first calls; a moment is counted from some answers on."""
_HEAD = ("run", "after s", "provider", "ledger", "unknown", "settled", "sent again", "verdict")


def main() -> int:
    arguments = _arguments()
    say(f"seed {arguments.seed}; again: scripts/soak {' '.join(_replay(arguments))}")
    folder = Path(tempfile.mkdtemp(prefix="tallygate-soak-"))
    if arguments.kills:
        wrong = kills(folder, arguments.seed, arguments.kills)
    else:
        wrong = troubles(folder, arguments.seed, arguments.minutes)
    if wrong:
        say(f"state and logs are left in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def troubles(folder: Path, seed: str, minutes: float) -> int:
    """Play planned rounds for that long; returns how many differ, and stops at the first."""
    until_s = time.monotonic() + 60 * minutes
    played = 0

    def enough(rounds: int) -> bool:
        nonlocal played
        played = rounds
        return time.monotonic() >= until_s

    differ = len(play_until(folder, seed, enough, say))
    say(f"{played} rounds the same, {differ} different")
    return differ


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--seed", default=None)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--kills", type=int, default=0)
    arguments = parser.parse_args()
    arguments.seed = arguments.seed or secrets.token_hex(4)
    return arguments


def _replay(arguments: argparse.Namespace) -> list[str]:
    what = ["--kills", str(arguments.kills)] if arguments.kills else []
    return ["--seed", arguments.seed, *(what or ["--minutes", f"{arguments.minutes:g}"])]


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def kills(folder: Path, seed: str, runs: int) -> int:
    """Kill a proxy under load, drain, compare, and so on; returns how often they differed."""
    chance, wrong = random.Random(seed), 0
    say(_row(*_HEAD))
    with RunningStandin(folder) as standin, ExitStack() as ends:
        rig = Rig(folder, standin)
        ends.callback(rig.leave_nothing)
        for run in range(1, runs + 1):
            after_s = chance.uniform(0.0, 3.0)
            rig.start()
            with rig.load(f"{seed}/{run}", clients=10) as load:
                wait_for(lambda load=load: load.answered >= _WARM, "the load to be on its way")
                time.sleep(after_s)
                rig.end(signal.SIGKILL)
            compared = rig.compare()
            wrong += not compared.same
            say(_line(run, after_s, compared))
            if not compared.same:
                say(str(compared))
    say(f"{runs - wrong} of {runs} the same")
    return wrong


def _line(run: int, after_s: float, compared: Compared) -> str:
    return _row(
        str(run),
        f"{after_s:.2f}",
        str(compared.provider),
        str(compared.attempts),
        str(compared.unknown),
        str(compared.settled),
        str(compared.sent_again),
        "same" if compared.same else "DIFFERENT",
    )


def _row(*cells: str) -> str:
    return " ".join(f"{cell:>10}" for cell in cells)


if __name__ == "__main__":
    sys.exit(main())
