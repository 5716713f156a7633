"""`tallygate policy bundle`: what an OPA server is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tallygate.adapters.engines.loading import load_engine
from tallygate.adapters.engines.opa_bundle import (
    ALGORITHMS,
    Signing,
    bundle_content,
    packed,
    sign,
)
from tallygate.adapters.files.policies import PolicySet, read_policies, read_rego
from tallygate.adapters.files.starter import starter_log_masks
from tallygate.cli.policy.options import as_json, in_folder, in_style, told_of_policies
from tallygate.domain.kernel.digests import digest_of_bytes


@click.command()
@in_folder
@in_style
@click.option(
    *("-o", "--output"),
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("bundle.tar.gz"),
    show_default=True,
    help="Where to write it.",
)
@click.option("--with-log-masks", "masked", is_flag=True, help="Add the masks of decision logs.")
@click.option(
    "--signing-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Sign with this private key (PEM); needs opa on the PATH.",
)
@click.option("--signing-alg", type=click.Choice(ALGORITHMS), default="ES256", show_default=True)
@click.option("--signing-keyid", help="The key's name in the server's configuration.")
@click.option("--signing-scope", default="tallygate", show_default=True)
def bundle(
    folder: Path,
    style: str,
    output: Path,
    masked: bool,  # noqa: FBT001 - click passes a flag by name
    **signed: Any,  # noqa: ANN401 - the four options about signing
) -> None:
    """
    Write the bundle for an OPA server: the data and the Rego of the embedded engine, no other.

    Its revision is the one that `policy check` prints and that stands on every event. Without a
    signature the same policies give the same bytes.
    """
    signing = _signing(**signed)
    with told_of_policies():
        policies = read_policies(folder)
        # Proof that it compiles and answers; a server would only say so in its log.
        load_engine(lambda: policies, last_good=None).engine.close()
        written = packed(_content(policies, signing, masked=masked))
    output.write_bytes(written)
    said = {
        "file": str(output),
        "digest": digest_of_bytes(written),
        "revision": policies.revision,
        "signed_with": None if signing is None else signing.key_id,
    }
    click.echo(as_json(said) if style == "json" else _text(said))


def _signing(
    signing_key: Path | None, signing_alg: str, signing_keyid: str | None, signing_scope: str
) -> Signing | None:
    if signing_key is None:
        return None
    if not signing_keyid:
        raise click.UsageError(
            "--signing-key needs --signing-keyid: OPA before 1.21.3 takes an unsigned bundle when"
            " its configuration names no key (GHSA-g2pf-6v5v-qcc8)."
        )
    return Signing(signing_key, signing_alg, signing_keyid, signing_scope)


def _content(policies: PolicySet, signing: Signing | None, *, masked: bool) -> dict[str, bytes]:
    masks = read_rego(starter_log_masks()) if masked else None
    content = bundle_content(policies.data, policies.rego, policies.revision, masks)
    return content if signing is None else sign(content, signing)


def _text(said: dict[str, str | None]) -> str:
    signed = said["signed_with"]
    return "\n".join(
        (
            f"{said['file']}  {said['digest']}",
            f"revision {said['revision']}",
            f"signed with {signed}" if signed else "not signed",
        )
    )
