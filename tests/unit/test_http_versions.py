"""Versions over HTTP while the backup puts them away in another form."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from werkzeug.test import EnvironBuilder

from backup.catalogue import version_of
from docsave_services.contracts import StoredFile
from docsave_services.errors import BlobDamaged
from docsave_services.settings import Settings
from gateway_http.backup_view import BackupView
from gateway_http.download import content_response
from gateway_http.request import GatewayRequest
from gateway_http.versions import Versions
from tests.support.compacting import Shelf, changed
from tests.support.configuration import load_config


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """A document with two versions that compaction will pack."""
    shelf = Shelf(tmp_path)
    (shelf.root / "docsave-backup.json").write_text("{}")
    first = random.Random(3).randbytes(100_000)
    shelf.save(first, 1)
    shelf.save(changed(first, 1), 2)
    return shelf


Ask = Callable[..., Any]


@pytest.fixture
def ask(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """What a request gets whose version was found before ``between`` and is read after it."""
    settings = Settings.from_config(load_config(monkeypatch))

    def call(_: str, **arguments: int) -> Any:
        return version_of(shelf.root, arguments["file_id"], arguments["version"])

    def ask(method: str, between: Callable[[], object], **headers: str) -> Any:
        versions = Versions(cast(Any, call), BackupView(shelf.root), shelf.root)
        file = cast(StoredFile, {"id": 7, "user_id": 3, "version": 2})
        content = versions.content(file, versions.find(file, 1))
        between()
        environ = EnvironBuilder(method=method, headers=headers).get_environ()
        return content_response(GatewayRequest(environ, settings), content)

    return ask


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_content_that_is_compacted_in_that_moment_is_sent_all_the_same(shelf: Shelf, ask: Ask, method: str) -> None:
    """The plain file is gone when it is to be opened: the patch is unpacked, nobody hears of damage."""
    response = ask(method, shelf.compact)
    assert shelf.packed() == [1]
    assert response.status_code == 200
    assert b"".join(response.response) == (shelf.contents[7, 1] if method == "GET" else b"")


def test_a_part_of_it_too(shelf: Shelf, ask: Ask) -> None:
    """Ranges go the same way."""
    response = ask("GET", shelf.compact, Range="bytes=10-19")
    assert (response.status_code, b"".join(response.response)) == (206, shelf.contents[7, 1][10:20])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_content_that_is_gone_is_damage(shelf: Shelf, ask: Ask, method: str) -> None:
    """It is nowhere else, so asking again does not help."""
    [plain] = shelf.directory().glob("v000001_*")
    with pytest.raises(BlobDamaged):
        ask(method, plain.unlink)
