"""The media type of a file: its content tells, its name only chooses among what the content allows."""

import io
import os
import time
import zipfile

import puremagic
import pytest

from gateway_http import media_types
from gateway_http.limits import SNIFFED_BYTES
from gateway_http.media_types import sniff, type_of_name

OFFICE = "application/vnd.openxmlformats-officedocument."
BINARY = "application/octet-stream"


def archive(*names: str, mimetype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        if mimetype is not None:
            made.writestr(zipfile.ZipInfo("mimetype"), mimetype)
        for name in names:
            made.writestr(name, b"<x/>" * 50)
    return buffer.getvalue()


DOCX = archive("[Content_Types].xml", "_rels/.rels", "word/document.xml")
XLSX = archive("[Content_Types].xml", "_rels/.rels", "xl/workbook.xml")
ODT = archive("content.xml", mimetype="application/vnd.oasis.opendocument.text")
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + b"\x00" * 20
OLE = bytes.fromhex("d0cf11e0a1b11ae1") + b"\x00" * 600


@pytest.mark.parametrize("name", ["a", "a.html", "a.txt", "a.svg", "a.exe"])
@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (PDF, "application/pdf"),
        (b"%PDF-1.4\n1 0 obj\n", "application/pdf"),
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01", "image/jpeg"),
        (b"GIF89a\x01\x00\x01\x00\x80", "image/gif"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", "application/gzip"),
        (b"{\\rtf1\\ansi hello}", "application/rtf"),
        (DOCX, OFFICE + "wordprocessingml.document"),
        (XLSX, OFFICE + "spreadsheetml.sheet"),
        (archive("_rels/.rels", "ppt/presentation.xml"), OFFICE + "presentationml.presentation"),
        (ODT, "application/vnd.oasis.opendocument.text"),
        (archive("a", mimetype="application/epub+zip"), "application/epub+zip"),
        (archive("META-INF/MANIFEST.MF", "A.class"), "application/java-archive"),
        (archive("a.txt", "b.txt"), "application/zip"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom", "video/mp4"),
    ],
)
def test_content_that_is_known(content: bytes, media_type: str, name: str) -> None:
    """A known beginning decides, whatever the name pretends."""
    assert sniff(content, name) == media_type


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.txt", "text/plain"),
        ("a.csv", "text/csv"),
        ("a.md", "text/markdown"),
        ("a.json", "application/json"),
        ("a.html", "text/html"),
        ("a.svg", "image/svg+xml"),
        ("a", "text/plain"),
        ("a.png", "text/plain"),
        ("a.pdf", "text/plain"),
        ("a.docx", "text/plain"),
        ("a.exe", "text/plain"),
    ],
)
def test_text(name: str, media_type: str) -> None:
    """Text is what the name says, if that is a kind of text."""
    for content in (b"hello", "Grüße".encode(), b"<html><script>"):
        assert sniff(content, name) == media_type


@pytest.mark.parametrize(
    ("content", "name", "media_type"),
    [
        (b"\x00\x01\x02\x03\xfe", "a.bin", BINARY),
        (b"\x00\x01\x02\x03\xfe", "a", BINARY),
        (b"\x00\x01\x02\x03\xfe", "a.dwf", BINARY),
        (b"\x00\x01\x02\x03\xfe", "a.xls", "application/vnd.ms-excel"),
        (b"\x00\x01\x02\x03\xfe", "a.html", BINARY),
        (b"\x00\x01\x02\x03\xfe", "a.svg", BINARY),
        (b"\x00\x01\x02\x03\xfe", "a.xml", BINARY),
        (b"\x00\x01\x02\x03\xfe", "a.js", BINARY),
        (b"\x00\x01\x02\x03\xfe", "a.txt", BINARY),
        (b"<html>\x00\xff<script>", "a.html", BINARY),
        (b"<svg xmlns=\xff", "a.svg", BINARY),
        ("Größe;Maß\n1;2\n".encode("latin-1"), "a.csv", "text/csv"),
        ("Größe;Maß\n1;2\n".encode("latin-1"), "a.html", BINARY),
        ("Größe;Maß\n".encode("utf-16"), "a.csv", "text/csv"),
        ("<html>".encode("utf-16"), "a.html", "text/plain"),
        (OLE, "a.doc", "application/msword"),
        (archive("a.txt"), "a.docx", "application/zip"),
        (b"BM\x36\x00\x00\x00\x00\x00\x00\x00", "a.bmp", "image/bmp"),
        (b"BM\x36\x00\x00\x00\x00\x00\x00\x00", "a", BINARY),
        (b"PK\x03\x04", "a", "application/zip"),
        (b"", "a.pdf", "application/pdf"),
        (b"", "a", BINARY),
    ],
)
def test_where_content_does_not_tell_all(content: bytes, name: str, media_type: str) -> None:
    """A name is believed for bytes that nothing is known of, but never that they are markup or a script."""
    assert sniff(content, name) == media_type


def test_a_character_cut_at_the_end_is_no_damage() -> None:
    """Only the beginning is looked at, and it may end in the middle of a letter."""
    text = ("é" * SNIFFED_BYTES).encode()
    assert sniff(b"a" + text[: SNIFFED_BYTES - 1], "a.html") == "text/html"
    assert sniff(b"a" + text[: SNIFFED_BYTES - 3], "a.html") == BINARY  # all there is, and it is damaged


@pytest.mark.parametrize("content", [b"a" * SNIFFED_BYTES, PDF * 500, OLE * 20, DOCX * 10, b"PK\x03\x04" * 3000])
def test_it_is_cheap(content: bytes) -> None:
    """It runs between other requests: less than a millisecond, and what somebody makes up costs no more."""
    head = content[:SNIFFED_BYTES]
    best = 1.0
    for _ in range(20):
        started = time.perf_counter()
        sniff(head, "a.bin")
        best = min(best, time.perf_counter() - started)
    assert best < 0.002


def test_every_mark_of_the_library_is_looked_for() -> None:
    """What decides in a moment that no mark fits never hides one, wherever it stands, however short the content."""
    for row in [*puremagic.magic_header_array, *puremagic.magic_footer_array]:
        mark, behind = row.byte_match, b"" if row.offset >= 0 else b"\x01" * (-row.offset - len(row.byte_match))
        content = b"\x01" * (row.offset if row.offset >= 0 else 600) + mark + behind
        assert puremagic.magic_string(content)
        assert media_types._may_be_known(content), row


def test_what_no_mark_fits_the_library_does_not_know() -> None:
    """And what it lets through is the library's to say."""
    for size in (0, 1, 3, 20, 600, SNIFFED_BYTES):
        for content in (os.urandom(size) for _ in range(50)):
            if not media_types._may_be_known(content):
                with pytest.raises((puremagic.PureError, ValueError)):
                    puremagic.magic_string(content)


def test_any_bytes_have_a_type() -> None:
    """Whatever comes, the answer is a media type."""
    for size in range(200):
        assert sniff(os.urandom(size), "a").count("/") == 1
        assert sniff(b"PK\x03\x04" + os.urandom(size), "a.docx").count("/") == 1


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.pdf", "application/pdf"),
        ("A.PNG", "image/png"),
        ("a.tar.gz", "application/gzip"),
        ("a", BINARY),
        (".htaccess", BINARY),
        ("data:text/html,x", BINARY),
        ("a.unknown", BINARY),
    ],
)
def test_the_name_suggests_a_media_type(name: str, media_type: str) -> None:
    """The ending decides; a name is never read as a URL."""
    assert type_of_name(name) == media_type
