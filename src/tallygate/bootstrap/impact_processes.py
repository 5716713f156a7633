"""
The comparison of two revisions on all cores, where there is enough to compare.

Shapes  Worker processes are spawned, each with both engines of its own; batches go out a few at a
        time and their findings come back in order.
Errors  EngineFailed where a process was ended from outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Final

from tallygate.adapters.files.policies import PolicySet
from tallygate.application.impact_comparison import Comparison
from tallygate.application.impact_findings import Batch, Findings, Window
from tallygate.bootstrap.impact import Compared, load_both
from tallygate.bootstrap.worker_processes import cores, in_processes
from tallygate.errors import EngineFailed

_INLINE_BATCHES: Final = 24
"""So few are compared here: starting a process and its engines takes as long."""
_WORKERS_MAX: Final = 8
_BATCHES_AHEAD: Final = 2


@dataclass(frozen=True, slots=True)
class AllCores:
    """Compares batches as `Comparison` does, in as many processes as it is worth."""

    compared: Compared
    window: Window
    inline_batches: int = _INLINE_BATCHES

    def __call__(self, batches: Sequence[Batch]) -> Iterator[Findings]:
        workers = min(_WORKERS_MAX, cores(), len(batches))
        if len(batches) <= self.inline_batches or workers < 2:
            here = Comparison(self.compared.base, self.compared.head, self.window)
            yield from map(here.compare, batches)
            return
        try:
            yield from self._in_processes(batches, workers)
        except BrokenProcessPool as error:
            raise EngineFailed(
                "a process that replayed calls was ended from outside, perhaps for want of"
                " memory; run it again."
            ) from error

    def _in_processes(self, batches: Sequence[Batch], workers: int) -> Iterator[Findings]:
        base, head = (replace(read, documents={}) for read in self.compared.read)
        return in_processes(
            _compare_in_worker,
            batches,
            workers,
            ahead=_BATCHES_AHEAD,
            prepare=_load_in_worker,
            prepared_with=(base, head, self.window),
        )


_LOADED_IN_WORKER: list[Comparison] = []


def _load_in_worker(base: PolicySet, head: PolicySet, window: Window) -> None:
    loaded_base, loaded_head, _ = load_both(base, head)
    _LOADED_IN_WORKER[:] = [Comparison(loaded_base, loaded_head, window)]


def _compare_in_worker(batch: Batch) -> Findings:
    return _LOADED_IN_WORKER[0].compare(batch)
