from __future__ import annotations

from pathlib import Path

from fakes.ledger import FakeLedger
from fakes.seal_store import FakeSealStore
from tallygate.adapters.stores.archive_folder import ParquetFolder
from tallygate.application.archiving import archive_before


def test_an_empty_ledger_has_nothing_to_archive(tmp_path: Path) -> None:
    folder = ParquetFolder(tmp_path / "archive")

    archived = archive_before(FakeSealStore(FakeLedger()), folder, 1 << 62)

    assert archived.manifest is None
    assert not archived.finished
