"""The files service as routes use it: whose file it is, what the change is, and the calls that travel together."""

from __future__ import annotations

import uuid
from typing import Any

from docsave_services.contracts import (
    FILES,
    Change,
    File,
    FilePage,
    FolderPage,
    Outcome,
    StoredFile,
    StoredVersion,
    Usage,
)
from docsave_services.domain.folders import ROOT
from docsave_services.errors import Forbidden, InternalError, InvalidInput, NotFound, error_from_code
from docsave_services.nameko_ext import DeadlineRpc, RpcCaller
from docsave_services.storage import UploadState, blob_key
from docsave_services.tokens import Identity
from gateway_http.archive import Member
from gateway_http.coalescer import Coalescer
from gateway_http.limits import ARCHIVE_FILES_MAX, ARCHIVE_PAGE
from gateway_http.preconditions import if_match_of
from gateway_http.request import GatewayRequest
from gateway_http.responses import public_file
from gateway_http.schemas import ArchiveQuery, FileListQuery, FolderListQuery
from gateway_http.upload import Upload


class Documents:
    """The caller's files; an administrator's are everybody's. Somebody else's file does not exist: ``NotFound``."""

    def __init__(
        self,
        call: RpcCaller,
        changes: Coalescer[Change, Outcome],
        lookups: Coalescer[int, StoredFile | None],
    ) -> None:
        self._call = call
        self._changes = changes
        self._lookups = lookups

    def find(self, identity: Identity, file_id: int) -> StoredFile:
        """A file that is not in the trash."""
        file = self._lookups.submit(file_id)
        if file is None or not _may_see(identity, file):
            raise NotFound
        return file

    def find_any(self, identity: Identity, file_id: int) -> StoredFile:
        """A file, also one in the trash."""
        file: StoredFile = self._call("get", file_id=file_id)
        if not _may_see(identity, file):
            raise NotFound
        return file

    def page(self, identity: Identity, query: FileListQuery) -> dict[str, Any]:
        """One page of the list; ``Forbidden`` when a user names whose files to list."""
        if query.user_id is not None and not identity.is_admin:
            raise Forbidden("Only an administrator may list other accounts' files")
        owner = identity.user_id if query.user_id is None else query.user_id
        asked = query.model_dump(exclude={"user_id"}, exclude_unset=True)
        page: FilePage = self._call("list", user_id=None if owner == "all" else owner, **asked)
        return {"items": [public_file(file) for file in page["items"]], "next": page["next"]}

    def chosen(self, identity: Identity, query: ArchiveQuery) -> list[Member]:
        """The files for an archive. ``NotFound`` names each id that is not the caller's, and is for a folder without
        files; ``InvalidInput`` for one with too many."""
        return self._by_ids(identity, query.ids) if query.ids else self._below(identity, query.folder or ROOT)

    def _by_ids(self, identity: Identity, ids: list[int]) -> list[Member]:
        found: list[StoredFile | None] = self._call("get_many", file_ids=ids)
        members = [Member.of(file) for file in found if file is not None and _may_see(identity, file)]
        unknown = set(ids).difference(member.file_id for member in members)
        if unknown:
            raise NotFound("", [{"field": "ids", "message": f"{file_id} is not there"} for file_id in sorted(unknown)])
        return members

    def _below(self, identity: Identity, folder: str) -> list[Member]:
        members: list[Member] = []
        after: str | None = None
        for _ in range(ARCHIVE_FILES_MAX // ARCHIVE_PAGE + 1):
            page: FilePage = self._call(
                "list", user_id=identity.user_id, folder=folder, recursive=True, limit=ARCHIVE_PAGE, after=after
            )
            members += map(Member.of, page["items"])
            after = page["next"]
            if after is None:
                break
        if len(members) > ARCHIVE_FILES_MAX:
            raise InvalidInput.for_field("folder", f"has more than {ARCHIVE_FILES_MAX} files in it and below")
        if not members:
            raise NotFound.for_field("folder", "has no files")
        return members

    def folders(self, identity: Identity, query: FolderListQuery) -> FolderPage:
        """One page of the folders that the caller's files are in."""
        page: FolderPage = self._call("folders", user_id=identity.user_id, **query.model_dump())
        return page

    def create(self, request: GatewayRequest, upload: Upload) -> StoredFile:
        """A new file of the caller."""
        change = _change(request, "create")
        change["user_id"] = request.identity.user_id
        change["name"] = upload.required_name
        change["path"] = upload.blob.key
        change["media_type"] = upload.media_type_or_guess
        return self._apply(change)

    def create_once(self, request: GatewayRequest, upload: UploadState, key: str) -> StoredFile:
        """The file of a resumable upload whose content is the blob ``key``. Asking again makes no second one."""
        change = _change(request, "create")
        change["user_id"] = request.identity.user_id
        change["name"] = upload.name
        change["path"] = key
        change["media_type"] = upload.media_type
        if upload.folder is not None:
            change["folder"] = upload.folder
        if upload.labels is not None:
            change["labels"] = upload.labels
        if upload.change_key is not None:
            change["change_key"] = upload.change_key
        return self._apply(change)

    def usage(self, user_id: int) -> Usage:
        """What a user's files take up, and how much they may."""
        usage: Usage = self._call("usage", user_id=user_id)
        return usage

    def replace_content(self, request: GatewayRequest, file_id: int, upload: Upload) -> StoredFile:
        """New content; the name stays, and so does the media type unless the client says another."""
        change = _change(request, "update", file_id)
        change["path"] = upload.blob.key
        if upload.media_type is not None:
            change["media_type"] = upload.media_type
        return self._apply(change)

    def rename(self, request: GatewayRequest, file_id: int, name: str) -> StoredFile:
        """Another name for the same content."""
        change = _change(request, "update", file_id)
        change["name"] = name
        return self._apply(change)

    def delete(self, request: GatewayRequest, file_id: int) -> None:
        """Into the trash."""
        self._apply(_change(request, "delete", file_id))

    def make_current(self, request: GatewayRequest, file: StoredFile, version: StoredVersion) -> StoredFile:
        """Name, place, labels and content of an earlier version once more, out of the trash if ``file`` lies there.

        What its entry does not tell, because it is of the first release, stays as it is now.
        """
        change = _change(request, "restore" if file["deleted_at"] else "update", file["id"])
        change["name"] = version["name"]
        change["path"] = blob_key(version["sha256"])
        change["media_type"] = version.get("media_type")
        if "folder" in version:
            change["folder"] = version["folder"]
        if "labels" in version:
            change["labels"] = version["labels"]
        tags = if_match_of(request)
        if tags is not None:
            change["if_match"] = tags
        return self._apply(change)

    def _apply(self, change: Change) -> StoredFile:
        outcome = self._changes.submit(change)
        if not outcome["ok"]:
            raise error_from_code(outcome.get("code", ""), outcome.get("detail", ""), outcome.get("errors"))
        if "file" not in outcome:
            raise InternalError
        return outcome["file"]


def _may_see(identity: Identity, file: File) -> bool:
    return identity.is_admin or file["user_id"] == identity.user_id


def _change(request: GatewayRequest, op: Any, file_id: int | None = None) -> Change:
    """What every change says: who acts, with what and from where, whose files it may touch, and a key so that a repeat
    is applied once."""
    identity = request.identity
    change: Change = {
        "op": op,
        "by": identity.user_id,
        "address": request.client_address,
        "session_id": identity.session_id,
        "key_id": identity.key_id,
        "owner": None if identity.is_admin else identity.user_id,
        "change_key": uuid.uuid4().hex,
        "request_id": request.request_id,
    }
    if file_id is not None:
        change["file_id"] = file_id
    return change


class DocumentsProvider(DeadlineRpc):
    """Injects ``Documents``. The waiting lists are the process's, shared by all its requests."""

    def __init__(self) -> None:
        super().__init__(FILES)

    def setup(self) -> None:
        super().setup()
        # Calls that travel together belong to no single request: each change carries its own request id.
        self._changes: Coalescer[Change, Outcome] = Coalescer(
            lambda changes: self.outside_worker()("apply", changes=changes)
        )
        self._lookups: Coalescer[int, StoredFile | None] = Coalescer(
            lambda file_ids: self.outside_worker()("get_many", file_ids=file_ids)
        )

    def get_dependency(self, worker_ctx: Any) -> Documents:  # type: ignore[override] # what routes use it for
        return Documents(super().get_dependency(worker_ctx), self._changes, self._lookups)
