"""`tallygate demo`: the whole line on this machine, with a provider stand-in and no keys."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from tallygate.adapters.files.starter import starter_config, starter_policies
from tallygate.cli.demo_story import Story
from tallygate.cli.processes import Server, free_port
from tallygate.domain.kernel.instants import NS_PER_SECOND, text_from_ns
from tallygate.standin.environment import provider_environment

_OVERRIDE_LASTS_S: Final = 30
_PROXY_START_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """Where the demo keeps everything, for the user to look at afterwards."""

    root: Path
    override_ends_ns: int

    @property
    def policies(self) -> Path:
        return self.root / "policies"

    @property
    def state(self) -> Path:
        return self.root / "state"


@click.command()
@click.option("--serve", is_flag=True, help="Only run the proxy, for a client of your own.")
@click.option("--port", type=int, default=None, help="Port of the proxy; by default any free one.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".tallygate/demo"),
    show_default=True,
    help="Where policies, spool and ledger of the demo go. Replaced at each run.",
)
def demo(*, serve: bool, port: int | None, folder: Path) -> None:
    """
    Run a real LiteLLM proxy with tallygate against a stand-in for the providers.

    Refusals, modes, an override that expires, priced events, a trace. No keys, no network. With
    --serve and OPENAI_API_KEY or ANTHROPIC_API_KEY set, that provider is the real one.
    """
    place = _prepare(folder, with_override=not serve)
    environ = dict(os.environ) if serve else {}
    with _servers(place, port or free_port(), environ) as (standin, proxy):
        if serve:
            _serve(proxy, place)
        else:
            Story(Console(soft_wrap=False), place.root, place.override_ends_ns).tell(
                proxy_url=proxy.url, standin_url=standin.url, stop_proxy=proxy.stop
            )


def _prepare(folder: Path, *, with_override: bool) -> DemoFolder:
    """Copy the starter policies, with an override that ends in the middle of the demo."""
    marker = folder / ".tallygate-demo"
    if folder.exists() and any(folder.iterdir()) and not marker.exists():
        raise click.ClickException(
            f"{folder} holds something that is not a demo's; name another with --folder."
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    marker.touch()
    place = DemoFolder(folder.absolute(), time.time_ns() + _OVERRIDE_LASTS_S * NS_PER_SECOND)
    shutil.copytree(starter_policies(), place.policies, ignore=shutil.ignore_patterns("cases"))
    if with_override:
        _write_override(place)
    return place


def _write_override(place: DemoFolder) -> None:
    starts = text_from_ns(time.time_ns() - 60 * NS_PER_SECOND)
    (place.policies / "overrides" / "data.yaml").write_text(
        "support-assistant:\n"
        "  ovr-demo-0001:\n"
        "    codes: [ownership_missing]\n"
        "    fields: [workflow_id]\n"
        f'    starts_at: "{starts}"\n'
        f'    expires_at: "{text_from_ns(place.override_ends_ns)}"\n'
        "    requested_by: support-lead\n"
        "    approved_by: finops-lead\n"
        "    reason: The agent console learns to send its workflow in a moment.\n"
        "    ticket: DEMO-1\n",
        encoding="utf-8",
    )


@contextmanager
def _servers(
    place: DemoFolder, port: int, environ: dict[str, str]
) -> Iterator[tuple[Server, Server]]:
    """Start both at once and wait for both: LiteLLM takes some seconds to import."""
    standin_port = free_port()
    standin = Server(
        [sys.executable, "-m", "tallygate.standin", "--port", str(standin_port)],
        url=f"http://127.0.0.1:{standin_port}",
        log_file=place.root / "standin.log",
        environment={},
    )
    litellm = Path(sys.executable).with_name("litellm")
    config = str(starter_config())
    proxy = Server(
        [str(litellm), "--config", config, "--host", "127.0.0.1", "--port", str(port)],
        url=f"http://127.0.0.1:{port}",
        log_file=place.root / "proxy.log",
        environment={
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else each start waits for the network
            "TALLYGATE_POLICIES": str(place.policies),
            "TALLYGATE_STATE": str(place.state),
            "NO_PROXY": "127.0.0.1,localhost",
            **provider_environment(environ, standin.url),
        },
    )
    with standin, proxy:
        standin.wait_until_ready("/standin/count", 30.0)
        proxy.wait_until_ready("/health/liveliness", _PROXY_START_S)
        yield standin, proxy


def _serve(proxy: Server, place: DemoFolder) -> None:
    click.echo(f"The proxy answers at {proxy.url} (OpenAI: {proxy.url}/v1). Ctrl-C stops it.")
    click.echo("Keys: sk-demo-support, sk-demo-search, sk-demo-platform, sk-demo-unbound.")
    click.echo(f"Its ledger: TALLYGATE_STATE={place.state} tallygate events")
    try:
        proxy.wait()
    except KeyboardInterrupt:
        click.echo("stopping")
