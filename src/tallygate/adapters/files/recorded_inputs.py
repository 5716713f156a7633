"""
Recorded calls in a file of lines, compressed where its name ends in `.zst`.

Shapes  One JSON object a line: the header (format, time, grain, what the ledger counts), groups
        of calls, the inputs that they were about, and the end with what was written, by which a
        file that was cut short shows. Money is decimal text.
Exact   A group lies between the cuts by its earliest call. It lasts an hour at most, or a day as
        the header says, so a cut on the hour parts calls as the ledger does.
Errors  RecordedInputsInvalid names file and line, and what was expected there.
"""

from __future__ import annotations

import io
import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import orjson
import zstandard

from tallygate.application.recording import SAMPLES_MAX
from tallygate.application.replay_ports import DecisionLine, RecordedCalls
from tallygate.domain.kernel.ids import ns_of_uuid7
from tallygate.domain.kernel.money import STORE_SCALE, amount_from_e12
from tallygate.domain.policy.recorded_input import digest_of_input
from tallygate.errors import RecordedInputsInvalid

FORMAT: Final = "tallygate-recorded-inputs/1"

_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_AMOUNT: Final = re.compile(r"-?[0-9]+(\.[0-9]{1,12})?")
_TEXT, _NUMBER = "text", "a whole number"
_NULL_OR_TEXT: Final = "text or null"
_HEADER: Final = {"since_ns": _NUMBER, "until_ns": _NUMBER, "grain_ns": _NUMBER}
_END: Final = {"groups": _NUMBER, "inputs": _NUMBER, "calls": _NUMBER}
_NAMES: Final = {
    "input_digest": _NULL_OR_TEXT,
    "service": _NULL_OR_TEXT,
    "owner_team": _NULL_OR_TEXT,
    "environment": _NULL_OR_TEXT,
    "action": _TEXT,
    "would_action": _TEXT,
    "mode": _TEXT,
}
_GROUP: Final = {**_NAMES, "first_at_ns": _NUMBER, "last_at_ns": _NUMBER}
_FITS: Final[Mapping[str, tuple[type, ...]]] = {
    _TEXT: (str,),
    _NUMBER: (int,),
    _NULL_OR_TEXT: (str, type(None)),
}


@dataclass(slots=True)
class _Sum:
    """What some groups add up to, of one bucket or of all."""

    calls: int = 0
    cost_e12: int = 0
    unpriced: int = 0
    first_at_ns: int = 0
    last_at_ns: int = 0
    samples: set[str] = field(default_factory=set)


class RecordedInputsFile:
    """The `DecisionLines` port on a file, which is read and checked whole when it is opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inputs: dict[str, Mapping[str, Any]] = {}
        self.since_ns, self.until_ns, self.grain_ns = 0, 0, 0
        counted = dict.fromkeys(_END, 0)
        for number, line in self._lines():
            if "digest" in line:
                counted["inputs"] += 1
                self._take_input(number, line)
            elif "group" in line:
                counted["groups"] += 1
                counted["calls"] += sum(calls for _, calls, _, _ in line["group"]["buckets"])
            elif "end" in line and line["end"] != counted:
                raise self._invalid(
                    number, f"the end counts {line['end']}, and {counted} stand before it"
                )

    @property
    def place(self) -> str:
        """The file, as messages name it."""
        return str(self._path)

    def recorded_calls(
        self,
        since_ns: int | None,
        until_ns: int | None,
        *,
        by_call_bucket: bool,
        cuts_ns: Sequence[int] = (),
    ) -> Iterator[RecordedCalls]:
        earliest = since_ns if since_ns is not None and since_ns > self.since_ns else None
        latest = until_ns if until_ns is not None and until_ns < self.until_ns else None
        sums: dict[tuple[Any, ...], _Sum] = {}
        for group in self._groups():
            at_ns = group["first_at_ns"]
            if (earliest is not None and at_ns < earliest) or (
                latest is not None and at_ns >= latest
            ):
                continue
            digest, *names = (group[name] for name in _NAMES)
            key = (digest, bisect_right(cuts_ns, at_ns), *names)
            _add(sums, key, group, by_call_bucket=by_call_bucket)
        for key in sorted(sums, key=_in_order):
            digest, span, *names, bucket = key
            yield _calls_from(sums[key], digest, span, bucket, names)

    def decision_inputs(
        self, digests: Collection[str] | None = None
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for digest in sorted(self._inputs):
            if digests is None or digest in digests:
                yield digest, self._inputs[digest]

    def decision_line(self, decision_id: str) -> DecisionLine | None:
        for group in self._groups():
            for sample, bucket in group["samples"]:
                if sample == decision_id:
                    return self._line_of(group, sample, bucket)
        return None

    def _line_of(
        self, group: Mapping[str, Any], decision_id: str, bucket: int | None
    ) -> DecisionLine:
        try:
            decided_at_ns = ns_of_uuid7(decision_id)
        except ValueError:
            decided_at_ns = group["first_at_ns"]
        return DecisionLine(
            decision_id=decision_id,
            decided_at_ns=decided_at_ns,
            input_digest=group["input_digest"],
            call_bucket=bucket,
            recorded=self._inputs.get(group["input_digest"]),
            event={name: group[name] for name in _NAMES},
        )

    def _groups(self) -> Iterator[Mapping[str, Any]]:
        """Read the groups again; that they are as they must be was seen when it was opened."""
        with self._opened() as file:
            for text in file:
                line = orjson.loads(text)
                if "group" in line:
                    yield line["group"]

    def _take_input(self, number: int, line: Mapping[str, Any]) -> None:
        digest, recorded = line["digest"], line["input"]
        if digest_of_input(recorded) != digest:
            raise self._invalid(number, f"the input is not the one that {digest} is of")
        self._inputs[digest] = recorded

    def _lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the lines with their numbers, each checked; the header and the end are there."""
        number, is_ended = 0, False
        with self._opened() as file:
            for number, text in enumerate(file, start=1):
                if is_ended:
                    raise self._invalid(number, "nothing stands after the end")
                try:
                    line = orjson.loads(text)
                except orjson.JSONDecodeError as error:
                    raise self._invalid(number, f"expected a JSON object: {error}") from error
                self._check(number, line)
                is_ended = "end" in line
                yield number, line
        if not is_ended:
            raise self._invalid(
                number + 1, "the end is missing: the file was cut short; export it again"
            )

    def _check(self, number: int, line: Any) -> None:  # noqa: ANN401 - as read
        if not isinstance(line, dict):
            raise self._invalid(number, "expected a JSON object")
        if number == 1:
            self._take_header(line)
        elif line.keys() == {"group"}:
            self._check_group(number, line["group"])
        elif line.keys() == {"digest", "input"}:
            if not isinstance(line["digest"], str) or not isinstance(line["input"], dict):
                raise self._invalid(number, "expected a digest as text and an input as an object")
        elif line.keys() == {"end"}:
            self._check_types(number, line["end"], _END)
        else:
            raise self._invalid(number, "expected a group, a digest with its input, or the end")

    def _take_header(self, line: Mapping[str, Any]) -> None:
        if line.get("format") != FORMAT:
            raise self._invalid(
                1,
                f"expected a header with format {FORMAT}: this is no file of recorded inputs, or "
                "one of another tallygate; export it again with this one",
            )
        self._check_types(1, {name: line.get(name) for name in _HEADER}, _HEADER)
        self.since_ns, self.until_ns = line["since_ns"], line["until_ns"]
        self.grain_ns = line["grain_ns"]

    def _check_group(self, number: int, group: Any) -> None:  # noqa: ANN401 - as read
        if not isinstance(group, dict) or group.keys() != {*_GROUP, "samples", "buckets"}:
            raise self._invalid(
                number, f"a group has exactly {', '.join(_GROUP)}, samples, buckets"
            )
        self._check_types(number, {name: group[name] for name in _GROUP}, _GROUP)
        if not _are_samples(group["samples"]):
            raise self._invalid(number, "samples are pairs of a decision's id and a bucket")
        if not _are_buckets(group["buckets"]):
            raise self._invalid(
                number, "buckets are lists of bucket or null, calls, cost as text, unpriced"
            )

    def _check_types(self, number: int, found: Any, wanted: Mapping[str, str]) -> None:  # noqa: ANN401 - as read
        if not isinstance(found, dict) or found.keys() != wanted.keys():
            raise self._invalid(number, f"expected exactly {', '.join(wanted)}")
        for name, kind in wanted.items():
            if type(found[name]) not in _FITS[kind]:
                raise self._invalid(number, f"{name} is {kind}")

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        try:
            with self._path.open("rb") as file:
                is_packed = file.read(len(_ZSTD_MAGIC)) == _ZSTD_MAGIC
                file.seek(0)
                if not is_packed:
                    yield file
                    return
                reader = zstandard.ZstdDecompressor().stream_reader(file, closefd=False)
                with io.BufferedReader(reader) as unpacked:
                    yield unpacked
        except OSError as error:
            raise RecordedInputsInvalid(
                f"{self._path}: cannot be read: {error.strerror or error}."
            ) from error
        except zstandard.ZstdError as error:
            raise RecordedInputsInvalid(
                f"{self._path}: cannot be unpacked ({error}); export it again."
            ) from error

    def _invalid(self, number: int, message: str) -> RecordedInputsInvalid:
        return RecordedInputsInvalid(f"{self._path}:{number}: {message}.")


def _are_samples(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and type(pair[0]) is str and _is_bucket(pair[1])
        for pair in value
    )


def _are_buckets(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, list)
        and len(entry) == 4
        and _is_bucket(entry[0])
        and all(type(count) is int and count >= 0 for count in (entry[1], entry[3]))
        and isinstance(entry[2], str)
        and _AMOUNT.fullmatch(entry[2])
        for entry in value
    )


def _is_bucket(value: object) -> bool:
    return value is None or (type(value) is int and 0 <= value < 100)


def _add(
    sums: dict[tuple[Any, ...], _Sum],
    key: tuple[Any, ...],
    group: Mapping[str, Any],
    *,
    by_call_bucket: bool,
) -> None:
    first_ns, last_ns = group["first_at_ns"], group["last_at_ns"]
    for number, calls, cost, unpriced in group["buckets"]:
        bucket = number if by_call_bucket else None
        found = sums.setdefault((*key, bucket), _Sum(first_at_ns=first_ns, last_at_ns=last_ns))
        found.calls += calls
        found.cost_e12 += _e12_of(cost)
        found.unpriced += unpriced
        found.first_at_ns = min(found.first_at_ns, first_ns)
        found.last_at_ns = max(found.last_at_ns, last_ns)
        if len(found.samples) < SAMPLES_MAX:
            found.samples.update(
                sample for sample, of in group["samples"] if of == number or not by_call_bucket
            )


def _e12_of(amount: str) -> int:
    """Read what `_AMOUNT` allows; of as many as there are calls, Decimal would be half the time."""
    whole, _, places = amount.partition(".")
    return int(whole + places.ljust(STORE_SCALE, "0"))


def _calls_from(
    found: _Sum, digest: str | None, span: int, bucket: int | None, names: Sequence[Any]
) -> RecordedCalls:
    service, owner_team, environment, action, would_action, mode = names
    return RecordedCalls(
        input_digest=digest,
        call_bucket=bucket,
        span=span,
        service=service,
        owner_team=owner_team,
        environment=environment,
        action=action,
        would_action=would_action,
        mode=mode,
        calls=found.calls,
        cost=amount_from_e12(found.cost_e12),
        unpriced=found.unpriced,
        first_at_ns=found.first_at_ns,
        last_at_ns=found.last_at_ns,
        samples=tuple(sorted(found.samples)[:SAMPLES_MAX]),
    )


def _in_order(key: tuple[Any, ...]) -> list[tuple[bool, Any]]:
    """Sort None before what is there."""
    return [(part is not None, part) for part in key]
