"""`tallygate init`: a policies folder to start from, beside a proxy that is already there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from tallygate.adapters.files.starter import starter_policies


@click.command()
@click.argument(
    "folder",
    metavar="[DIR]",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
)
def init(folder: Path) -> None:
    """
    Write the starter policies/ into DIR (by default here) and say what to do next.

    Nothing that exists is changed.
    """
    target = folder / "policies"
    if os.path.lexists(target):
        raise click.ClickException(f"{target} is there already; nothing was written.")
    _copy_whole(starter_policies(), target)
    click.echo("\n".join(_next_steps(folder, target)))


def _copy_whole(source: Path, target: Path) -> None:
    """Copy to a name beside the target first, so that a copy that is cut leaves no half folder."""
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=".policies-"))
    try:
        # The cases hold decisions over the shipped registry, which the next step replaces.
        shutil.copytree(source, scratch / "policies", ignore=shutil.ignore_patterns("cases"))
        (scratch / "policies").rename(target)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise click.ClickException(f"{target} could not be written: {reason}.") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _next_steps(folder: Path, target: Path) -> Iterator[str]:
    configs = _proxy_configs(folder)
    where = " or ".join(str(path) for path in configs) or "your proxy's config file"
    yield f"Wrote {target}."
    yield ""
    yield f"1. In {where}, add:"
    yield ""
    yield "     litellm_settings:"
    yield '       callbacks: ["tallygate.proxy.handler"]'
    yield ""
    yield "   It must be a list, and tallygate must stand first in it."
    if not configs:
        yield "   policies/ is looked for beside that file; elsewhere, set TALLYGATE_POLICIES."
    yield f"2. Put your teams and services in {target / 'registry' / 'data.yaml'}."
    yield f"3. Run: tallygate policy check --policies {target}"
    yield "4. Restart the proxy, then run: tallygate doctor"


def _proxy_configs(folder: Path) -> list[Path]:
    """Find the YAML files that look like a LiteLLM proxy's config."""
    found = sorted({*folder.glob("*config*.yaml"), *folder.glob("*config*.yml")})
    return [path for path in found if path.is_file() and _names_models(path)]


def _names_models(path: Path) -> bool:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    return any(line.startswith(("model_list:", "litellm_settings:")) for line in lines)
