"""The files service on the bus."""

from __future__ import annotations

from typing import Any

from nameko.timer import timer
from sqlalchemy.orm import Session

from docsave_services.contracts import (
    FILE_PROTECTED,
    FILES,
    Change,
    ChangesPage,
    ComparedPage,
    FilePage,
    FolderPage,
    Outcome,
    PageText,
    PastPage,
    ProtectedVersion,
    StoredFile,
    Usage,
    error_of,
)
from docsave_services.db import journal
from docsave_services.db.audit import Actor
from docsave_services.db.provider import Database, check_database
from docsave_services.db.transactions import Transactions
from docsave_services.domain.ids import is_id
from docsave_services.errors import InvalidInput, NotFound
from docsave_services.files import queries
from docsave_services.files.changes import apply_changes
from docsave_services.files.compared import CompareQuery, compare
from docsave_services.files.filters import FileFilters
from docsave_services.files.folder_list import FOLDERS_MAX, FolderQuery, list_folders
from docsave_services.files.holds import note_hold, note_release
from docsave_services.files.list_texts import list_texts
from docsave_services.files.lists import FileQuery, list_files
from docsave_services.files.origins import origins_of
from docsave_services.files.outbox import Outbox, OutboxHandle
from docsave_services.files.past import PastQuery, list_past, past_file
from docsave_services.files.protection import mark_protected, remember_progress
from docsave_services.files.sweeper import INTERVAL_SECONDS as SWEEP_INTERVAL_SECONDS
from docsave_services.files.sweeper import Sweeper, SweeperProvider
from docsave_services.files.usage import usage_of
from docsave_services.files.validation import checked_filter
from docsave_services.files.watch import FilesWatch
from docsave_services.metrics.provider import Metrics
from docsave_services.nameko_ext import CalmCollector, PromptStop, RequestContext, rpc
from docsave_services.settings import Settings, SettingsProvider
from docsave_services.storage import BlobStore

RELAY_INTERVAL_SECONDS = 2.0
APPLY_MAX = 1000
"""Most changes in one call; a longer transaction would keep all others waiting."""

LISTS_MAX = 64
"""Most lists in one call. The gateway asks for few at a time, so that nobody waits for many others' pages."""

# The service has a method called list, so its signatures need other names for lists.
Changes = list[Change]
Lists = list[dict[str, Any]]
PageTexts = list[PageText]
Outcomes = list[Outcome]
Ids = list[int]
FilesOrNone = list[StoredFile | None]
Reports = list[dict[str, int]]
ProtectedVersions = list[ProtectedVersion]
Texts = list[str]


class FilesService:
    """Documents and their journal. Content never comes here: ``path`` and ``blob`` are keys of the blob store."""

    name = FILES

    db: Transactions = Database()
    settings: Settings = SettingsProvider()
    request_id: str | None = RequestContext()
    prompt_stop = PromptStop()
    calm_collector = CalmCollector()
    metrics = Metrics()
    outbox: OutboxHandle = Outbox()
    sweeper: Sweeper = SweeperProvider()
    watch = FilesWatch()

    @rpc
    def apply(self, changes: Changes) -> Outcomes:
        """Apply a batch of changes in one transaction; an outcome for each, in order."""
        _check_objects("changes", changes, APPLY_MAX)
        return self._apply(changes)

    @rpc
    def create(
        self, user_id: int, name: str, blob: str, media_type: str | None = None, by: int | None = None
    ) -> StoredFile:
        """Make a file of the blob with the key ``blob``."""
        return self._one(
            {"op": "create", "by": by, "user_id": user_id, "name": name, "path": blob, "media_type": media_type}
        )

    @rpc
    def update(
        self,
        file_id: int,
        name: str | None = None,
        blob: str | None = None,
        media_type: str | None = None,
        by: int | None = None,
        folder: str | None = None,
        labels: dict[str, str] | None = None,
    ) -> StoredFile:
        """Rename a file, move it, label it, give it new content: what is given is set."""
        change: Change = {"op": "update", "by": by, "file_id": file_id, "media_type": media_type}
        given = {"name": name, "path": blob, "folder": folder, "labels": labels}
        change.update({field: value for field, value in given.items() if value is not None})  # type: ignore[typeddict-item]
        return self._one(change)

    @rpc
    def delete(
        self,
        file_id: int,
        by: int | None = None,
        address: str | None = None,
        session_id: str | None = None,
        key_id: int | None = None,
    ) -> StoredFile:
        """Put a file into the trash; who did it, from where and with what, is written to the audit trail."""
        change: Change = {
            "op": "delete",
            "by": by,
            "file_id": file_id,
            "address": address,
            "session_id": session_id,
            "key_id": key_id,
        }
        return self._one(change)

    @rpc
    def restore(self, file_id: int, by: int | None = None) -> StoredFile:
        """Take a file out of the trash."""
        return self._one({"op": "restore", "by": by, "file_id": file_id})

    @rpc
    def remove(self, file_id: int, by: int | None = None) -> StoredFile:
        """Take a file away for good, out of the trash too. The backup keeps its copies."""
        return self._one({"op": "remove", "by": by, "file_id": file_id})

    @rpc
    def get(self, file_id: int) -> StoredFile:
        """One file, also one in the trash."""
        return self.db.read(lambda s: queries.get_file(s, file_id))

    @rpc
    def get_many(self, file_ids: Ids) -> FilesOrNone:
        """Several files at once; None for one that does not exist or lies in the trash."""
        return self.db.read(lambda s: queries.get_many(s, file_ids))

    @rpc
    def list(
        self,
        user_id: int | None = None,
        limit: int = 100,
        after: str | None = None,
        sort: str | None = None,
        deleted: bool = False,
        **filters: Any,
    ) -> FilePage:
        """A page of a user's files, or of everybody's; the ``filters`` are those of ``FileFilters``."""
        query = FileQuery(user_id, limit, after, sort, deleted, FileFilters.checked(filters))
        return self.db.read(lambda s: list_files(s, query))

    @rpc
    def list_many(self, lists: Lists) -> PageTexts:
        """Pages of several lists, each asked for by the arguments of ``list``, as JSON texts for clients."""
        _check_objects("lists", lists, LISTS_MAX)
        return list_texts(self.db, lists)

    @rpc
    def past(self, file_id: int, at: str) -> StoredFile:
        """One file as of a moment or a cursor; ``not_found`` before its creation and while it lay in the trash."""
        return past_file(self.db, file_id, at)

    @rpc
    def list_past(
        self,
        at: str,
        user_id: int | None = None,
        limit: int = 100,
        after: str | None = None,
        deleted: bool = False,
        folder: str | None = None,
        recursive: bool = False,
    ) -> PastPage:
        """A page of a user's files, or of everybody's, as of a moment or a cursor, in the order of their ids."""
        query = PastQuery(at, user_id, limit=limit, after=after, deleted=deleted, folder=folder, recursive=recursive)
        return list_past(self.db, query)

    @rpc
    def compare(
        self,
        at: str,
        user_id: int | None = None,
        file_id: int | None = None,
        folder: str | None = None,
        after: str | None = None,
        limit: int = 1000,
    ) -> ComparedPage:
        """A page of files as of a moment or a cursor beside what they are now."""
        return compare(self.db, CompareQuery(at, user_id, file_id=file_id, folder=folder, after=after, limit=limit))

    @rpc
    def folders(self, user_id: int, under: str = "", after: str | None = None, limit: int = FOLDERS_MAX) -> FolderPage:
        """The folders of a user's files, or those in one folder and below it."""
        query = FolderQuery(user_id, under, after, limit)
        return self.db.read(lambda s: list_folders(s, query))

    @rpc
    def changes(
        self,
        since: str | int | None = None,
        limit: int = 100,
        user_id: int | None = None,
        types: Texts | None = None,
        folder: str = "",
        labels: Texts | None = None,
    ) -> ChangesPage:
        """Events after ``since`` in commit order, of everybody or of one user's files.

        ``types``, ``folder`` (with what is below it) and ``labels`` (``key`` or ``key=value``) leave out the others.
        """
        wanted = checked_filter(types or [], folder, labels or [])
        return self.db.read(lambda s: journal.read(s, since, limit, user_id, wanted))

    @rpc
    def head(self) -> dict[str, str]:
        """The newest place in the journal."""
        return {"cursor": str(self.db.read(journal.head))}

    @rpc
    def protected(self, items: Reports, through: str | None = None) -> dict[str, int]:
        """The backup's report: copies of these versions are safe, and so is all up to the cursor ``through``."""

        def note(session: Session) -> ProtectedVersions:
            if through is not None:
                remember_progress(session, through)
            return mark_protected(session, items)

        news = self.db.write(note, repeatable=True)
        if news:
            self.outbox.hint(FILE_PROTECTED, {"items": news})
        return {"updated": len(news)}

    @rpc
    def hold(
        self,
        file_id: int,
        user_id: int,
        reason: str,
        version: int | None = None,
        by: int | None = None,
        address: str | None = None,
        session_id: str | None = None,
        key_id: int | None = None,
    ) -> bool:
        """A legal hold that the backup has: the file is not removed for good. Whether it is news; the trail has it."""
        actor = Actor(by, address, session_id, key_id)
        return self.db.write(lambda s: note_hold(s, user_id, file_id, version, reason, actor), repeatable=True)

    @rpc
    def release(
        self,
        file_id: int,
        version: int | None = None,
        by: int | None = None,
        address: str | None = None,
        session_id: str | None = None,
        key_id: int | None = None,
    ) -> bool:
        """A hold is over. Whether there was one; the trail has it."""
        actor = Actor(by, address, session_id, key_id)
        return self.db.write(lambda s: note_release(s, file_id, version, actor), repeatable=True)

    @rpc
    def usage(self, user_id: int) -> Usage:
        """How many files and bytes a user has, the trash included, and the quota."""
        if not is_id(user_id):
            raise NotFound
        return self.db.read(lambda s: usage_of(s, user_id))

    @rpc
    def sweep(self, dry_run: bool = True) -> dict[str, Any]:
        """What the sweeper would remove now; without ``dry_run`` one pass of it, and what that did."""
        if type(dry_run) is not bool:
            raise InvalidInput.for_field("dry_run", "must be true or false")
        return self.sweeper.preview() if dry_run else self.sweeper.sweep(self.outbox.hand_over)

    @rpc
    def health(self) -> dict[str, str]:
        """Whether the database answers."""
        return check_database(self.db)

    @timer(interval=RELAY_INTERVAL_SECONDS)
    def relay(self) -> None:
        """Dispatch the events that a crash or an absent broker left behind."""
        self.outbox.relay()

    @timer(interval=SWEEP_INTERVAL_SECONDS)
    def sweep_regularly(self) -> None:
        """Remove what nobody needs."""
        self.sweeper.sweep_in_turn(self.outbox.hand_over)

    def _apply(self, changes: Changes) -> Outcomes:
        applied = apply_changes(self.db, BlobStore(self.settings.blob_dir), changes)
        self.outbox.hand_over(applied.events, origins_of(changes, applied.outcomes))
        return applied.outcomes

    def _one(self, change: Change) -> StoredFile:
        outcome = self._apply([change])[0]
        if not outcome["ok"]:
            raise error_of(outcome)
        return outcome["file"]


def _check_objects(field: str, given: Any, most: int) -> None:
    if not isinstance(given, list) or len(given) > most or not all(isinstance(one, dict) for one in given):
        raise InvalidInput.for_field(field, f"must be a list of at most {most} {field}")
