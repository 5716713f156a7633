"""Many clients at once, on many routes: each call is in the ledger, with its own numbers."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

from e2e.routes.caller import CLAUDE, MINI, Caller
from e2e.routes.comparison import is_sent
from e2e.routes.conftest import Books, until_whole

WORKERS, ROUNDS = 8, 3
TAKES_EACH = 5


def converse(url: str, worker: int) -> list[str]:
    """Send five calls a round, each of which uses what no other does."""
    traces = []
    for turn in range(ROUNDS):
        with Caller(url) as caller:
            wishes = f"input={1000 * (worker + 1) + turn} output={worker * ROUNDS + turn + 1}"
            caller.chat(wishes)
            list(caller.chat(wishes, stream=True))
            caller.openai.responses.create(model=MINI, input=caller.text(wishes))
            caller.anthropic.messages.create(
                model=CLAUDE, max_tokens=50, messages=caller.messages(wishes)
            )
            caller.ok("/gateway/v1/messages", caller.claude(wishes))
            traces.append(caller.trace_id)
    return traces


def test_a_hundred_calls_at_once_are_told_apart(books: Books) -> None:
    after = books.newest()

    with ThreadPoolExecutor(WORKERS) as pool:
        running = [pool.submit(converse, books.proxy.url, worker) for worker in range(WORKERS)]
        traces = {trace for done in running for trace in done.result()}

    rows = until_whole(books, after, lambda row: row["trace_id"] in traces)
    calls = {call["provider_request_id"]: call for call in books.calls(after)}
    assert len(calls) == len(rows) == WORKERS * ROUNDS * TAKES_EACH
    for row in rows:
        billed = calls[row["provider_request_id"]]["billed"]
        assert (row["input_tokens"], row["output_tokens"]) == (billed["input"], billed["output"])
        assert is_sent(row)
    assert set(Counter(row["trace_id"] for row in rows).values()) == {TAKES_EACH}
    # Per worker w and turn t: 1000 (w + 1) + t in, 3 w + t + 1 out. Over all 24 rounds 108,024 in
    # and 300 out; thrice at 0.75 and 4.50 dollars per million, once at 2.00 and 10.00.
    assert sum(row["cost"] or 0 for row in rows) == Decimal("0.466152")
