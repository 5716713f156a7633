"""
Rounds of troubles at random moments under load, all of it following from a seed.

Shapes  A round: start on the state folder of the round before, load, troubles that begin and end,
        a signal that ends the proxy, everything mended, drained, compared.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from e2e.faults.books import Compared
from e2e.faults.disk import SmallDisk
from e2e.faults.rig import Rig, Setup, wait_until
from e2e.faults.troubles import KINDS, Trouble, troubles_of
from e2e.proxy_process import RunningStandin
from fakes.postgres import PostgresServer

_WARM = 5
_ENDS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Moment:
    """When a trouble begins, in seconds of load, and how long it lasts."""

    at_s: float
    trouble: str
    lasts_s: float


@dataclass(frozen=True, slots=True)
class Round:
    number: int
    workers: int
    moments: tuple[Moment, ...]
    ends_after_s: float
    end: signal.Signals

    def __str__(self) -> str:
        troubles = ", ".join(
            f"{m.trouble} at {m.at_s:.1f} for {m.lasts_s:.1f}" for m in self.moments
        )
        return (
            f"round {self.number}: {self.workers} worker(s); {troubles}; "
            f"{self.end.name} at {self.ends_after_s:.1f} s"
        )


def rounds(seed: str) -> Iterator[Round]:
    """Plan without end."""
    number = 0
    while True:
        number += 1
        chance = random.Random(f"{seed}/plan/{number}")
        ends_after_s = chance.uniform(2.0, 7.0)
        moments = [
            Moment(
                chance.uniform(0.0, ends_after_s), chance.choice(KINDS), chance.uniform(0.3, 4.0)
            )
            for _ in range(chance.randint(1, 5))
        ]
        yield Round(
            number=number,
            workers=chance.choice((1, 1, 2)),
            moments=tuple(sorted(moments, key=lambda moment: moment.at_s)),
            ends_after_s=ends_after_s,
            end=chance.choice(_ENDS),
        )


def play(rig: Rig, seed: str, planned: Round, troubles: Mapping[str, Trouble]) -> Compared:
    """Make one round come true."""
    chance = random.Random(f"{seed}/play/{planned.number}")
    rig.start(workers=planned.workers)
    with ExitStack() as mended:
        for trouble in troubles.values():
            mended.callback(trouble.end)
        with rig.load(f"{seed}/load/{planned.number}", clients=8) as load:
            wait_until(lambda: load.answered >= _WARM)
            began_s = time.monotonic()
            for at_s, act in _timeline(planned, troubles, chance):
                time.sleep(max(0.0, began_s + at_s - time.monotonic()))
                act()
            time.sleep(max(0.0, began_s + planned.ends_after_s - time.monotonic()))
            rig.end(planned.end)
    return rig.compare()


def _timeline(
    planned: Round, troubles: Mapping[str, Trouble], chance: random.Random
) -> list[tuple[float, Callable[[], None]]]:
    """Order all beginnings and ends; what would end after the proxy is mended after it."""
    steps: list[tuple[float, Callable[[], None]]] = []
    for moment in planned.moments:
        trouble = troubles.get(moment.trouble)
        if trouble is None:
            continue  # not to be had on this machine
        steps.append((moment.at_s, lambda it=trouble: it.begin(chance)))
        if moment.at_s + moment.lasts_s < planned.ends_after_s:
            steps.append((moment.at_s + moment.lasts_s, trouble.end))
    return sorted(steps, key=lambda step: step[0])


def play_until(
    folder: Path, seed: str, enough: Callable[[int], bool], say: Callable[[str], None]
) -> list[tuple[Round, Compared]]:
    """Play round after round until `enough(rounds played)`, or until one differs."""
    with ExitStack() as ends:
        standin = ends.enter_context(RunningStandin(folder))
        disk = SmallDisk.mounted(folder / "disk")
        if disk is None:
            say("no disk can be mounted here: none gets full")
        else:
            ends.callback(disk.close)
        server: PostgresServer | None = None
        if random.Random(f"{seed}/ledger").random() < 0.5:
            server = PostgresServer()
            ends.callback(server.close)
        rig = Rig(
            folder,
            standin,
            Setup(
                ledger_url=server.url(server.new_database()) if server else None,
                spool=disk.place / "spool" if disk else None,
            ),
        )
        ends.callback(rig.leave_nothing)
        say(f"ledger: {'PostgreSQL' if server else 'SQLite'}")
        troubles = troubles_of(rig, disk, server)
        for planned in rounds(seed):
            if enough(planned.number - 1):
                break
            say(str(planned))
            compared = play(rig, seed, planned, troubles)
            say(f"  {compared}")
            if not compared.same:
                return [(planned, compared)]
    return []
