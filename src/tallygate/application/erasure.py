"""
Forget a person: the row that says who a surrogate is goes, and nothing else.

Sums and seals are over surrogates, so they stand as they stood; the report shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from tallygate.application.ledger_ports import CurrencySum, SealStore, Subjects
from tallygate.application.verification import Verification
from tallygate.errors import LedgerError, LedgerUnavailable

NOT_PURGED: Final = (
    "what was deleted may still stand in the ledger's -wal file, because another process reads the "
    "ledger all the time; end it, then run the same command again."
)


class SealedSubjects(SealStore, Subjects, Protocol):
    """A ledger that has both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What went, what stayed, and the proof."""

    surrogate: str
    lines: int
    """Lines in the database that carry the surrogate, as before."""
    sums_before: Mapping[str, CurrencySum]
    sums_after: Mapping[str, CurrencySum]
    before: Verification
    after: Verification
    purged: bool
    """Whether the hash's bytes have left the ledger's files."""

    @property
    def sums_stand(self) -> bool:
        return self.sums_before == self.sums_after


def forget(
    store: SealedSubjects, subject: str, verified: Callable[[], Verification]
) -> Forgotten | None:
    """Delete the person's row; None where nobody of that hash or surrogate is known."""
    surrogate = store.surrogate_of(subject)
    if surrogate is None:
        if not store.purge():  # of an earlier run, perhaps
            raise LedgerUnavailable(NOT_PURGED)
        return None
    to_seq = store.settled_seq()  # what is booked meanwhile is not compared
    sums_before, before = store.sums(to_seq=to_seq), verified()
    lines = store.count_lines(surrogate)  # what may take long goes before what cannot be undone
    store.forget(surrogate)
    if store.surrogate_of(surrogate) is not None:
        raise LedgerError("the person's row is still there after it was deleted; try again.")
    purged = store.purge()
    return Forgotten(
        surrogate=surrogate,
        lines=lines,
        sums_before=sums_before,
        sums_after=store.sums(to_seq=to_seq),
        before=before,
        after=verified(),
        purged=purged,
    )
