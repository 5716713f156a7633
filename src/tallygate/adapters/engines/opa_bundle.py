"""
The bundle for an OPA server: the same data and Rego that the embedded engine gets, in OPA's form.

Shapes  A gzipped tar of data.json, the Rego without its tests, .manifest, and .signatures.json
        where it is signed. The manifest's roots are what is in it and nothing else, so that the
        server may hold bundles of others beside it.
Exact   The revision is the policies' own, whoever builds it and whether masks go along or not: the
        masks decide about the server's log, never about a call. The same content gives the same
        bytes; a signature by ECDSA or RSA-PSS differs each time, because those algorithms do.
Errors  BundleNotSigned where `opa` is missing, too old, or cannot use the key.
Source  OPA 1.22.0: `opa sign` of an archive names the files as the archive does; of a folder it
        puts the folder's name before them, and then no server accepts them.
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from tallygate.adapters.engines.opa import find_opa, run_opa
from tallygate.domain.kernel.digests import canonical_json
from tallygate.errors import BundleNotSigned

ALGORITHMS: Final = tuple(
    f"{family}{size}" for family in ("ES", "PS", "RS") for size in (256, 384, 512)
)
_MANIFEST: Final = ".manifest"
_SIGNATURES: Final = ".signatures.json"
_PACKAGE: Final = re.compile(r"^package\s+(?P<path>[\w.]+)", re.MULTILINE)
_SYSTEM: Final = "system"
"""OPA's own branch: others have packages in it too, so a root in it goes one step deeper."""


@dataclass(frozen=True, slots=True)
class Signing:
    """With what a bundle is signed, and what the server has to expect of it."""

    key_file: Path
    """The private key in PEM. No shared secret: a server that can check could also sign."""
    algorithm: str
    key_id: str
    """Names the key in the server's `keys`; one that is missing is not checked by older OPAs."""
    scope: str


def bundle_content(
    data: Mapping[str, Any],
    rego: Mapping[str, str],
    revision: str,
    masks: Mapping[str, str] | None = None,
) -> dict[str, bytes]:
    """Return the bundle's files by their names in it, not signed."""
    sources = {**rego, **(masks or {})}
    manifest = {
        "revision": revision,
        "roots": sorted({*data, *_roots_of(sources.values())}),
        "rego_version": 1,
    }
    return {
        _MANIFEST: canonical_json(manifest),
        "data.json": canonical_json(data),
        **{name: sources[name].encode() for name in sorted(sources)},
    }


def sign(content: Mapping[str, bytes], signing: Signing) -> dict[str, bytes]:
    """Return the content with its signatures, made by `opa sign`."""
    opa = find_opa()
    if opa is None:
        raise BundleNotSigned("there is no opa on the PATH, and it is opa that signs a bundle.")
    with tempfile.TemporaryDirectory(prefix="tallygate-sign-") as made:
        folder = Path(made)
        (folder / "bundle.tar.gz").write_bytes(packed(content))
        claims = {"keyid": signing.key_id, "scope": signing.scope}
        (folder / "claims.json").write_bytes(orjson.dumps(claims))
        words = ("sign", "-b", "bundle.tar.gz", "--claims-file", "claims.json", "-o", ".")
        key = ("--signing-key", str(signing.key_file.absolute()))
        command = (str(opa.path), *words, *key, "--signing-alg", signing.algorithm)
        answer = run_opa(command, cwd=folder)
        if answer.returncode != 0:
            said = " ".join((answer.stderr or answer.stdout).split())[:300]
            raise BundleNotSigned(f"opa could not sign with {signing.key_file}: {said}")
        return {_SIGNATURES: (folder / _SIGNATURES).read_bytes(), **content}


def packed(content: Mapping[str, bytes]) -> bytes:
    """Write the archive; the same content gives the same bytes."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, text in content.items():
            entry = tarfile.TarInfo(f"/{name}")
            entry.size, entry.mode = len(text), 0o644
            archive.addfile(entry, io.BytesIO(text))
    return gzip.compress(plain.getvalue(), mtime=0)


def _roots_of(sources: Iterable[str]) -> set[str]:
    roots = set()
    for source in sources:
        found = _PACKAGE.search(source)
        first, *rest = found["path"].split(".") if found else [""]
        roots.add(f"{first}/{rest[0]}" if first == _SYSTEM and rest else first)
    return roots
