"""Names of documents: which are refused, and that every other one is data and nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from urllib.parse import quote

from werkzeug.http import parse_options_header

from tests.integration.bad_input.place import Place
from tests.integration.bad_input.row import Answer, Input, Row
from tests.support.waiting import wait_until

FORBIDDEN = {
    "NUL": ("a\0b", "control"),
    "CR": ("a\rb", "control"),
    "LF": ("a\nb", "control"),
    "DEL": ("a\x7fb", "control"),
    "NEL": ("a\x85b", "control"),
    "/": ("../../etc/passwd", "/ or"),
    "\\": ("C:\\dir\\a.txt", "/ or"),
    ".": (".", ". or .."),
    "..": ("..", ". or .."),
    "spaces only": ("  \u3000\u00a0", "spaces"),
    "256 characters": ("a" * 256, "255 characters"),
    "nothing": ("", "255 characters"),
    **{f"U+{c:04X}": (f"a{chr(c)}b", "bidirectional") for c in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))},
}

Way = Callable[[Place, str], Answer]


def _before_the_body(place: Place, name: str) -> Answer:
    """A body of which nothing is sent: the answer must not wait for it."""
    return place.raw(f"POST /files?name={quote(name, safe='')}", "Content-Length: 100000")


def _by_reference(place: Place, name: str) -> Answer:
    return place.raw(f"PUT /refs/crm/1/files/{quote(name, safe='')}", "Content-Length: 100000")


def _in_a_form(place: Place, name: str) -> Answer:
    """As few clients would send it: with what would end a quoted string, a header or a line."""
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\nabc\r\n--x--\r\n' % name.encode()
    return place.ask("POST", "/files", data=body, headers={"Content-Type": "multipart/form-data; boundary=x"})


def _in_an_escape(place: Place, name: str) -> Answer:
    disposition = f"form-data; name=\"file\"; filename*=UTF-8''{quote(name, safe='')}"
    body = f"--x\r\nContent-Disposition: {disposition}\r\n\r\nabc\r\n--x--\r\n".encode()
    return place.ask("POST", "/files", data=body, headers={"Content-Type": "multipart/form-data; boundary=x"})


def _renaming(place: Place, name: str) -> Answer:
    return place.ask("PATCH", f"/files/{place.file['id']}", json={"name": name})


WAYS: dict[str, tuple[Way, str]] = {
    "raw": (_before_the_body, "name"),
    "by reference": (_by_reference, "name"),
    "in a form": (_in_a_form, "file"),
    "in an escape of a form": (_in_an_escape, "file"),
    "renaming": (_renaming, "name"),
}
"""With the field that the answer calls wrong."""


def _inputs() -> list[Input]:
    return [
        Input(f"{label}, {what}", lambda place, way=way, name=name: way(place, name), 422, "invalid_input", field, says)
        for what, (way, field) in WAYS.items()
        for label, (name, says) in FORBIDDEN.items()
        if (what, label) != ("in a form", "nothing")  # then the part is no file, and the row of forms has it
    ]


ODD = ["CON", ".htaccess", "-rf", "$(id)", "<script>.html", 'a"; filename=evil.exe', "🎉😀.txt", "é" * 255,
       "e\u0301.txt", "'; DROP TABLE file; --", "a%2e%2e%2fb", "\u200f.txt", " around ", "..."]  # fmt: skip


def _kept_as_data(name: str) -> Callable[[Place], None]:
    def act(place: Place) -> None:
        answer = place.ask("POST", f"/files?name={quote(name, safe='')}", data=b"content")
        assert answer.status == 201, answer
        file = place.keep(json.loads(answer.body))
        assert file["name"] == name
        content = place.ask("GET", f"/files/{file['id']}/content")
        header = content.headers["content-disposition"]
        assert (content.body, header.isascii(), header.isprintable(), header.count('"')) == (b"content", True, True, 2)
        kind, parameters = parse_options_header(header)
        assert (kind, parameters) == ("attachment", {"filename": name})
        _safe_on_disk(place, file["id"], name)

    return act


def _safe_on_disk(place: Place, file_id: int, name: str) -> None:
    """The copy's file name means nothing to any system; the JSON beside it has the exact name."""
    [directory] = place.gateway.directory.glob(f"backups/history/*/{file_id}")
    [copy] = directory.glob("v000001_*")
    assert not set(copy.name) & set('<>:"/\\|?*\0')
    assert len(os.fsencode(copy.name)) <= 255
    assert json.loads((directory / "v000001.json").read_text())["name"] == name


def _harmless(name: str, content: bytes) -> Callable[[Place], None]:
    def act(place: Place) -> None:
        file = place.keep(place.person.save(content, name))
        answer = place.ask("GET", f"/files/{file['id']}/content")
        wanted = {"x-content-type-options": "nosniff", "content-security-policy": "default-src 'none'; sandbox"}
        assert wanted.items() <= answer.headers.items()
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert answer.body == content
        wait_until(lambda: place.gateway.open_blobs() == 0)

    return act


ROWS = [
    Row("names that are refused", tuple(_inputs())),
    Row("names that are kept exactly as data", tuple(Input(ascii(n)[:30], _kept_as_data(n), keeps=True) for n in ODD)),
    Row(
        "html, svg uploads",
        (
            Input("html", _harmless("a.html", b"<html><script>alert(1)</script></html>"), keeps=True),
            Input(
                "svg", _harmless("a.svg", b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'), keeps=True
            ),
        ),
    ),
]
