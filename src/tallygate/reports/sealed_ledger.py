"""What sealing, verification, archiving and erasure found, as sentences for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tallygate.application.archiving import Archived
from tallygate.application.erasure import NOT_PURGED, Forgotten
from tallygate.application.ledger_ports import CurrencySum
from tallygate.application.verification import Verification
from tallygate.domain.kernel.money import text_from_amount
from tallygate.domain.ledger.findings import Finding

_WHAT_REMAINS = """\
What remains: {surrogate} on {lines:,} lines, a surrogate of which nobody can tell whose it was.
Where the hash may still lie: spools that are not drained yet, the .bad files beside them, backups
and exports of the ledger; in PostgreSQL also the dead row, until VACUUM.
Archives hold surrogates only. The same person, seen again, gets another surrogate."""


def finding_line(finding: Finding) -> str:
    """Say where, then what: `seal 2, seq 6: event … was edited in cost_e12`."""
    places = (
        finding.place,
        None if finding.seal is None else f"seal {finding.seal}",
        None if finding.seq is None else f"seq {finding.seq}",
    )
    where = ", ".join(place for place in places if place)
    return f"{finding.code}: {where}: {finding.message}"


def verification_text(verification: Verification, anchors: str | None) -> str:
    """Say what was proven, and what was not."""
    return "\n".join(_verification_lines(verification, anchors))


def _verification_lines(verification: Verification, anchors: str | None) -> Iterator[str]:
    for finding in verification.findings:
        yield finding_line(finding)
    if verification.more_findings:
        yield f"… and {verification.more_findings:,} more."
    archived = f", {verification.archived:,} of them archived" if verification.archived else ""
    counted = f"{verification.events:,} events under {verification.seals:,} seals{archived}"
    if verification.holds:
        yield f"The ledger holds: {counted}."
    else:
        found = len(verification.findings) + verification.more_findings
        yield f"The ledger does not hold: {found:,} findings in {counted}."
    if verification.unsealed:
        yield (
            f"{verification.unsealed:,} events are not sealed yet and not protected: "
            "tallygate ledger seal"
        )
    if verification.anchors:
        behind = verification.events - verification.anchored_events
        yield (
            f"{verification.anchors:,} anchors of {anchors} compared; "
            f"{max(behind, 0):,} sealed events came after the last."
        )
    else:
        yield (
            "No anchor was compared: a tail that was cut together with its seals, or a chain that "
            "was made anew, would not show. Write one: tallygate ledger anchor"
        )


def sums_line(sums: Mapping[str, CurrencySum]) -> str:
    """List sums by currency; what has no price is counted beside them."""
    return (
        "; ".join(
            f"{text_from_amount(one.cost)} {currency} in {one.events:,} events"
            + (f", {one.unpriced:,} unpriced" if one.unpriced else "")
            for currency, one in sums.items()
        )
        or "nothing"
    )


def forgotten_text(forgotten: Forgotten, anchors: str | None) -> str:
    """Show that the person went and that everything else stands."""
    stand = "unchanged" if forgotten.sums_stand else "CHANGED"
    return "\n".join(
        (
            f"Forgotten: who {forgotten.surrogate} stands for.",
            *(() if forgotten.purged else (f"NOT GONE YET: {NOT_PURGED}",)),
            f"Sums before: {sums_line(forgotten.sums_before)}",
            f"Sums after:  {sums_line(forgotten.sums_after)} ({stand})",
            f"Head before: {forgotten.before.head or 'nothing is sealed'}",
            f"Head after:  {forgotten.after.head or 'nothing is sealed'}",
            verification_text(forgotten.after, anchors),
            _WHAT_REMAINS.format(surrogate=forgotten.surrogate, lines=forgotten.lines),
        )
    )


def archived_text(archived: Archived, folder: str) -> str:
    """Show what moved, and that the sums of both places are the sum of before."""
    return "\n".join(_archived_lines(archived, folder))


def _archived_lines(archived: Archived, folder: str) -> Iterator[str]:
    for number in archived.finished:
        yield f"Archive {number} was interrupted and is finished now."
    manifest = archived.manifest
    if manifest is None:
        if not archived.finished:
            yield (
                "Nothing to archive: no sealed event is old enough, and the newest seal stays "
                "in the database."
            )
        return
    size = sum(file.bytes for file in manifest.files)
    yield (
        f"Archive {manifest.number}: {manifest.events:,} events, seals {manifest.first_seal} to "
        f"{manifest.last_seal}, seq {manifest.from_seq} to {manifest.to_seq}, in "
        f"{len(manifest.files):,} files of {size:,} bytes under {folder}."
    )
    yield f"Sums before:   {sums_line(archived.sums_before)}"
    yield f"Archived:      {sums_line(archived.sums_archived)}"
    yield f"Left in place: {sums_line(archived.sums_after)}"
    yield "Reports read the database only; keep the folder, verify needs it."
