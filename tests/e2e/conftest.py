"""
Fixtures for tests against real processes.

A proxy takes some ten seconds to start, so one is shared by a module, and the stand-in by all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from e2e.proxy_process import RunningProxy, RunningStandin

REPOSITORY = Path(__file__).parents[2]

StartProxy = Callable[..., RunningProxy]


@pytest.fixture(scope="session")
def shared_standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStandin]:
    with RunningStandin(tmp_path_factory.mktemp("standin")) as standin:
        yield standin


@pytest.fixture
def standin(shared_standin: RunningStandin) -> RunningStandin:
    """Give the stand-in, with an empty book."""
    shared_standin.forget()
    return shared_standin


@pytest.fixture(scope="module")
def start_proxy(
    shared_standin: RunningStandin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartProxy]:
    """Start proxies that live until the end of the module: `start_proxy(config, environment)`."""
    with ExitStack() as proxies:

        def start(config: str | Path, environment: Mapping[str, str] | None = None) -> RunningProxy:
            folder = tmp_path_factory.mktemp("proxy")
            if isinstance(config, str):
                path = folder / "litellm_config.yaml"
                path.write_text(config)
                config = path
            proxy = RunningProxy(
                config, folder, standin_url=shared_standin.url, environment=environment
            )
            return proxies.enter_context(proxy)

        yield start


@pytest.fixture(scope="module")
def bare_proxy(start_proxy: StartProxy) -> RunningProxy:
    """Run the repository's own config without the plugin."""
    return start_proxy(without_plugin((REPOSITORY / "litellm_config.yaml").read_text()))


@pytest.fixture(scope="module")
def gated_proxy(start_proxy: StartProxy) -> RunningProxy:
    """Run the repository's own config and policies, as `make serve` runs them."""
    return start_proxy(REPOSITORY / "litellm_config.yaml")


def without_plugin(config: str) -> str:
    line = '  callbacks: ["tallygate.proxy.handler"]\n'
    assert line in config
    return config.replace(line, "")
