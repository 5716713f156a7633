from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Final

import pytest

OPTIONAL: Final = ("anthropic", "httpx", "httpx2", "langchain_core", "litellm", "openai")

RUN: Final = textwrap.dedent("""
    import importlib.abc, sys

    BLOCKED = set(sys.argv[1].split(","))

    class Blocker(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in BLOCKED:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Blocker())
    import tallygate.client as client

    with client.ownership(owner_team="team-support", region="eu-west") as scope:
        carrier = {}
        client.inject(carrier)
        hooks = client.ownership_hooks(), client.async_ownership_hooks()
    with client.extract(carrier) as other:
        headers = client.outgoing_headers()
    assert other.fields == {"owner_team": "team-support", "region": "eu-west"}
    assert headers["traceparent"][3:35] == scope.trace_id
    assert not BLOCKED & {name.partition(".")[0] for name in sys.modules}
    print(type(client.current.KEEPING).__name__)
    print(*sorted(name for name in sys.modules if name.startswith("tallygate")))
    print(*sorted({name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names))
""")


@pytest.mark.parametrize(
    ("blocked", "place"),
    [
        pytest.param((*OPTIONAL, "opentelemetry"), "PlainKeeping", id="nothing installed"),
        pytest.param(OPTIONAL, "OtelKeeping", id="opentelemetry alone"),
    ],
)
def test_the_client_needs_nothing_but_python(blocked: tuple[str, ...], place: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, ",".join(blocked)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    chosen, ours, others = done.stdout.splitlines()
    assert chosen == place
    assert all(name == "tallygate" or name.startswith("tallygate.client") for name in ours.split())
    if place == "PlainKeeping":
        assert not {"typing_extensions", "pydantic", "orjson", "yaml"} & set(others.split())
