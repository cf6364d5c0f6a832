"""Archives: what their entries are called, and which files go in."""

import hashlib
import io
import unicodedata
import zipfile
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docsave_services.domain.folders import folder_problem
from docsave_services.domain.names import name_problem
from docsave_services.errors import BlobDamaged, InvalidInput, NotFound
from docsave_services.storage import BlobStore, blob_key
from docsave_services.tokens import Identity
from gateway_http.archive import Member, _Archive, archive_name, entry_names
from gateway_http.documents import Documents
from gateway_http.limits import ARCHIVE_FILES_MAX, ARCHIVE_IDS_MAX, ARCHIVE_PIECE_BYTES
from gateway_http.schemas import ArchiveQuery, validated

MODIFIED = datetime(2026, 11, 24, 10, 15, 42, tzinfo=UTC)
ANNA = Identity(user_id=7, role="user", expires_at=0.0)


def member(name: str, folder: str = "", content: bytes = b"") -> Member:
    return Member(1, folder, name, len(content), hashlib.sha256(content).hexdigest(), MODIFIED)


def names_of(*paths: str) -> list[str]:
    return entry_names([member(name, folder) for folder, _, name in (path.rpartition("/") for path in paths)])


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.txt", "b/a.txt", "b/c/a.txt"], ["a.txt", "b/a.txt", "b/c/a.txt"]),
        (["a.txt", "a.txt", "a.txt"], ["a.txt", "a (2).txt", "a (3).txt"]),
        (["a.txt", "a (2).txt", "a.txt"], ["a.txt", "a (2).txt", "a (3).txt"]),
        (["x/a.tar.gz", "x/a.tar.gz"], ["x/a.tar.gz", "x/a.tar (2).gz"]),
        ([".htaccess", ".htaccess", "x", "x"], [".htaccess", ".htaccess (2)", "x", "x (2)"]),
        (["A.txt", "a.TXT"], ["A.txt", "a (2).TXT"]),
        (["\u00e9", "e\u0301"], ["\u00e9", "e\u0301 (2)"]),
        (["b", "b/a", "B/c/d", "b/C"], ["b (2)", "b/a", "B/c/d", "b/C (2)"]),
    ],
)
def test_names_are_exact_and_no_two_alike(paths: list[str], names: list[str]) -> None:
    """A number tells apart what an unpacker's file system may take for the same."""
    assert names_of(*paths) == names


NAMES = st.text(alphabet="aAbß.(2) éE\u0301\u00e9", min_size=1, max_size=6).filter(lambda n: name_problem(n) is None)
FOLDERS = st.lists(NAMES, max_size=3).map("/".join).filter(lambda f: folder_problem(f) is None)


@given(files=st.lists(st.tuples(FOLDERS, NAMES), max_size=30))
def test_any_files_can_be_unpacked_anywhere(files: list[tuple[str, str]]) -> None:
    """One entry a file, in its folder, all distinct and none in the place of a folder."""
    entries = entry_names([member(name, folder) for folder, name in files])
    keys = [unicodedata.normalize("NFC", unicodedata.normalize("NFC", entry).casefold()) for entry in entries]
    assert len(set(keys)) == len(files)
    parents = {str(parent) for key in keys for parent in PurePosixPath(key).parents}
    assert not parents & set(keys)
    for (folder, _), entry in zip(files, entries, strict=True):
        assert entry.rpartition("/")[0] == folder
        assert not {"", ".", ".."} & set(entry.split("/"))


def test_ten_thousand_files_of_one_name_are_numbered_at_once() -> None:
    """Not by trying all numbers for each."""
    names = names_of(*["a.txt"] * ARCHIVE_FILES_MAX)
    assert names[-1] == f"a ({ARCHIVE_FILES_MAX}).txt"


@pytest.mark.parametrize(
    ("folder", "name"), [(None, "documents.zip"), ("", "documents.zip"), ("clients/Größe & Co", "Größe & Co.zip")]
)
def test_the_archive_is_called_as_its_folder(folder: str | None, name: str) -> None:
    """Or documents.zip."""
    assert archive_name(folder) == name


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    store = BlobStore(tmp_path)
    store.prepare()
    return store


def saved(store: BlobStore, name: str, content: bytes, folder: str = "") -> Member:
    made = member(name, folder, content)
    path = store.root / blob_key(made.sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return made


def test_the_length_is_known_before(store: BlobStore) -> None:
    """Exact, with names of any kind; what is small leaves together."""
    members = [saved(store, f"é{n}.txt", b"x" * n, "ordner/ü") for n in range(300)]
    members.append(saved(store, "large.bin", b"y" * 3_000_000))
    archive = _Archive(store, members)
    pieces = list(archive.pieces())
    content = b"".join(pieces)
    assert len(content) == archive.size
    assert all(len(piece) >= ARCHIVE_PIECE_BYTES for piece in pieces[:-1])
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        assert opened.testzip() is None
        assert opened.namelist() == [*(f"ordner/ü/é{n}.txt" for n in range(300)), "large.bin"]
        assert {info.date_time for info in opened.infolist()} == {(2026, 11, 24, 10, 15, 42)}
        assert {info.compress_type for info in opened.infolist()} == {zipfile.ZIP_STORED}
        assert opened.read("ordner/ü/é299.txt") == b"x" * 299


def test_a_damaged_content_ends_the_archive(store: BlobStore) -> None:
    """And the log can say which it was."""
    members = [saved(store, "good", b"good"), saved(store, "bad", b"bad")]
    (store.root / blob_key(members[1].sha256)).write_bytes(b"bat")
    archive = _Archive(store, [members[0], Member(42, "", "bad", 3, members[1].sha256, MODIFIED)])
    with pytest.raises(BlobDamaged):
        list(archive.pieces())
    assert archive.at == f"file 42, sha256 {members[1].sha256}"


class Files:
    """A files service with ``total`` files in a folder."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.calls = 0

    def __call__(self, method: str, *, after: str | None, limit: int, **query: Any) -> Any:
        assert (method, query) == ("list", {"user_id": 7, "folder": "f", "recursive": True})
        self.calls += 1
        first = int(after or 0)
        last = min(first + limit, self.total)
        fields = {"folder": "f", "name": "a", "size": 0, "sha256": "ab" * 32, "updated_at": "2026-11-24T10:15:42.000Z"}
        items = [{"id": number + 1, **fields} for number in range(first, last)]
        return {"items": items, "next": str(last) if last < self.total else None}


def below(files: Files) -> list[Member]:
    documents = Documents(files, None, None, None, None)  # type: ignore[arg-type]
    return documents.chosen(ANNA, ArchiveQuery(folder="f"))


def test_a_folder_is_read_page_by_page() -> None:
    """Up to the limit."""
    files = Files(ARCHIVE_FILES_MAX)
    assert [each.file_id for each in below(files)] == list(range(1, ARCHIVE_FILES_MAX + 1))
    assert files.calls == 10


def test_a_folder_with_too_many_files() -> None:
    """Refused, and not read to its end."""
    files = Files(10 * ARCHIVE_FILES_MAX)
    with pytest.raises(InvalidInput, match="10000"):
        below(files)
    assert files.calls == 11


def test_a_folder_without_files() -> None:
    """Does not exist."""
    with pytest.raises(NotFound):
        below(Files(0))


def test_ids_are_numbers_with_commas_each_once() -> None:
    """In the order given."""
    assert validated(ArchiveQuery, {"ids": "3,1,3"}).ids == [3, 1]
    assert validated(ArchiveQuery, {"folder": ""}).ids is None


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "folder"),
        ({"ids": "1", "folder": "a"}, "folder"),
        ({"ids": ""}, "ids"),
        ({"ids": "1,,2"}, "ids"),
        ({"ids": "1, 2"}, "ids"),
        ({"ids": "0"}, "ids"),
        ({"ids": "-1"}, "ids"),
        ({"ids": "9" * 30}, "ids"),
        ({"ids": ",".join(map(str, range(1, ARCHIVE_IDS_MAX + 2)))}, "ids"),
        ({"folder": "/a"}, "folder"),
        ({"folder": "a/../b"}, "folder"),
        ({"ids": "1", "user_id": "all"}, "user_id"),
    ],
)
def test_what_cannot_be_an_archive_is_refused_by_its_field(query: dict[str, str], field: str) -> None:
    """Neither, both, or what is no list of ids."""
    with pytest.raises(InvalidInput) as caught:
        validated(ArchiveQuery, query)
    assert [error["field"] for error in caught.value.errors] == [field]
