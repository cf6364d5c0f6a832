"""What several integration tests begin with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documents import Documents, use_quick_hashes


@pytest.fixture
def documents(database_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Documents]:
    """A blob store and a migrated database with one account; the test runs once on each database."""
    use_quick_hashes(monkeypatch)
    documents = Documents(database_uri, tmp_path)
    yield documents
    documents.close()
