"""The client: one object for one account on one server."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit, urlunsplit

import requests

from docsave_client.backoff import Backoff
from docsave_client.cursor_file import CursorFile, CursorKeeper, InMemoryCursor
from docsave_client.downloading import Content, download
from docsave_client.errors import NotFound, Refused
from docsave_client.following import PATIENCE_SECONDS, POLL_SECONDS, Follower, Listener
from docsave_client.sending import Progress, no_progress
from docsave_client.session import Fixed, InMemory, Session, log_in
from docsave_client.transport import ANSWER_SECONDS, Call, Credential, Transport
from docsave_client.types import Changes, Event, File, RestoreStep, Version
from docsave_client.uploading import (
    RESUMABLE_BYTES,
    InParts,
    Wish,
    check_saved,
    one_effect,
    replace_content,
    save_at_once,
)

PAGE_FILES = 1000
_API_PORT, _NOTIFIER_PORT = 8000, 8001


class Client:
    """Documents of one account. Give ``token``, ``key``, or ``login`` and ``password`` (a session that is refreshed,
    and begun again when it is over), or ``credential`` for anything else.

    Every call ends: it is tried again, with growing pauses, only where that can do no harm. It raises ``Refused`` (and
    ``NotFound``, ``NotLoggedIn``, ``CursorExpired``) with the server's ``code``, or ``NotReachable``; ``stop``, once
    set, ends what waits. A client is for one thread at a time.
    """

    def __init__(
        self,
        url: str,
        notifier_url: str | None = None,
        *,
        token: str | None = None,
        key: str | None = None,
        login: str | None = None,
        password: str | None = None,
        credential: Credential | None = None,
        backoff: Backoff | None = None,
        stop: threading.Event | None = None,
        state_dir: Path | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.notifier_url = notifier_url or notifier_url_for(self.url)
        self.stop = stop or threading.Event()
        self._transport = Transport(self.url, backoff, self.stop)
        self._state_dir = state_dir or default_state_dir()
        self._credential = credential or _credential(self.url, token or key, login, password)
        self._transport.credential = self._credential

    def me(self) -> dict[str, Any]:
        """The account; not for keys."""
        return cast(dict[str, Any], self._transport.json(Call("GET", "/users/me")))

    def files(
        self,
        q: str | None = None,
        *,
        folder: str | None = None,
        recursive: bool = False,
        labels: Sequence[str] = (),
        sort: str | None = None,
        deleted: bool = False,
        user_id: int | str | None = None,
    ) -> Iterator[File]:
        """All documents that fit, page by page. A label is ``key`` or ``key=value``; ``deleted``: the trash."""
        query = [(name, str(value)) for name, value in (("q", q), ("folder", folder), ("sort", sort)) if value]
        query += [("label", label) for label in labels]
        query += [(name, "true") for name, wanted in (("recursive", recursive), ("deleted", deleted)) if wanted]
        query += [] if user_id is None else [("user_id", str(user_id))]
        yield from self._pages("/files", [*query, ("limit", str(PAGE_FILES))])

    def file(self, file_id: int) -> File:
        """One document that is not in the trash."""
        return cast(File, self._transport.json(Call("GET", f"/files/{file_id}")))

    def upload(
        self,
        path: Path | str,
        name: str | None = None,
        *,
        folder: str = "",
        labels: Mapping[str, str] | None = None,
        progress: Progress = no_progress,
        resumable_from: int = RESUMABLE_BYTES,
    ) -> File:
        """Save a file as a new document.

        From ``resumable_from`` bytes on it goes in parts: when it breaks off, the same call goes on where it was, also
        in another process. Whatever is sent again makes no second document.
        """
        wish = Wish.of(Path(path), name, folder, labels)
        if wish.size >= max(1, resumable_from):
            file = self.file(InParts(self._transport, wish, self._state_dir / "uploads", progress).run())
        else:
            file = cast(File, save_at_once(self._transport, wish, progress))
        check_saved(file, wish)
        return file

    def replace(
        self,
        file_id: int,
        path: Path | str,
        *,
        if_match: str | None = None,
        progress: Progress = no_progress,
    ) -> File:
        """Give a document new content. ``if_match`` (its ETag, or ``"v3"``) refuses it when it is not as you think."""
        wish = Wish.of(Path(path), None, "", None)
        file = replace_content(self._transport, file_id, wish, if_match, progress)
        check_saved(file, wish)
        return cast(File, file)

    def download(
        self, file_id: int, target: Path | str, *, version: int | None = None, progress: Progress = no_progress
    ) -> Path:
        """Fetch a document, or one of its versions, to ``target``: complete and checked, or not there at all. One that
        broke off goes on where it was."""
        described: Any = self.file(file_id) if version is None else self.version(file_id, version)
        where = f"/files/{file_id}" + ("" if version is None else f"/versions/{version}") + "/content"
        content = Content(where, described["sha256"], described["size"])
        download(self._transport, content, Path(target), progress)
        return Path(target)

    def rename(self, file_id: int, name: str, *, if_match: str | None = None) -> File:
        """Another name for a document."""
        return cast(File, self._changed("PATCH", f"/files/{file_id}", if_match, {"name": name}).json())

    def delete(self, file_id: int, *, if_match: str | None = None) -> None:
        """Put a document into the trash."""
        self._changed("DELETE", f"/files/{file_id}", if_match)

    def restore(self, file_id: int, *, if_match: str | None = None) -> File:
        """Take a document out of the trash."""
        return cast(File, self._changed("POST", f"/files/{file_id}/restore", if_match).json())

    def versions(self, file_id: int) -> Iterator[Version]:
        """What a document has been, newest first, also one in the trash. The newest may still be missing: versions
        appear here once they are in the backup."""
        yield from self._pages(f"/files/{file_id}/versions", [])

    def version(self, file_id: int, number: int) -> Version:
        """One version; ``NotFound`` when it is not in the backup."""
        query = [("after", str(number + 1)), ("limit", "1")]
        page = self._transport.json(Call("GET", f"/files/{file_id}/versions", query))
        for item in page["items"]:
            if item["version"] == number:
                return cast(Version, item)
        raise NotFound("not_found", 404, f"File {file_id} has no version {number} in the backup")

    def restore_version(self, file_id: int, number: int, *, if_match: str | None = None) -> File:
        """Make an earlier version the current one, as a new version."""
        return cast(File, self._changed("POST", f"/files/{file_id}/versions/{number}/restore", if_match).json())

    def restore_as_of(
        self,
        at: str,
        scope: Literal["all"] | Mapping[str, Any],
        *,
        dry_run: bool = False,
        trash_newer: bool = False,
    ) -> Iterator[RestoreStep]:
        """Make documents what they were at ``at`` (a time, or a cursor), as new versions; each that was not so, and
        what became of it. ``scope`` is ``{"file": id}``, ``{"folder": path}``, ``{"user": id}``, both of these, or
        ``"all"``. ``dry_run`` only tells; ``trash_newer`` puts what came since into the trash."""
        order: dict[str, Any] = {"scope": scope, "at": at, "dry_run": dry_run, "trash_newer": trash_newer}
        while True:
            page = self._transport.json(Call("POST", "/restore", json=order))
            yield from page["items"]
            if page["next"] is None:
                return
            order["after"] = page["next"]

    def changes(
        self,
        since: str | None = None,
        *,
        limit: int = 100,
        wait: int = 0,
        types: Sequence[str] = (),
        folder: str | None = None,
        labels: Sequence[str] = (),
    ) -> Changes:
        """A page of the feed after ``since`` (a cursor; ``now``; None: the first change), which waits up to ``wait``
        seconds for one. ``CursorExpired``: reload, and go on from ``now``."""
        query = [("limit", str(limit)), ("wait", str(wait))]
        query += [(name, value) for name, value in (("since", since), ("folder", folder)) if value]
        query += [("type", each) for each in types] + [("label", each) for each in labels]
        page = self._transport.json(Call("GET", "/changes", query, answer_seconds=ANSWER_SECONDS + POLL_SECONDS))
        return cast(Changes, page)

    def follow(
        self,
        handle: Callable[[Event], None],
        *,
        since: str | None = None,
        cursor_file: Path | str | None = None,
        keeper: CursorKeeper | None = None,
        admin: bool = False,
        from_start: bool = False,
        reload: Callable[[], None] = lambda: None,
        idle: Callable[[], None] = lambda: None,
        notice: Callable[[str], None] = lambda text: None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """Hand every change to ``handle``, in order and once, until ``stop`` is set; after breaks what was missed.

        It begins after the cursor in ``cursor_file`` (written after each change that was handled), else after
        ``since``, else now, or with ``from_start`` at the first change. ``admin``: everybody's changes. ``reload`` is
        called when the journal was replaced and nothing known before counts any more. ``NotReachable`` when nothing
        has answered for ``patience`` seconds.
        """
        if keeper is None:
            keeper = CursorFile(Path(cursor_file), since) if cursor_file else InMemoryCursor(since)
        self.follower(
            Listener(handle, reload, idle, notice), keeper, admin=admin, from_start=from_start, patience=patience
        ).run()

    def follower(
        self,
        listener: Listener,
        keeper: CursorKeeper,
        *,
        admin: bool,
        from_start: bool,
        patience: float = PATIENCE_SECONDS,
    ) -> Follower:
        """What ``follow`` runs, for who wants to run a part of it."""
        return Follower(
            self,
            self.notifier_url,
            self._credential,
            listener,
            keeper,
            admin=admin,
            from_start=from_start,
            stop=self.stop,
            patience=patience,
        )

    def own_user_id(self) -> int | None:
        """The account's id; None for a key, which may not ask."""
        try:
            return cast(int, self.me()["id"])
        except Refused as exc:
            if exc.status == 403:
                return None
            raise

    @property
    def transport(self) -> Transport:
        """For calls that have no method here."""
        return self._transport

    def _changed(self, method: str, path: str, if_match: str | None, json: Any = None) -> requests.Response:
        headers = one_effect() | ({"If-Match": if_match} if if_match else {})
        return self._transport.send(Call(method, path, json=json, headers=headers))

    def _pages(self, path: str, query: Sequence[tuple[str, str]]) -> Iterator[Any]:
        after: str | None = None
        while True:
            page = self._transport.json(Call("GET", path, [*query, *([("after", after)] if after else [])]))
            yield from page["items"]
            after = page["next"]
            if after is None:
                return


def notifier_url_for(url: str) -> str:
    """Where Socket.IO is when nobody says: on the next port of a plain installation, else at the same address."""
    parts = urlsplit(url)
    if parts.port != _API_PORT:
        return urlunsplit((parts.scheme, parts.netloc, "", "", ""))
    host = parts.netloc.rpartition(":")[0]
    return urlunsplit((parts.scheme, f"{host}:{_NOTIFIER_PORT}", "", "", ""))


def default_state_dir() -> Path:
    """Where unfinished uploads are remembered (XDG base directories)."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "docsave"


def _credential(url: str, token: str | None, login: str | None, password: str | None) -> Credential:
    if token is not None:
        return Fixed(token)
    if login is None or password is None:
        raise ValueError("give a token, a key, or login and password")
    return Session(url, InMemory(), lambda: log_in(Transport(url), login, password))
