from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from e2e.opa.deployment import Deployment

Deploy = Callable[[Path], Deployment]


@pytest.fixture(scope="module")
def deploy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deploy]:
    """Deploy policies to an OPA that lives until the end of the module."""
    with ExitStack() as running:

        def started(policies: Path) -> Deployment:
            made = Deployment(tmp_path_factory.mktemp("deployment"), policies)
            running.callback(made.close)
            made.opa.start()
            return made

        yield started
