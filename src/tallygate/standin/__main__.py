"""`python -m tallygate.standin --port 4010`: serve until stopped; nothing is kept."""

from __future__ import annotations

import os
import shlex
import socket

import click
import uvicorn

from tallygate.standin.app import StandIn
from tallygate.standin.environment import provider_environment

_BACKLOG = 1024


@click.command(context_settings={"max_content_width": 100})
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=4010, show_default=True, type=click.IntRange(0, 65535), help="0: any free."
)
@click.option(
    "--print-env", is_flag=True, help="Print the exports that point a proxy here, and leave."
)
def main(*, host: str, port: int, print_env: bool) -> None:
    """Serve OpenAI's and Anthropic's wire formats, without a model and without a bill."""
    if print_env:
        for name, value in provider_environment(os.environ, f"http://{host}:{port}").items():
            click.echo(f"export {name}={shlex.quote(value)}")
        return
    try:
        listener = socket.create_server((host, port), backlog=_BACKLOG)
    except OSError as refused:
        raise click.ClickException(
            f"cannot listen on {host}:{port} ({refused.strerror}); choose another --port"
        ) from None
    with listener:
        click.echo(f"stand-in listens on http://{host}:{listener.getsockname()[1]}")
        _server().run(sockets=[listener])


def _server() -> uvicorn.Server:
    # A dropped connection is a fault on demand here; uvicorn would log each as an error.
    return uvicorn.Server(
        uvicorn.Config(
            StandIn(),
            access_log=False,
            date_header=True,
            lifespan="off",
            log_level="critical",
            server_header=False,
            timeout_graceful_shutdown=1,
            ws="websockets-sansio",
        )
    )


if __name__ == "__main__":
    main()
