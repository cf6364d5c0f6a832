"""Bodies that are wrong as JSON or as a form, fields and ids that cannot be."""

from __future__ import annotations

from collections.abc import Callable

from tests.integration.bad_input.place import Place
from tests.integration.bad_input.row import Answer, Input, Row, refused

Act = Callable[[Place], Answer]


def _json(method: str, path: str, body: bytes) -> Act:
    def act(place: Place) -> Answer:
        headers = {"Content-Type": "application/json"}
        return place.ask(method, path.format(place.file["id"]), data=body, headers=headers)

    return act


BODIES = [("POST", "/users"), ("PATCH", "/users/me"), ("PATCH", "/files/{}"), ("POST", "/batch"), ("POST", "/webhooks")]

UNREADABLE = {
    "nothing": b"",
    "half": b"{",
    "60,000 nested [": b"[" * 60_000,
    "10,000 nested {": b'{"a":' * 10_000,
    "NaN": b'{"name":NaN}',
    "Infinity": b'{"name":-Infinity}',
    "a lone surrogate": b'{"name":"\\ud800"}',
    "a lone surrogate as a key": b'{"\\udfff":"x"}',
    "invalid UTF-8": b'{"name":"\xff"}',
    "UTF-16": '{"name":"x"}'.encode("utf-16"),
    "duplicate keys": b'{"name":"a","name":"b"}',
    "duplicate keys inside": b'{"name":{"a":1,"a":2}}',
    "a number of 5,000 digits": b'{"name":1' + b"0" * 5000 + b"}",
}

JSON = [
    Row(
        "JSON that is none",
        (
            *refused(400, "bad_json", *[
                (f"{label} at {method} {path}", _json(method, path, body))
                for method, path in BODIES for label, body in UNREADABLE.items()
            ]),
            *refused(400, "bad_json", ("100,000 nested [ at POST /batch", _json("POST", "/batch", b"[" * 100_000))),
            *refused(413, "too_large", *[
                (f"100,000 nested [ at {method} {path}", _json(method, path, b"[" * 100_000))
                for method, path in BODIES if path != "/batch"
            ]),
            *refused(422, "invalid_input", *[
                (f"{body.decode()} at {method} {path}", _json(method, path, body))
                for method, path in BODIES for body in (b"[]", b"null", b"1", b'"a"', b"true")
            ]),
        ),
    ),
]  # fmt: skip

FOREIGN_FIELDS = ["id", "user_id", "role", "active", "version", "path", "deleted_at", "media_type", "is_admin"]


def _field(method: str, path: str, field: str, body: dict[str, object] | None) -> Act:
    def act(place: Place) -> Answer:
        target = path.format(place.file["id"])
        if body is None:
            return place.ask(method, f"{target}{'&' if '?' in target else '?'}{field}=1", data=b"x")
        return place.ask(method, target, json={**body, field: 1})

    return act


FIELDS = [
    Row(
        "unknown fields",
        tuple(
            Input(f"{field} at {method} {path}", _field(method, path, field, body), 422, "invalid_input", field)
            for method, path, body in (
                ("POST", "/users", {"login": "somebody", "password": "correct horse 1"}),
                ("PATCH", "/users/me", {"name": "x"}), ("PATCH", "/files/{}", {"name": "x"}),
                ("POST", "/files?name=a", None), ("PUT", "/files/{}/content", None),
                ("PUT", "/refs/crm/1/files/a", None), ("DELETE", "/files/{}", None),
                ("POST", "/files/{}/restore", None), ("GET", "/folders", None),
            )
            for field in FOREIGN_FIELDS if (path, field) != ("/folders", "user_id")
        ),
    ),
]  # fmt: skip

IMPOSSIBLE_IDS = ["0", "-1", "2147483648", "9223372036854775808", "1.0", "true", "%00", "01", "%D9%A1", "1%20", ""]
WAYS = [
    ("GET", "/files/{}"), ("GET", "/files/{}/content"), ("PATCH", "/files/{}"), ("DELETE", "/files/{}"),
    ("DELETE", "/files/{}?permanent=true"), ("PUT", "/files/{}/content"), ("POST", "/files/{}/restore"),
    ("GET", "/files/{}/versions"), ("GET", "/files/1/versions/{}/content"), ("GET", "/webhooks/{}"),
    ("DELETE", "/api-keys/{}"),
]  # fmt: skip


def _id(method: str, path: str, number: str) -> Act:
    body = {"json": {"name": "a"}} if method in ("PATCH", "PUT") else {}
    return lambda place: place.ask(method, path.format(number), **body)


def _id_in_a_batch(value: object) -> Callable[[Place], None]:
    def act(place: Place) -> None:
        operations = [{"op": "delete", "id": value}]
        answer = place.person.ask("POST", "/batch", json={"operations": operations})
        [result] = answer.json()["results"]
        assert (result["status"], result["errors"][0]["field"]) == (422, "id")

    return act


IDS = [
    Row(
        "ids that cannot be",
        (
            *refused(404, "not_found", *[
                (f"{number} at {method} {path}", _id(method, path, number))
                for method, path in WAYS for number in IMPOSSIBLE_IDS if number
            ]),
            *[
                Input(f"{value!r:.20} in a batch", _id_in_a_batch(value))
                for value in (0, -1, 2**31, 2**63, 10**400, 1.5, True, "1", None, [1], {})
            ],
        ),
    ),
]  # fmt: skip


def form(*parts: tuple[str, bytes]) -> bytes:
    """A form of parts: the parameters of a disposition, content."""
    made = [b"--x\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (head.encode(), body) for head, body in parts]
    return b"".join(made) + b"--x--\r\n"


FILE = ('name="file"; filename="a.txt"', b"content")
TEXT = ('name="t"', b"x")


def _form(body: bytes, media_type: str = "multipart/form-data; boundary=x") -> Act:
    return lambda place: place.ask("POST", "/files", data=body, headers={"Content-Type": media_type})


def _thousand_parts(place: Place) -> None:
    answer = _form(form(*[TEXT] * 500, FILE, *[TEXT] * 499))(place)
    assert answer.status == 201, answer
    place.keep(place.person.ask("GET", answer.headers["location"]).json())


FORMS = [
    Row(
        "multipart: no boundary",
        (
            *refused(400, "bad_multipart", *[
                (f"multipart/form-data{more}", _form(form(FILE), f"multipart/form-data{more}"))
                for more in ("", "; boundary=", "; boundary=" + "x" * 71)
            ]),
            *refused(415, "unsupported_media_type", ("multipart/mixed", _form(form(FILE), "multipart/mixed"))),
        ),
    ),
    Row(
        "multipart: no file part",
        refused(422, "invalid_input", ("none", _form(form())), ("text only", _form(form(TEXT))),
            ("another name", _form(form(('name="other"; filename="a"', b"x")))),
            ("no file name", _form(form(('name="file"', b"x")))),
            ("an empty file name", _form(form(('name="file"; filename=""', b"x")))), field="file"),
    ),
    Row("multipart: two file parts", refused(422, "invalid_input", ("two", _form(form(FILE, FILE))), field="file")),
    Row(
        "multipart: 1,001 parts",
        (
            *refused(413, "too_large", ("after", _form(form(FILE, *[TEXT] * 1000))),
                ("before", _form(form(*[TEXT] * 1000, FILE)))),
            Input("1,000 are accepted", _thousand_parts, keeps=True),
        ),
    ),
    Row(
        "multipart: a 10 MB text field",
        refused(413, "too_large",
            ("before", _form(form(('name="t"', b"x" * 10_000_000), FILE))),
            ("after", _form(form(FILE, ('name="t"', b"x" * 10_000_000)))),
            ("before the first delimiter", _form(b"x" * 3_000_000)),
            ("after the last", _form(form(FILE) + b"x" * 3_000_000))),
    ),
    Row(
        "multipart that is none",
        refused(400, "bad_multipart", ("no end", _form(form(FILE)[:-6])), ("no form at all", _form(b"no multipart")),
            ("nothing", _form(b"")), ("two file names", _form(form(('name="file"; filename="a"; filename="b"', b"x")))),
            ("a name that is not UTF-8", _form(form(FILE).replace(b"a.txt", b"\xe9.txt"))),
            ("an escape that is not UTF-8", _form(form(("name=\"file\"; filename*=UTF-8''%ff", b"x"))))),
    ),
]  # fmt: skip

ROWS = [*JSON, *FIELDS, *IDS, *FORMS]
