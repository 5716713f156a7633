"""
What opening and settling an attempt in the spool costs, with the drain at work beside it.

    .venv/bin/python bench/spool.py [--seconds 20] [--rate 360] [--sync-ms 100] [--bare]

A writer appends `rate` records a second, evenly spaced, opened and settled in turn; each is timed
from the dataclass to the return of `append`, so encoding is in it. A process of its own reads,
acknowledges and unlinks segments of 1 MiB meanwhile. `--bare` leaves the reader out.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import platform
import statistics
import tempfile
import time
from multiprocessing.synchronize import Event as Signal
from pathlib import Path

from tallygate.adapters.spool import SegmentReader, SegmentSpool
from tallygate.domain.kernel.ids import uuid7
from tallygate.domain.ledger.codec import bytes_from_record, record_from_bytes
from tallygate.domain.ledger.events import (
    AttemptFacts,
    CallFacts,
    DecisionFacts,
    Event,
    EventKind,
    Outcome,
    OwnershipFacts,
    SpoolRecord,
    Stage,
    Status,
    UsageSource,
)

NOON_NS = 1_795_262_400_000_000_000
OWNERSHIP = OwnershipFacts(
    owner_team="team-support",
    claimed_owner_team="team-support",
    service="support-assistant",
    environment="prod",
    workflow_id="wf-17",
    feature="ticket-triage",
    tenant_id_hash="hk1_" + "b" * 32,
    cost_center="CC-1200",
    business_unit="customer-experience",
    sources={"owner_team": "header", "service": "header", "feature": "default"},
)
DECISION = DecisionFacts(
    decision_id="0191b3a0-0000-7000-8000-000000000001",
    status="decided",
    action="admit",
    would_action="admit",
    mode="enforce",
    mode_source="service_environment",
    policy_revision="sha256:" + "c" * 64,
    latency_us=510,
)
OUTCOME = Outcome(
    status=Status.OK,
    settled_at_ns=NOON_NS,
    http_status=200,
    latency_us=812_345,
    response_model="gpt-5.4-2026-03-05",
    provider_request_id="chatcmpl-" + "e" * 24,
    service_tier="default",
    usage_source=UsageSource.REPORTED,
    usage={
        "prompt_tokens": 3400,
        "prompt_tokens_details": {"cached_tokens": 1200, "audio_tokens": 0},
        "completion_tokens": 620,
        "completion_tokens_details": {"reasoning_tokens": 128},
    },
    usage_format="openai",
    litellm_cost="0.00453",
)


def an_event(number: int) -> Event:
    """Return a chat completion, with the fields filled that the gate fills."""
    return Event(
        event_id=uuid7(NOON_NS + number, number.to_bytes(8)),
        kind=EventKind.ATTEMPT,
        call=CallFacts(
            call_id=f"0191b3a0-0000-7000-8000-{number:012}",
            trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
            trace_source="received",
            started_at_ns=NOON_NS,
            route="/v1/chat/completions",
            call_type="acompletion",
            principal_team="litellm-team-1",
            principal_key_hash="a" * 64,
            principal_bound=True,
        ),
        ownership=OWNERSHIP,
        decision=DECISION,
        writer_id="0191b3a0-0000-7000-8000-000000000002",
        attempt=AttemptFacts(
            number=1,
            opened_at_ns=NOON_NS,
            operation="chat",
            provider="openai",
            request_model="gpt-5.4",
            model_group="frontier",
            deployment_id="d" * 64,
        ),
        outcome=OUTCOME,
    )


def drain(folder: str, stop: Signal, counted: multiprocessing.Queue) -> None:
    """Read, acknowledge and unlink until told to stop and nothing is left."""
    reader, count, unlinked = SegmentReader(Path(folder)), 0, 0
    ended = False
    while not ended:
        ended = stop.is_set()
        before = len(list(Path(folder).glob("*.seg")))
        for batch in reader.batches(500):
            count += len(batch.records)
            reader.acknowledge(batch, ())
        unlinked += max(0, before - len(list(Path(folder).glob("*.seg"))))
        time.sleep(0.2)  # as the drain does
    reader.close()
    counted.put((count, unlinked, reader.faults))


def load(spool: SegmentSpool, rate: int, seconds: float) -> list[int]:
    took_ns = []
    start = time.perf_counter()
    for number in range(int(rate * seconds)):
        pause = start + number / rate - time.perf_counter()
        if pause > 0:
            time.sleep(pause)
        whole = an_event(number // 2)
        record = (
            SpoolRecord(Stage.SETTLED, whole)
            if number % 2
            else SpoolRecord(Stage.OPENED, dataclasses.replace(whole, outcome=None))
        )
        began = time.perf_counter_ns()
        spool.append(record)
        took_ns.append(time.perf_counter_ns() - began)
    return took_ns


def ms(ns: float) -> str:
    return f"{ns / 1e6:.3f} ms"


def codec_rates() -> str:
    records = [SpoolRecord(Stage.SETTLED, an_event(number)) for number in range(20_000)]
    began = time.perf_counter()
    encoded = [bytes_from_record(record) for record in records]
    between = time.perf_counter()
    for content in encoded:
        record_from_bytes(content)
    end = time.perf_counter()
    return (
        f"codec: {len(encoded[0])} bytes, encode {(between - began) / len(records) * 1e6:.1f} us, "
        f"decode {(end - between) / len(records) * 1e6:.1f} us"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="time the spool at a steady rate")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=int, default=360, help="records a second")
    parser.add_argument("--sync-ms", type=float, default=100, help="0 syncs in each append")
    parser.add_argument("--bare", action="store_true", help="no reader beside")
    parser.add_argument("--folder", type=Path, help="where; by default a temporary folder")
    wanted = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.system()} {platform.release()}")
    print(codec_rates())
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir=wanted.folder) as folder:
        stop, counted = context.Event(), context.Queue()
        beside = context.Process(target=drain, args=(folder, stop, counted))
        if not wanted.bare:
            beside.start()
            time.sleep(1)
        spool = SegmentSpool(
            Path(folder), segment_bytes=1024 * 1024, sync_interval_s=wanted.sync_ms / 1000
        )
        took_ns = load(spool, wanted.rate, wanted.seconds)
        spool.close()
        stop.set()
        if not wanted.bare:
            count, unlinked, faults = counted.get()
            beside.join()
            print(f"drained {count} of {len(took_ns)}, {unlinked} segments gone, faults {faults}")
    cuts = statistics.quantiles(took_ns, n=1000)
    print(
        f"append at {wanted.rate}/s, sync every {wanted.sync_ms:g} ms: p50 {ms(cuts[499])}, "
        f"p99 {ms(cuts[989])}, p99.9 {ms(cuts[998])}, worst {ms(max(took_ns))}"
    )


if __name__ == "__main__":
    main()
