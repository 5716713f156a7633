"""`tallygate policy build`: compile the Rego."""

from __future__ import annotations

from pathlib import Path

import click

from tallygate.adapters.engines.opa import COMMAND, find_opa, write_compiled
from tallygate.adapters.files.policies import read_policies
from tallygate.cli.policy.options import in_folder, told_of_policies
from tallygate.domain.kernel.digests import digest_of_bytes
from tallygate.errors import PolicyNotCompiled


@click.command()
@in_folder
def build(folder: Path) -> None:
    """Compile the Rego to policy.wasm and note in policy.lock what it was compiled from."""
    with told_of_policies():
        opa = find_opa()
        if opa is None:
            raise PolicyNotCompiled("there is no opa on the PATH; install OPA 1.21.3 or newer.")
        policies = read_policies(folder)
        wasm = write_compiled(folder, policies.rego, opa)
    click.echo(f"compiled {len(policies.rego)} Rego files with OPA {opa.version}: {COMMAND}")
    click.echo(f"{folder / 'policy.wasm'}  {digest_of_bytes(wasm)}")
