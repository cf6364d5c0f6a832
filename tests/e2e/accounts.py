"""People who use docsave by HTTP, and what they have done."""

from __future__ import annotations

import hashlib
import socket
import uuid
from typing import Any
from urllib.parse import urlsplit

import requests

ANSWER_SECONDS = 60.0
"""A test machine may be busy; an answer that takes longer is a failure."""


class Account:
    """An account that is logged in. Each act that succeeds is added to ``diary`` as the event it must become."""

    def __init__(self, base_url: str, login: str, password: str) -> None:
        self.base_url = base_url
        self.session = requests.Session()
        answer = self._call("POST", "/login", json={"login": login, "password": password})
        assert answer.status_code == 200, answer.text
        self.token: str = answer.json()["access_token"]
        self.session.headers["Authorization"] = f"Bearer {self.token}"
        self.id: int = self._call("GET", "/users/me").json()["id"]
        self.diary: list[tuple[str, int, int, str, str]] = []

    def save(self, name: str, content: bytes, as_form: bool = False) -> dict[str, Any]:
        """Upload a document, as a form or as the raw body."""
        if as_form:
            answer = self._call("POST", "/files", files={"file": (name, content)})
        else:
            answer = self._call("POST", "/files", params={"name": name}, data=content, headers=_length_of(content))
        return self._noted("File_create", answer, 201, content)

    def replace(self, file_id: int, content: bytes) -> dict[str, Any]:
        """Upload new content."""
        answer = self._call("PUT", f"/files/{file_id}/content", data=content, headers=_length_of(content))
        return self._noted("File_update", answer, 200, content)

    def rename(self, file_id: int, name: str) -> dict[str, Any]:
        """Give a document another name."""
        return self._noted("File_update", self._call("PATCH", f"/files/{file_id}", json={"name": name}), 200)

    def delete(self, file: dict[str, Any]) -> None:
        """Put a document, as last seen, into the trash."""
        answer = self._call("DELETE", f"/files/{file['id']}")
        assert answer.status_code == 204, answer.text
        self.diary.append(("File_delete", file["id"], file["version"] + 1, file["name"], file["sha256"]))

    def look(self, file_id: int) -> requests.Response:
        """A document's metadata, or why not."""
        return self._call("GET", f"/files/{file_id}")

    def download(self, file_id: int) -> requests.Response:
        """A document's content, or why not."""
        return self._call("GET", f"/files/{file_id}/content")

    def versions(self, file_id: int) -> list[dict[str, Any]]:
        """What a document has been, newest first; none that is not copied yet."""
        answer = self._call("GET", f"/files/{file_id}/versions")
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    def download_version(self, file_id: int, version: int) -> requests.Response:
        """The content of an earlier version, or why not."""
        return self._call("GET", f"/files/{file_id}/versions/{version}/content")

    def restore_version(self, file_id: int, version: int) -> dict[str, Any]:
        """Make an earlier version, with other content, the current one of a document in the trash."""
        return self._noted("File_create", self._call("POST", f"/files/{file_id}/versions/{version}/restore"), 200)

    def documents(self, **query: Any) -> list[dict[str, Any]]:
        """The list's first page."""
        answer = self._call("GET", "/files", params={"limit": 1000, **query})
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    def save_truncated(self, name: str, announced: int, sent: bytes) -> bytes:
        """Announce more bytes than are sent, end the sending, and return all that the server says to it."""
        where = urlsplit(self.base_url)
        head = (
            f"POST /files?name={name} HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {self.token}\r\n"
            f"Content-Type: text/plain\r\nContent-Length: {announced}\r\n\r\n"
        )
        with socket.create_connection((where.hostname or "", where.port or 80), timeout=ANSWER_SECONDS) as connection:
            connection.sendall(head.encode() + sent)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def _call(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, self.base_url + path, timeout=ANSWER_SECONDS, **options)

    def _noted(
        self, event: str, answer: requests.Response, status: int, content: bytes | None = None
    ) -> dict[str, Any]:
        assert answer.status_code == status, answer.text
        file: dict[str, Any] = answer.json()
        if content is not None:
            assert (file["size"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        self.diary.append((event, file["id"], file["version"], file["name"], file["sha256"]))
        return file


def new_account(base_url: str, name: str) -> Account:
    """A new account whose login begins with ``name``."""
    login, password = f"{name}-{uuid.uuid4().hex[:10]}", f"pass phrase {uuid.uuid4().hex}"
    body = {"login": login, "password": password}
    answer = requests.post(f"{base_url}/users", json=body, timeout=ANSWER_SECONDS)
    assert answer.status_code == 201, answer.text
    return Account(base_url, login, password)


def _length_of(content: bytes) -> dict[str, str]:
    """requests announces no length for an empty body."""
    return {"Content-Length": str(len(content)), "Content-Type": "application/octet-stream"}
