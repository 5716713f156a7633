"""The stand-in's book counts every provider call, and holds nothing that was said."""

from __future__ import annotations

import threading

import httpx
import pytest

from tallygate.standin.book import Book, Ending
from tallygate.standin.environment import MASTER_KEY, STANDIN_KEY, provider_environment

CHAT = "/v1/chat/completions"
KEY = "sk-a-secret-of-the-caller"
SAID = "pineapple on the quarterly numbers"


def _chat(url: str, text: str, **headers: str) -> httpx.Response:
    body = {"model": "gpt-5.4", "messages": [{"role": "user", "content": text}]}
    names = {"authorization": f"Bearer {KEY}", **headers}
    return httpx.post(f"{url}{CHAT}", json=body, headers=names)


def test_the_book_holds_no_text_and_no_key(standin_url: str, book: httpx.Client) -> None:
    _chat(standin_url, SAID)
    _chat(standin_url, f"{SAID} [[standin: status=500]]")
    _chat(standin_url, f"{SAID} [[standin: misspelt=1]]")

    written = book.get("/calls").text

    assert "pineapple" not in written
    assert "secret" not in written
    assert "misspelt" not in written
    assert len(book.get("/calls").json()) == 3


def test_the_book_keeps_the_headers_that_carry_traces_and_ownership(
    standin_url: str, book: httpx.Client
) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    _chat(
        standin_url,
        "hi",
        traceparent=traceparent,
        baggage="tenant_id=t-1",
        **{"x-tallygate-trace-id": "tr_9f4c"},
    )

    call = book.get("/calls").json()[0]
    assert call["headers"] == {"traceparent": traceparent, "x-tallygate-trace-id": "tr_9f4c"}
    assert "baggage" in call["header_names"]
    assert (call["path"], call["model"], call["stream"]) == (CHAT, "gpt-5.4", False)


def test_a_misspelt_fault_is_refused_and_names_the_words_that_exist(standin_url: str) -> None:
    answer = _chat(standin_url, "[[standin: sleep=1]]")

    assert answer.status_code == 400
    assert "'sleep'" in answer.json()["error"]["message"]
    assert "delay=…" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("status=200", id="not an error status"),
        pytest.param("cached=5", id="a part without its whole"),
        pytest.param("input=4 cached=5", id="more cached than read"),
        pytest.param("output=1 reasoning=2", id="more thought than said"),
        pytest.param("delay=nan", id="no number"),
        pytest.param("delay=1e9", id="past the limit"),
        pytest.param("status", id="no value"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(standin_url: str, words: str) -> None:
    assert _chat(standin_url, f"[[standin: {words}]]").status_code == 400


def test_wishes_may_come_in_a_header_and_the_text_wins(standin_url: str) -> None:
    header = {"x-standin": "input=7 output=8"}

    usage = _chat(standin_url, "[[standin: output=9]]", **header).json()["usage"]

    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (7, 9)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        pytest.param("POST", CHAT, {}, 401, id="no key"),
        pytest.param("POST", "/v1/no/such/route", {"x-api-key": KEY}, 404, id="unknown route"),
        pytest.param("POST", "/v1/messages", {"x-api-key": KEY}, 400, id="no provider version"),
        pytest.param("POST", CHAT, {"x-api-key": KEY}, 400, id="no JSON"),
    ],
)
def test_what_cannot_be_answered_is_in_the_book_too(
    standin_url: str,
    book: httpx.Client,
    method: str,
    path: str,
    headers: dict[str, str],
    status: int,
) -> None:
    answer = httpx.request(method, f"{standin_url}{path}", headers=headers, content=b"{")

    assert answer.status_code == status
    assert book.get("/count").json() == {
        "received": 1,
        "generating": 1,
        "dropped": 0,
        "by_path": {path: 1},
        "by_end": {"error": 1, "open": 0},
    }


def test_calls_at_the_same_time_are_all_counted(standin_url: str, book: httpx.Client) -> None:
    def ask() -> None:
        for _ in range(10):
            assert _chat(standin_url, "hi").status_code == 200

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    calls = book.get("/calls").json()
    assert book.get("/count").json()["by_end"] == {"complete": 80, "open": 0}
    assert len({call["provider_request_id"] for call in calls}) == 80
    assert [call["seq"] for call in calls] == sorted(call["seq"] for call in calls)
    assert book.get("/calls", params={"after": calls[-3]["seq"]}).json() == calls[-2:]


def test_a_full_book_drops_the_oldest_records_and_keeps_the_counts() -> None:
    book = Book(clock_ns=lambda: 1, keep=2)
    for _ in range(3):
        book.close(book.open("POST", CHAT, []), Ending.COMPLETE)
    late = book.open("POST", CHAT, [])

    assert [call["seq"] for call in book.calls()] == [3, 4]
    assert book.count() == {
        "received": 4,
        "generating": 4,
        "dropped": 2,
        "by_path": {CHAT: 4},
        "by_end": {"complete": 3, "open": 1},
    }

    book.forget()
    book.close(late, Ending.CUT)

    assert book.count() == {
        "received": 0,
        "generating": 0,
        "dropped": 0,
        "by_path": {},
        "by_end": {"open": 0},
    }


def test_listing_models_and_counting_tokens_is_not_generating(
    standin_url: str, book: httpx.Client
) -> None:
    headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
    httpx.get(f"{standin_url}/v1/models", headers=headers)
    asked = {"model": "claude-sonnet-5-5", "messages": [{"role": "user", "content": "hi"}]}
    httpx.post(f"{standin_url}/v1/messages/count_tokens", json=asked, headers=headers)

    counted = book.get("/count").json()
    assert (counted["received"], counted["generating"]) == (2, 0)
    assert [call["operation"] for call in book.get("/calls").json()] == ["models", "count_tokens"]


def test_a_provider_with_a_key_is_the_user_s_own() -> None:
    url = "http://127.0.0.1:4010"
    set_already = {MASTER_KEY: "sk-set"}

    assert provider_environment(set_already, url) == {
        "OPENAI_API_KEY": STANDIN_KEY,
        "OPENAI_API_BASE": f"{url}/v1",
        "ANTHROPIC_API_KEY": STANDIN_KEY,
        "ANTHROPIC_API_BASE": url,
    }
    assert provider_environment({**set_already, "OPENAI_API_KEY": "sk-mine"}, url) == {
        "ANTHROPIC_API_KEY": STANDIN_KEY,
        "ANTHROPIC_API_BASE": url,
    }
    assert provider_environment({"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b"}, url).keys() == {
        MASTER_KEY
    }


def test_the_master_key_is_another_one_each_time() -> None:
    first, second = (provider_environment({}, "")[MASTER_KEY] for _ in range(2))

    assert first != second
