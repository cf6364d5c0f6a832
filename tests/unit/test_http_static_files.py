"""Files of the gateway's own pages: exact, typed, cached, and nothing else of the disk."""

import hashlib

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from docsave_services.errors import NotFound
from gateway_http.static_files import STATIC_DIRECTORY, StaticFile, StaticFiles


def _request(**headers: str) -> Request:
    return Request(EnvironBuilder(headers=headers).get_environ())


@pytest.fixture
def files(tmp_path):
    """A page in a directory beside a secret."""
    (tmp_path / "static" / "app").mkdir(parents=True)
    (tmp_path / "static" / "app" / "index.html").write_text("<p>é</p>", encoding="utf-8")
    (tmp_path / "secret.txt").write_text("secret")
    return StaticFiles(tmp_path / "static")


def test_a_file_comes_with_its_type_and_its_tag(files):
    """The bytes as they are, the media type by the name, the hash as entity tag, and no guessing of types."""
    answer = files.answer(_request(), "app/index.html")
    content = "<p>é</p>".encode()
    assert (answer.status_code, answer.get_data()) == (200, content)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("tag", ['"{}"', 'W/"{}"', '"x", "{}"'])
def test_who_has_it_is_told_so(files, tag):
    """``If-None-Match`` with its tag, also weak or one of several, is 304 without the bytes."""
    etag = files.answer(_request(), "app/index.html").headers["ETag"].strip('"')
    answer = files.answer(_request(**{"If-None-Match": tag.format(etag)}), "app/index.html")
    assert (answer.status_code, answer.get_data()) == (304, b"")


@pytest.mark.parametrize("name", ["../secret.txt", "app/../../secret.txt", "/secret.txt", "app", "", "app/other.html"])
def test_nothing_else_is_found(files, name):
    """Only exact names of files that were there at the start: no way up, no directories."""
    with pytest.raises(NotFound):
        files.answer(_request(), name)


def test_a_page_runs_only_scripts_of_this_origin_and_connects_where_it_may(files):
    """No inline script, no foreign source; ``connect`` is added to where a page may connect to."""
    policy = files.answer(_request(), "app/index.html").headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "connect-src 'self';" in policy
    wider = files.answer(_request(), "app/index.html", ["ws://127.0.0.1:8001"]).headers["Content-Security-Policy"]
    assert "connect-src 'self' ws://127.0.0.1:8001;" in wider


def test_a_file_of_unknown_kind_stops_the_start(tmp_path):
    """A browser would be told a wrong type; a mistake of ours shows before the first request."""
    (tmp_path / "program.exe").write_bytes(b"MZ")
    with pytest.raises(KeyError):
        StaticFiles(tmp_path)


def test_the_files_of_the_project_can_be_served():
    """Each file below gateway_http/static has a known type."""
    for path in STATIC_DIRECTORY.rglob("*"):
        assert path.is_dir() or StaticFile.read(path).content, path
