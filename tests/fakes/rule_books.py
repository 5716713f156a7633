"""Rule books without files, and the small book that tests change."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from tallygate.domain.pricing.rule_book import RuleBook, book_in_force, closed_by_successors
from tallygate.domain.pricing.rule_book_data import rule_book_from_data

_BOOK: dict[str, Any] = {
    "rulebook": "openai-pricing-2026-01-01",
    "schema": "rulebook/1",
    "provider": "openai",
    "currency": "USD",
    "published_at": "2026-01-01T00:00:00Z",
    "effective": {"from": "2026-01-01T00:00:00Z", "to": None},
    "sources": [{"url": "https://example.com/pricing", "retrieved_at": "2026-01-01T00:00:00Z"}],
    "per": 1_000_000,
    "per_meter": {"web_searches": 1000},
    "inherit": {"reasoning": "output"},
    "axes": {
        "service_tier": {
            "map": {"default": "standard", "auto": "standard", "flex": "flex"},
            "absent": "standard",
            "unknown": "error",
        },
        "residency": {"map": {"us": "us", "eu": "eu"}, "absent": "global", "unknown": "error"},
    },
    "models": [
        {
            "match": {"names": ["gpt-5.4"], "patterns": [r"^gpt-5\.4-\d{4}-\d{2}-\d{2}$"]},
            "context": {
                "by": "input_total",
                "rule": "whole_request",
                "steps": [{"name": "short", "up_to": 272_000}, {"name": "long", "above": 272_000}],
            },
            "uplifts": {"residency": {"global": "1", "us": "1.1"}},
            "prices": [
                {
                    "when": {"service_tier": "standard", "context": "short"},
                    "input": "2.50",
                    "cache_read": "0.25",
                    "output": "15.00",
                    "web_searches": "10.00",
                },
                {
                    "when": {"service_tier": "standard", "context": "long"},
                    "input": "5.00",
                    "output": "22.50",
                },
                {
                    "when": {"service_tier": "flex", "context": "short"},
                    "input": "1.25",
                    "output": "7.50",
                },
                {"when": {"service_tier": "flex", "context": "long"}, "not_sold": True},
            ],
        },
        {
            "match": {"names": ["text-embedding-3-small"]},
            "uplifts": {"residency": {"global": "1"}},
            "prices": [{"when": {"service_tier": ["standard", "flex"]}, "input": "0.02"}],
        },
    ],
    "examples": [
        {
            "model": "gpt-5.4",
            "usage": {"input": 8000, "cache_read": 2000, "output": 1000},
            "at": "2026-05-31T12:00:00Z",
            "cost": "0.0355",
        }
    ],
}


def book_data(**changes: Any) -> dict[str, Any]:
    """Copy the document, so that each test may break its own."""
    return copy.deepcopy(_BOOK) | changes


def a_book(**changes: Any) -> RuleBook:
    return rule_book_from_data(book_data(**changes))


class FakeRuleBooks:
    """The port RuleBooks over books that a test made."""

    def __init__(self, books: Sequence[RuleBook]) -> None:
        self.books = closed_by_successors(books)

    def in_force(self, provider: str, at_ns: int) -> RuleBook:
        return book_in_force(self.books, provider, at_ns)
