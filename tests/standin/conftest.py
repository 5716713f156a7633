"""A stand-in in a process of its own, for the official clients to talk to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import anthropic
import httpx
import openai
import pytest

KEY = "sk-any-key-will-do"


@pytest.fixture(scope="session")
def standin_url() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tallygate.standin", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        yield process.stdout.readline().rsplit(" ", 1)[-1].strip()
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture
def book(standin_url: str) -> Iterator[httpx.Client]:
    """Open the stand-in's book, emptied before each test."""
    with httpx.Client(base_url=f"{standin_url}/standin") as client:
        client.delete("/calls")
        yield client


@pytest.fixture
def openai_client(standin_url: str, book: httpx.Client) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=KEY, base_url=f"{standin_url}/v1", max_retries=0) as client:
        yield client


@pytest.fixture
def anthropic_client(standin_url: str, book: httpx.Client) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key=KEY, base_url=standin_url, max_retries=0) as client:
        yield client
