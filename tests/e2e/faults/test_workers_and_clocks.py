"""What the books are worth when one worker of several dies, or the wall clock is set back."""

from __future__ import annotations

import os
import signal

from e2e.faults.conftest import MakeRig
from e2e.faults.rig import Setup, wait_for
from e2e.faults.test_no_room import wait_for_answers


def test_one_worker_of_two_is_killed_then_all_are_stopped(make_rig: MakeRig) -> None:
    rig = make_rig(Setup(workers=2))
    rig.start()
    with rig.load("workers") as load:
        wait_for_answers(load, 10)
        writers = {said["writer_id"] for said in rig.workers().values()}
        wait_for(rig.is_drained_by_somebody, "a drain")
        os.kill(min(rig.workers()), signal.SIGKILL)
        wait_for_answers(load, 10)
        rig.end(signal.SIGTERM)

    compared = rig.compare()

    assert len(writers) == 2
    assert compared.same, compared
    # On a busy machine one of them may have had no call at all; what they had is compared above.
    assert writers & rig.booked_writers()


def test_a_clock_that_is_set_back_costs_no_attempt(make_rig: MakeRig) -> None:
    rig = make_rig(Setup())
    rig.start()
    with rig.load("clock") as load:
        wait_for_answers(load, 5)
        rig.clock.shift(-86_400)
        wait_for_answers(load, 10)
        rig.clock.shift(-300)
        wait_for_answers(load, 10)
        rig.end(signal.SIGTERM)

    compared = rig.compare()

    assert compared.same, compared
    assert "Traceback" not in rig.drain_log()
