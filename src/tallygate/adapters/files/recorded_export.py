"""
Writes what `recorded_inputs` reads: a file of recorded calls.

Shapes  The file appears under its name when it is whole.
Errors  SettingsInvalid for a place that cannot be written; what the calls are read from raises as
        it does, and leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

import orjson
import zstandard

from tallygate.adapters.files.recorded_inputs import FORMAT
from tallygate.application.ports import Total
from tallygate.application.recording import RecordedGroup, grain_of
from tallygate.domain.kernel.money import text_from_amount
from tallygate.errors import SettingsInvalid

_LEVEL: Final = 10
"""Of zstd: a third smaller than its own choice, and still faster than the ledger reads."""

Inputs = Callable[[Collection[str]], Iterator[tuple[str, Mapping[str, Any]]]]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    groups: int
    inputs: int
    calls: int
    without_input: int
    """Calls of which the ledger does not have the input: older lines, or not settled yet."""
    bytes: int


def write_recorded_inputs(
    path: Path,
    since_ns: int,
    until_ns: int,
    ledger_total: Total,
    groups: Iterable[RecordedGroup],
    inputs: Inputs,
) -> Exported:
    """Write a file of the calls of a time, with the inputs that they were about."""
    header = {
        "format": FORMAT,
        "since_ns": since_ns,
        "until_ns": until_ns,
        "grain_ns": grain_of(since_ns, until_ns),
        "events": ledger_total.events,
        "cost": text_from_amount(ledger_total.cost),
        "unpriced": ledger_total.unpriced,
    }
    calls_of: dict[str | None, int] = {}
    counted = {"groups": 0, "inputs": 0, "calls": 0}
    with _whole(path) as put:
        put(header)
        for group in groups:
            put({"group": _group_object(group)})
            calls = sum(bucket.calls for bucket in group.buckets)
            calls_of[group.input_digest] = calls_of.get(group.input_digest, 0) + calls
            counted["groups"] += 1
            counted["calls"] += calls
        for digest, recorded in inputs([digest for digest in calls_of if digest]):
            put({"digest": digest, "input": recorded})
            del calls_of[digest]
            counted["inputs"] += 1
        put({"end": counted})
    return Exported(**counted, without_input=sum(calls_of.values()), bytes=path.stat().st_size)


def _group_object(group: RecordedGroup) -> dict[str, Any]:
    return asdict(group) | {
        "samples": group.samples,
        "buckets": [
            [each.call_bucket, each.calls, text_from_amount(each.cost), each.unpriced]
            for each in group.buckets
        ],
    }


@contextmanager
def _whole(path: Path) -> Iterator[Callable[[object], object]]:
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file, _packed(path, file) as packed:
            yield lambda line: packed.write(orjson.dumps(line) + b"\n")
        partial.replace(path)
    except OSError as error:
        raise SettingsInvalid(
            f"{path} cannot be written: {error.strerror or error}. Name another place with "
            "--output."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _packed(path: Path, file: IO[bytes]) -> Iterator[Any]:
    if path.suffix != ".zst":
        yield file
        return
    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    with compressor.stream_writer(file, closefd=False) as packed:
        yield packed
