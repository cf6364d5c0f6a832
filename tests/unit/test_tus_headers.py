"""What a client says in tus's headers: read exactly, or refused with the reason."""

import base64
import hashlib

import pytest

from docsave_services.errors import BadRequest, ChecksumMismatch, InvalidInput
from gateway_http.tus.checksum import checksum_in
from gateway_http.tus.metadata import Announced, announced_in
from tests.support.tus import checksum, metadata


def test_metadata_is_read() -> None:
    """Name, folder and labels; other keys, also without a value, are let through."""
    header = metadata(filename="ö.txt", folder="a/b", labels={"crm.deal": "42"}, filetype="text/plain") + ", flag"
    assert announced_in(header) == Announced("ö.txt", "a/b", {"crm.deal": "42"})
    assert announced_in("  filename  YQ== ") == Announced("a", None, None)


@pytest.mark.parametrize(
    "header", ["filename YQ==,filename YQ==", "filename Y", "filename YQ= =", ",", "filename YQ==,,x YQ==", "é YQ=="]
)
def test_metadata_that_cannot_be_read(header: str) -> None:
    """Repeated or empty keys and what is not base64."""
    with pytest.raises(BadRequest):
        announced_in(header)


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("", "filename"),
        ("filetype YQ==", "filename"),
        (metadata(filename=""), "filename"),
        (metadata(filename="a/b"), "filename"),
        ("filename " + base64.b64encode(b"\xff").decode(), "filename"),
        (metadata(filename="a", folder="a//b"), "folder"),
        (metadata(filename="a", labels=[]), "labels"),
        (metadata(filename="a", labels="{"), "labels"),
        (metadata(filename="a", labels='{"a": "1", "a": "2"}'), "labels"),
        (metadata(filename="a", labels={" ": "1"}), "labels"),
    ],
)
def test_metadata_that_no_file_can_have(header: str, field: str) -> None:
    """The error names the field."""
    with pytest.raises(InvalidInput) as caught:
        announced_in(header)
    assert [error["field"] for error in caught.value.errors] == [field]


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_a_checksum_fits_only_its_content(algorithm: str) -> None:
    """In pieces as in one; any other content is refused."""
    good, bad = (checksum_in(checksum(b"content", algorithm)) for _ in range(2))
    assert good is not None
    assert bad is not None
    good.update(b"con")
    good.update(b"tent")
    good.check()
    bad.update(b"Content")
    with pytest.raises(ChecksumMismatch):
        bad.check()
    assert checksum_in(None) is None


@pytest.mark.parametrize(
    "header",
    [
        "",
        "sha1",
        "SHA1 " + base64.b64encode(hashlib.sha1(b"", usedforsecurity=False).digest()).decode(),
        "crc32 AAAAAA==",
        "sha1 ***",
        "md5 AAAA",
        "sha1 é",
    ],
)
def test_a_checksum_that_is_none(header: str) -> None:
    """Unknown algorithms, what is not base64, and hashes of another length."""
    with pytest.raises(BadRequest):
        checksum_in(header)
