"""Requests that are wrong as HTTP: lengths, chunks, sizes, headers."""

from __future__ import annotations

from collections.abc import Callable

from tests.integration.bad_input.place import MAX_FILE_BYTES, Place
from tests.integration.bad_input.row import Answer, Input, Row, refused

Act = Callable[[Place], Answer]

POST = "POST /files?name=a"
CHUNKED = "Transfer-Encoding: chunked"


def _raw(line: str, *headers: str, body: bytes = b"", fin: bool = False) -> Act:
    return lambda place: place.raw(line, *headers, body=body, fin=fin)


def _uploads(*headers: str, body: bytes = b"", fin: bool = False) -> list[tuple[str, Act]]:
    """The same body wherever content is taken."""
    return [
        (what, lambda place, line=line: place.raw(line.format(place.file["id"]), *headers, body=body, fin=fin))
        for what, line in (
            ("new", POST), ("replacing", "PUT /files/{}/content"), ("by reference", "PUT /refs/crm/1/files/a"),
        )
    ]  # fmt: skip


def _all(headers: list[str], *bodies: tuple[str, bytes], fin: bool) -> list[tuple[str, Act]]:
    return [
        (f"{label}, {what}", act)
        for label, body in bodies
        for what, act in _uploads(*headers, body=body, fin=fin)
    ]  # fmt: skip


def _kept_whole(place: Place) -> None:
    body = b"5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX-T: a\r\n\r\n"
    answer = place.raw(POST, CHUNKED, "Connection: close", body=body)
    assert answer.status == 201, answer
    name = answer.headers["location"]
    assert place.ask("GET", f"{name}/content").body == b"hello!"
    place.keep(place.person.ask("GET", name).json())


ROWS = [
    Row(
        "Content-Length larger than the body, then FIN",
        refused(400, "body_truncated", *_all(
            ["Content-Length: 1000000"], ("nothing", b""), ("500 bytes", b"a" * 500), ("almost all", b"a" * 999_999),
            fin=True,
        )),
    ),
    Row(
        "Content-Length larger than the body, then silence",
        refused(408, "body_timeout", *_uploads("Content-Length: 1000000", body=b"a" * 999_999)),
    ),
    Row(
        "chunked body without its end",
        refused(400, "body_truncated", *_all(
            [CHUNKED], ("no last chunk", b"5\r\nhello\r\n"), ("half a chunk", b"5\r\nhel"), ("half a size", b"5"),
            ("no end of trailers", b"0\r\n"), fin=True,
        )),
    ),
    Row(
        "chunked body with a bad chunk size",
        refused(400, "bad_request", *_all(
            [CHUNKED], ("letters", b"xyz\r\nhello\r\n0\r\n\r\n"), ("negative", b"-5\r\nhello\r\n0\r\n\r\n"),
            ("0x", b"0x5\r\nhello\r\n0\r\n\r\n"), ("a line feed alone", b"5\nhello\r\n0\r\n\r\n"),
            ("too small", b"4\r\nhello\r\n0\r\n\r\n"), ("2^64", b"1" + b"0" * 16 + b"\r\nhello\r\n0\r\n\r\n"),
            ("long extension", b"5;" + b"a" * 5000 + b"\r\nhello\r\n0\r\n\r\n"),
            ("many trailers", b"0\r\n" + b"X-T: a\r\n" * 100 + b"\r\n"), fin=True,
        )),
    ),
    Row("chunked upload, well formed", (Input("is accepted", _kept_whole, keeps=True),)),
    Row("neither Content-Length nor chunked on an upload", refused(411, "length_required", *_uploads())),
    Row(
        "Content-Length that is ambiguous",
        refused(400, "bad_request", *[
            (" + ".join(headers), _raw(POST, *headers, body=b"x"))
            for headers in (
                ["Content-Length: -1"], ["Content-Length: +1"], ["Content-Length: 1_0"], ["Content-Length: abc"],
                ["Content-Length:"], ["Content-Length: 1, 1"], ["Content-Length: 1", "Content-Length: 2"],
                ["Content-Length: 1", "Content-Length: 1"], ["Content-Length: 1", CHUNKED],
                ["Transfer-Encoding: gzip"], ["Transfer-Encoding: gzip, chunked"], [CHUNKED, CHUNKED],
                ["Content-Length : 1"], ["X-A: b", " Content-Length: 1"], ["no colon", "Content-Length: 1"],
                ["X-A: b\0c"], ["X-A: b\rContent-Length: 1"], ["Host: y"],
            )
        ], closes=True),
    ),
    Row(
        "too large, announced",
        refused(413, "too_large", *_uploads(f"Content-Length: {MAX_FILE_BYTES + 1}"), says=str(MAX_FILE_BYTES),
                closes=True),
    ),
    Row(
        "too large, while streaming",
        refused(413, "too_large", *_uploads(
            CHUNKED, body=b"%x\r\n" % (MAX_FILE_BYTES + 1) + b"a" * (MAX_FILE_BYTES + 1) + b"\r\n0\r\n\r\n",
        ), says=str(MAX_FILE_BYTES), closes=True),
    ),
    Row(
        "URL over 8 KiB",
        (
            Input("8,192 bytes are looked at", _raw("GET /files/" + "a" * 8185, "Connection: close"), 404, "not_found"),
            *refused(414, "uri_too_long",
                ("8,193 bytes", _raw("GET /files/" + "a" * 8186)), ("1 MB", _raw("GET " + "/a" * 500_000))),
        ),
    ),
    Row(
        "headers over 64 KiB",
        refused(431, "headers_too_large",
            ("one of 70 kB", _raw("GET /files", "X-A: " + "a" * 70_000)),
            ("70 of 1 kB", _raw("GET /files", *[f"X-{n}: {'a' * 1000}" for n in range(70)])),
            ("200 short ones", _raw("GET /files", *[f"X-{n}: a" for n in range(200)])),
            ("a token of 1 MB", _raw("GET /files", "Authorization: Bearer " + "a" * 1_000_000)),
        ),
    ),
]  # fmt: skip
