"""What is drawn for the edges of a running system: bodies, queries, forms, ranges, packets, calls."""

from __future__ import annotations

import inspect
import json
from typing import Any

from hypothesis import strategies as st

from backup.service import Backup
from docsave_services.files.service import FilesService
from docsave_services.users.service import UsersService
from docsave_services.webhooks.service import WebhooksService

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
NUMBERS = st.integers() | st.sampled_from([0, -1, 2**31, 2**63, True, 1.5])
FIELDS = st.dictionaries(
    st.sampled_from(["name", "folder", "labels", "login", "password", "id", "url", "events", "scopes", "at", "dry_run",
                     "refresh_token", "path", "operations", "expires_at", ""]) | TEXT,
    JSON,
)  # fmt: skip
UNKNOWN_FIELD = {"x" * 40: 1}
"""Sent with every body, so that no account and no key comes of one that happens to be good."""

QUERIES = st.dictionaries(
    st.sampled_from(["limit", "after", "q", "sort", "deleted", "folder", "label", "size_min", "at", "since", "types",
                     "created_after", "media_type", "ids", "before"]),
    NUMBERS.map(str) | TEXT,
    max_size=3,
)  # fmt: skip
READ = ["/files", "/folders", "/changes", "/files/archive", "/webhooks", "/api-keys", "/files/1/versions", "/sessions"]
NOBODYS = 2**31 - 1
TARGETS = [
    ("POST", "/users"),
    ("PATCH", "/users/me"),
    ("POST", "/login"),
    ("POST", "/token/refresh"),
    ("POST", "/logout"),
    ("POST", "/api-keys"),
    ("POST", "/webhooks"),
    ("POST", "/restore"),
    ("POST", "/download-tickets"),
    ("PATCH", f"/files/{NOBODYS}"),
    ("PATCH", f"/webhooks/{NOBODYS}"),
    ("POST", "/batch"),
]
"""Where a body is read, of a document that nobody has where one is named."""

RANGES = st.from_regex(r"bytes ?= ?-?[0-9]{0,25}-?[0-9]{0,25}(, ?[0-9]*-[0-9]*){0,3}", fullmatch=True) | TEXT
LINES = st.sampled_from(
    [b"--XX", b"--XX--", b"\r\n", b"\n", b'Content-Disposition: form-data; name="file"; filename="', b'"', b": ", b"\0",
     b"Content-Type: text/plain", b"Content-Disposition: form-data; name=file; filename*=UTF-8''a%ff", b"x" * 5000]
) | st.binary(max_size=40)  # fmt: skip
FORMS = st.lists(LINES, max_size=12).map(b"\r\n".join) | st.tuples(
    st.sampled_from(["name", 'name="file"', 'name="file"; filename="a"', "filename=a", "", "form-data"]),
    st.lists(LINES, max_size=3),
    st.binary(max_size=40),
).map(
    lambda made: (
        b"--XX\r\nContent-Disposition: form-data; " + made[0].encode() + b"\r\n"
        + b"\r\n".join(made[1]) + b"\r\n\r\n" + made[2] + b"\r\n--XX--\r\n"
    )
)  # fmt: skip
"""Nonsense, and forms that are nearly whole."""

PACKETS = st.sampled_from(["0", "1", "2probe", "3", "40", "40/other,", "41", '42["User_connect"]', "451-", "6", "4"])
EVENTS = st.tuples(
    st.sampled_from(["User_connect", "Admin_connect", "File_create", "File_update", "File_delete", "connect", ""]),
    JSON | st.fixed_dictionaries({}, optional={"token": JSON, "since": JSON | NUMBERS, "id": NUMBERS, "type": TEXT}),
).map(lambda event: f"420{json.dumps(list(event))}")


def _call_of(service: Any, name: str) -> Any:
    """Calls of a method with words that it knows."""
    words = list(inspect.signature(getattr(service, name)).parameters)[1:]
    kwargs = st.fixed_dictionaries({}, optional=dict.fromkeys(words, NUMBERS | NUMBERS.map(str) | JSON))
    return st.tuples(st.just(f"{service.name}.{name}"), st.fixed_dictionaries({"args": st.just([]), "kwargs": kwargs}))


# Calls that change nothing whatever their arguments are: the others would do what they are told.
READING: dict[Any, list[str]] = {
    FilesService: [
        "get",
        "get_many",
        "list",
        "list_many",
        "past",
        "list_past",
        "compare",
        "folders",
        "changes",
        "usage",
    ],
    UsersService: ["get", "list", "list_keys", "list_sessions", "audit", "revocations"],
    Backup: ["versions", "version", "proof", "status", "holds"],
    WebhooksService: ["get", "list", "deliveries"],
}
_KNOWN_CALLS = st.one_of([_call_of(service, name) for service, names in READING.items() for name in names])
_ODD_CALLS = st.tuples(
    st.sampled_from([f"{service.name}.{name}" for service, names in READING.items() for name in names]),
    JSON | st.fixed_dictionaries({"args": JSON, "kwargs": JSON | FIELDS}),
)
CALLS = st.lists(_KNOWN_CALLS | _ODD_CALLS, min_size=5, max_size=15)
