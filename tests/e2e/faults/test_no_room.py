"""
What a proxy does when its spool is at its limit, or its disk full: as the contract says.

Method: a spool folder that is brought to its limit under load; then, where this user may mount
one, a real disk that is filled.
"""

from __future__ import annotations

import random
import signal
import time

from e2e.faults.conftest import MakeRig
from e2e.faults.disk import SmallDisk
from e2e.faults.load import SPOOL_FULL, MixedLoad
from e2e.faults.rig import Rig, Setup, wait_for
from e2e.faults.troubles import DiskFull, SpoolAtItsLimit, Trouble

CHANCE = random.Random(1)


def a_rig_and_its_shortages(
    make_rig: MakeRig, disk: SmallDisk | None, spool_full: str
) -> tuple[Rig, list[Trouble]]:
    spool = disk.place / "spool" if disk else None
    rig = make_rig(Setup(spool=spool, spool_full=spool_full))
    shortages: list[Trouble] = [SpoolAtItsLimit(rig)]
    return rig, [*shortages, DiskFull(rig, disk)] if disk else shortages


def wait_for_answers(load: MixedLoad, more: int) -> None:
    wanted = load.answered + more
    wait_for(lambda: load.answered >= wanted, f"{more} more answers")


def uncounted(rig: Rig) -> int:
    return sum(said["uncounted_attempts"] for said in rig.workers().values())


def uncounted_in_the_end(rig: Rig) -> int:
    """Wait until no more calls are added to those that passed: each second a worker says so."""
    before, said = -1, uncounted(rig)
    while said != before:
        time.sleep(5)
        before, said = said, uncounted(rig)
    return said


def test_without_room_new_calls_are_refused_and_what_was_admitted_is_booked(
    make_rig: MakeRig, small_disk: SmallDisk | None
) -> None:
    rig, shortages = a_rig_and_its_shortages(make_rig, small_disk, "refuse")
    rig.start()
    with rig.load("refused") as load:
        wait_for_answers(load, 5)
        for shortage in shortages:
            before = load.answers[SPOOL_FULL]
            shortage.begin(CHANCE)
            wait_for(lambda before=before: load.answers[SPOOL_FULL] > before + 2, "refusals")
            shortage.end()
            wait_for_answers(load, 10)
        before = load.answers[SPOOL_FULL]
        shortages[-1].begin(CHANCE)
        wait_for(lambda: load.answers[SPOOL_FULL] > before, "a refusal")
        rig.end(signal.SIGKILL)  # with calls in flight that were admitted in the last moment
    shortages[-1].end()

    compared = rig.compare()

    assert compared.same, compared


def test_without_room_calls_pass_where_the_contract_says_so_and_their_number_is_said(
    make_rig: MakeRig, small_disk: SmallDisk | None
) -> None:
    rig, shortages = a_rig_and_its_shortages(make_rig, small_disk, "pass")
    rig.start()
    with rig.load("passed") as load:
        wait_for_answers(load, 5)
        for shortage in shortages:
            before = uncounted(rig)
            shortage.begin(CHANCE)
            wait_for(lambda before=before: uncounted(rig) > before, "an uncounted attempt")
            wait_for_answers(load, 10)
            shortage.end()
        wait_for_answers(load, 10)
        refused = load.answers[SPOOL_FULL]
    said = uncounted_in_the_end(rig)
    rig.end(signal.SIGTERM)

    compared = rig.compare()

    assert refused == 0
    assert not compared.extra, compared
    assert compared.provider - compared.attempts == said, compared
