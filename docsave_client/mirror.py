"""An off-site backup: every version of every document into a directory, over HTTP and Socket.IO alone."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Self

from docsave_client.archive import Archive, EntryConflict
from docsave_client.backoff import Backoff
from docsave_client.chain import Links
from docsave_client.client import Client
from docsave_client.cursor_file import epoch_of, event_id_of
from docsave_client.downloading import Content, OtherContent, fetch
from docsave_client.durable import write_atomically
from docsave_client.errors import ClientError, Damaged, NotFound, NotReachable, Refused
from docsave_client.following import PATIENCE_SECONDS, Listener
from docsave_client.types import Event

PLACE_NAME = "mirror.json"
LEFT_OUT_NAME = "left_out.jsonl"

WAITING_MAX = 1000
"""Versions that cannot be had yet and are not waited for; with more, the next change waits for them."""

KEEP_SECONDS = 1.0
"""How often the place is written: what was mirrored after it is only looked at once more."""

_NOT_FOUND, _SERVER_ERROR = 404, 500

RETRY = Backoff(first=0.5, longest=60.0)


class _Keeper:
    """Keeps the place before the oldest version that is still awaited: everything up to it is durable.

    With it the link of the entry at that place, from which the chain goes on.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = time.monotonic()
        self._on_disk: dict[str, str] = {}
        self._epoch: str | None = None
        self.links = Links()
        self.waiting: dict[int, _Waiting] = {}
        self._read()

    def load(self) -> str | None:
        return None if self._epoch is None else f"{self._epoch}:{self.links.place}"

    def save(self, cursor: str) -> None:
        self._epoch = epoch_of(cursor)
        if time.monotonic() - self._written > KEEP_SECONDS:
            self.write()

    def write(self) -> None:
        """The place on disk."""
        if self._epoch is None:
            return
        self._written = time.monotonic()
        place, tip = self.links.place, self.links.tip.hex()
        if self.waiting:
            oldest = self.waiting[min(self.waiting)].event
            place, tip = oldest["event_id"] - 1, oldest["previous"]
        state = {"cursor": f"{self._epoch}:{place}", "link": tip}
        if state != self._on_disk:
            write_atomically(self._path, (json.dumps(state) + "\n").encode(), 0o644)
            self._on_disk = state

    def start_over(self) -> None:
        """Another journal: from its first change."""
        self._epoch = None
        self.links = Links()
        self.waiting.clear()

    def _read(self) -> None:
        try:
            state = json.loads(self._path.read_bytes())
            cursor, tip = str(state["cursor"]), bytes.fromhex(state["link"])
            self.links = Links(event_id_of(cursor), tip)
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError) as exc:
            raise ClientError(f"{self._path} cannot be read; delete it to look at everything anew") from exc
        self._epoch, self._on_disk = epoch_of(cursor), state


class _Waiting:
    """A version whose bytes are not to be had yet."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self.tries = 0
        self.due = time.monotonic()

    def later(self) -> None:
        self.due = time.monotonic() + RETRY.pause(self.tries)
        self.tries += 1


class Mirror:
    """Writes what ``client`` (an administrator's) hears into ``directory``, which is its own until the ``with`` block
    ends. ``notice`` is told what goes on.

    A version is taken from the document itself while it is the current one, else from the server's backup, which may
    have it a little later. What can never be had again (removed for good on the server, or in conflict with what is
    here) is named in ``left_out.jsonl``.
    """

    def __init__(self, client: Client, directory: Path, notice: Callable[[str], None] = lambda text: None) -> None:
        self._client = client
        self._notice = notice
        self._archive = Archive(directory)
        self._left_out = directory / LEFT_OUT_NAME
        self._keeper = _Keeper(directory / PLACE_NAME)
        self.mirrored = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_problem: object) -> None:
        try:
            self._keeper.write()
        finally:
            self._archive.close()

    def run(self, once: bool = False, patience: float = PATIENCE_SECONDS) -> None:
        """Mirror until the client's ``stop`` is set; with ``once`` until everything is here that is there now.

        ``NotReachable`` when nothing answered, or nothing was to be had, for ``patience`` seconds.
        """
        listener = Listener(self.take, self._journal_replaced, self._try_waiting, self._notice)
        follower = self._client.follower(listener, self._keeper, admin=True, from_start=True, patience=patience)
        if not once:
            follower.run()
            return
        follower.catch_up()
        self._settle(patience)

    def take(self, event: Event) -> None:
        """One change, durable when this returns, or among those that are awaited."""
        if event.get("relayed"):
            return
        while len(self._keeper.waiting) >= WAITING_MAX:
            self._client.transport.wait(1.0)
            self._try_waiting()
        links = self._keeper.links
        if links.is_repeat(event):
            return
        waiting = _Waiting(links.linked(event))
        if not self._done(waiting):
            self._keeper.waiting[event["event_id"]] = waiting
        links.take(event)

    def _settle(self, patience: float) -> None:
        end = time.monotonic() + patience
        while self._keeper.waiting and not self._client.stop.is_set():
            if time.monotonic() > end:
                raise NotReachable(f"{len(self._keeper.waiting)} versions are not in the server's backup yet")
            self._client.transport.wait(0.2)
            self._try_waiting()

    def _try_waiting(self) -> None:
        now = time.monotonic()
        due = [each for each in self._keeper.waiting.values() if each.due <= now]
        for each in [each for each in due if self._done(each)]:
            del self._keeper.waiting[each.event["event_id"]]
        self._keeper.write()

    def _done(self, waiting: _Waiting) -> bool:
        """Whether nothing is left to do for this version."""
        event = waiting.event
        try:
            if not self._archive.has(event):
                self._archive.add(event, partial(self._fetch, event))
                self.mirrored += 1
                self._notice(f"{event['type']} {event['user_id']}/{event['id']} v{event['version']}")
        except EntryConflict as exc:
            self._leave_out(event, str(exc))
        except NotFound as exc:
            if self._exists(event):
                waiting.later()
                return False
            self._leave_out(event, f"removed for good on the server: {exc.detail}")
        except (Damaged, Refused) as exc:
            if isinstance(exc, Refused) and exc.status < _SERVER_ERROR:
                raise
            self._notice(f"file {event['id']} version {event['version']}: {exc}")
            waiting.later()
            return False
        return True

    def _fetch(self, event: Event, part: Path) -> None:
        base = f"/files/{event['id']}"
        try:
            fetch(self._client.transport, Content(f"{base}/content", event["sha256"], event["size"]), part)
        except (OtherContent, Damaged, Refused) as exc:
            if isinstance(exc, Refused) and exc.status != _NOT_FOUND and exc.status < _SERVER_ERROR:
                raise
            where = f"{base}/versions/{event['version']}/content"
            fetch(self._client.transport, Content(where, event["sha256"], event["size"]), part)

    def _exists(self, event: Event) -> bool:
        """Whether the server still knows the document, be it in the trash."""
        try:
            next(self._client.versions(event["id"]), None)
        except NotFound:
            return False
        return True

    def _leave_out(self, event: Event, reason: str) -> None:
        """Say so for good, then go on: the others must not wait for what never comes."""
        self._notice(f"left out: file {event['id']} version {event['version']}: {reason}")
        with self._left_out.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"reason": reason, "event": event}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _journal_replaced(self) -> None:
        self._notice("the server has another journal (its database was restored): reading all of it once more")
        self._keeper.start_over()
