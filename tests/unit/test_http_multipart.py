"""multipart/form-data as a stream, cut at every place."""

from collections.abc import Iterable

import pytest

from docsave_services.errors import BadMultipart, InvalidInput, TooLarge
from gateway_http.limits import MULTIPART_OVERHEAD_BYTES, MULTIPART_PARTS_MAX, MULTIPART_TEXT_BYTES_MAX
from gateway_http.multipart_body import FilePart, boundary_of, read_form

FILE_HEAD = b'Content-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Digest: sha-256=:eA==:\r\n'
TEXT_HEAD = b'Content-Disposition: form-data; name="note"\r\n'


def form(*parts: tuple[bytes, bytes]) -> bytes:
    return b"".join(b"--XX\r\n" + head + b"\r\n" + body + b"\r\n" for head, body in parts) + b"--XX--\r\n"


def read(pieces: Iterable[bytes]) -> tuple[list[FilePart], bytes]:
    begun: list[FilePart] = []
    written: list[bytes] = []
    read_form("XX", pieces, begun.append, written.append)
    return begun, b"".join(written)


def bytewise(body: bytes) -> list[bytes]:
    return [body[i : i + 1] for i in range(len(body))]


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\r\n", b"\r\n--X", b"\r\n--XY\r\n", b"--XX", b"\r\r\n\r\n--", b"\x00\xff" * 50]
)
def test_content_survives_any_cut(content: bytes) -> None:
    """The file's bytes are exact however the body is cut, also where they look like a delimiter."""
    body = form((TEXT_HEAD, b"hello"), (FILE_HEAD, content), (TEXT_HEAD, b"bye"))
    cuts: list[list[bytes]] = [bytewise(body), [body], *([body[:i], body[i:]] for i in range(1, len(body)))]
    for pieces in cuts:
        [part], written = read(pieces)
        assert (part.name, part.digest, written) == ("a.txt", "sha-256=:eA==:", content)


@pytest.mark.parametrize("end", range(1, 12))
def test_an_early_end_is_noticed(end: int) -> None:
    """A body without its closing delimiter is bad multipart, wherever it stops."""
    body = form((FILE_HEAD, b"content"))[:-2]
    with pytest.raises(BadMultipart):
        read(bytewise(body[:-end]))


@pytest.mark.parametrize(
    "body",
    [
        form(),
        form((TEXT_HEAD, b"x")),
        form((FILE_HEAD, b"x"), (FILE_HEAD, b"y")),
        form((FILE_HEAD.replace(b'"file"', b'"File"'), b"x")),
    ],
)
def test_exactly_one_file(body: bytes) -> None:
    """No part named file, or two, is invalid input that names it."""
    with pytest.raises(InvalidInput) as caught:
        read(bytewise(body))
    assert caught.value.errors[0]["field"] == "file"


@pytest.mark.parametrize(
    "body",
    [
        form((b"Content-Type: text/plain\r\n", b"x")),
        form((b'Content-Disposition: attachment; name="file"\r\n', b"x")),
        form((b'Content-Disposition: form-data; name="file"; filename="a" junk\r\n', b"x")),
        form((b"Content-Disposition: form-data; name=\"file\"; filename*=UTF-8''%ff\r\n", b"x")),
        form((b"no header\r\n" + FILE_HEAD, b"x")),
        form((FILE_HEAD.replace(b"a.txt", b"\xff.txt"), b"x")),
        form((FILE_HEAD, b"x")).replace(b"--XX\r\n", b"--XX\n"),
        b"junk",
        b"",
    ],
)
def test_unreadable_forms(body: bytes) -> None:
    """What is not a form is bad multipart."""
    with pytest.raises(BadMultipart):
        read(bytewise(body))


@pytest.mark.parametrize(
    "body",
    [
        form(*[(TEXT_HEAD, b"x")] * MULTIPART_PARTS_MAX, (FILE_HEAD, b"x")),
        form((FILE_HEAD, b"x"), (TEXT_HEAD, b"x" * (MULTIPART_TEXT_BYTES_MAX + 1))),
        form((TEXT_HEAD + b"X-A: " + b"a" * 20_000 + b"\r\n", b"x"), (FILE_HEAD, b"x")),
        form(*[(TEXT_HEAD, b"x" * 60_000)] * 40, (FILE_HEAD, b"x")),
        b"p" * (MULTIPART_OVERHEAD_BYTES + 1) + b"\r\n" + form((FILE_HEAD, b"x")),
        form((FILE_HEAD, b"x")) + b"e" * (MULTIPART_OVERHEAD_BYTES + 1),
    ],
)
def test_what_is_beside_the_file_is_bounded(body: bytes) -> None:
    """Parts, their text, their headers, what comes before and after: all have an end."""
    with pytest.raises(TooLarge):
        read([body[i : i + 65536] for i in range(0, len(body), 65536)])


def test_the_file_itself_is_not_held() -> None:
    """A large file passes in pieces no larger than those that came in, and counts for no limit here."""
    sizes: list[int] = []
    piece = b"\r\n-" * 40_000
    pieces = [b"--XX\r\n" + FILE_HEAD + b"\r\n", *[piece] * 100, b"\r\n--XX--\r\n"]
    read_form("XX", pieces, lambda part: None, lambda data: sizes.append(len(data)))
    assert sum(sizes) == len(piece) * 100
    assert max(sizes) <= len(piece) + 8


@pytest.mark.parametrize("value", ["", "boundary=", "boundary=" + "x" * 71, 'boundary="a\tb"', "boundary=é"])
def test_a_boundary_is_needed(value: str) -> None:
    """No boundary, or one the standard does not allow, is bad multipart."""
    with pytest.raises(BadMultipart):
        boundary_of(f"multipart/form-data; {value}")


def test_boundaries_are_read() -> None:
    """Plain and quoted boundaries are understood."""
    assert boundary_of("multipart/form-data; boundary=abc") == "abc"
    assert boundary_of('multipart/form-data; boundary="a b:c"; charset=utf-8') == "a b:c"


def fields_of(*parts: tuple[bytes, bytes]) -> dict[str, str]:
    return read_form("XX", bytewise(form(*parts)), lambda part: None, lambda data: None, ("note", "labels"))


@pytest.mark.parametrize("first", [True, False])
def test_fields_come_in_any_order(first: bool) -> None:
    """What is asked for is read, before the file or after it; other fields are not."""
    texts = [(TEXT_HEAD, "grüße".encode()), (b'Content-Disposition: form-data; name="else"\r\n', b"x")]
    file = [(FILE_HEAD, b"content")]
    assert fields_of(*([*texts, *file] if first else [*file, *texts])) == {"note": "grüße"}


def test_a_field_twice_is_refused() -> None:
    """Two values have no meaning."""
    with pytest.raises(InvalidInput) as caught:
        fields_of((TEXT_HEAD, b"a"), (FILE_HEAD, b"x"), (TEXT_HEAD, b"b"))
    assert caught.value.errors[0]["field"] == "note"


def test_a_field_that_is_not_text_is_refused() -> None:
    """Forms are UTF-8."""
    with pytest.raises(BadMultipart):
        fields_of((TEXT_HEAD, b"\xff"), (FILE_HEAD, b"x"))
