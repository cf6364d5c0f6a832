"""The files service as routes use it: whose file it is, what the change is, and the calls that travel together."""

from __future__ import annotations

from typing import Any

from werkzeug.wrappers import Response

from docsave_services.contracts import (
    FILES,
    Change,
    ChangeOp,
    File,
    FilePage,
    FolderPage,
    Outcome,
    Reference,
    StoredFile,
    StoredVersion,
    Usage,
)
from docsave_services.domain.folders import ROOT
from docsave_services.errors import (
    BlobMissing,
    Forbidden,
    InvalidInput,
    NotFound,
    PreconditionFailed,
    QuotaExceeded,
)
from docsave_services.nameko_ext import DeadlineRpc, RpcCaller
from docsave_services.storage import UploadState, blob_key
from docsave_services.tokens import Identity
from gateway_http.archive import Member
from gateway_http.coalescer import Coalescer
from gateway_http.limits import ARCHIVE_FILES_MAX, ARCHIVE_PAGE
from gateway_http.lists import Lists
from gateway_http.preconditions import check_if_match, if_match_of, optional_if_match_of
from gateway_http.quota import Allowance, RefusedUsers
from gateway_http.request import GatewayRequest
from gateway_http.responses import Saved
from gateway_http.schemas import ArchiveQuery, FileListQuery, FilePatch, FolderListQuery, ReferenceListQuery
from gateway_http.upload import Expected, Upload
from gateway_http.wanted_change import change_of, saved_by, under_key, with_upload


class Documents:
    """The caller's files; an administrator's are everybody's. Somebody else's file does not exist: ``NotFound``."""

    def __init__(
        self,
        call: RpcCaller,
        changes: Coalescer[Change, Outcome],
        lookups: Coalescer[int, StoredFile | None],
        lists: Lists,
        refused: RefusedUsers,
    ) -> None:
        self._call = call
        self._changes = changes
        self._lookups = lookups
        self._lists = lists
        self._refused = refused

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

    def page(self, identity: Identity, query: FileListQuery) -> Response:
        """One page of the list; ``Forbidden`` when a user names whose files to list."""
        if query.user_id is not None and not identity.is_admin:
            raise Forbidden("Only an administrator may list other accounts' files")
        owner = identity.user_id if query.user_id is None else query.user_id
        asked = query.model_dump(exclude={"user_id"}, exclude_unset=True)
        return self._lists.page({"user_id": None if owner == "all" else owner, **asked})

    def with_label(self, identity: Identity, label: str, query: ReferenceListQuery) -> Response:
        """One page of the caller's files that carry this label."""
        return self._lists.page({"user_id": identity.user_id, "label": [label], **query.model_dump()})

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

    def usage(self, user_id: int) -> Usage:
        """What a user's files take up, and how much they may."""
        usage: Usage = self._call("usage", user_id=user_id)
        return usage

    def new_file(self, request: GatewayRequest) -> Expected:
        """What to hold a new file of the caller against while it streams."""
        return Expected(self._allowance(request.identity.user_id, 0))

    def new_content(self, request: GatewayRequest, file_id: int) -> Expected:
        """The same for new content of a file, which is looked at first: nobody's bytes are taken for nothing."""
        tags = if_match_of(request)
        try:
            file = self.find(request.identity, file_id)
            check_if_match(tags, file)
        except (NotFound, PreconditionFailed) as exc:
            if request.idempotency_key is None:
                raise
            return Expected(self._allowance(request.identity.user_id, 0), refusal=exc)
        return Expected(self._allowance(file["user_id"], file["size"]), file["name"])

    def content_by_reference(self, request: GatewayRequest, reference: Reference) -> Expected:
        """The same for content of the file that a reference names, whichever that is."""
        return Expected(self._allowance(request.identity.user_id, None), reference["name"])

    def create(self, request: GatewayRequest, upload: Upload) -> Saved:
        """A new file of the caller."""
        change = change_of(request, "create")
        change["user_id"] = request.identity.user_id
        change["name"] = upload.name
        return self._apply_upload(request, change, upload)

    def create_once(self, request: GatewayRequest, upload: UploadState, key: str) -> StoredFile:
        """The file of a resumable upload whose content is the blob ``key``. Asking again makes no second one."""
        change = change_of(request, "create")
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
        return self._apply(request, change).file

    def replace_content(self, request: GatewayRequest, file_id: int, upload: Upload) -> Saved:
        """New content; the name stays, the media type is that of the content."""
        change = change_of(request, "update", file_id, if_match_of(request))
        return self._apply_upload(request, change, upload)

    def save_by_reference(self, request: GatewayRequest, reference: Reference, upload: Upload) -> Saved:
        """Content of the caller's file that another system's reference names; made if there is none."""
        change = change_of(request, "save", if_match=optional_if_match_of(request))
        change["user_id"] = request.identity.user_id
        change["name"] = reference["name"]
        change["ref"] = reference
        return self._apply_upload(request, change, upload)

    def update(self, request: GatewayRequest, file_id: int, patch: FilePatch) -> Saved:
        """Another name, folder or labels for the same content."""
        change = change_of(request, "update", file_id, if_match_of(request))
        change.update(patch.model_dump(exclude_unset=True))  # type: ignore[typeddict-item] # its fields are the change's
        return self._apply(request, change)

    def delete(self, request: GatewayRequest, file_id: int, permanent: bool) -> Saved:
        """Into the trash, or away for good."""
        op: ChangeOp = "remove" if permanent else "delete"
        return self._apply(request, change_of(request, op, file_id, if_match_of(request)))

    def restore(self, request: GatewayRequest, file_id: int) -> Saved:
        """Out of the trash."""
        return self._apply(request, change_of(request, "restore", file_id, if_match_of(request)))

    def find_to_restore(self, request: GatewayRequest, file_id: int) -> StoredFile:
        """A file, also one in the trash, that fits ``If-Match``: looked at before content is copied for nothing.

        With an ``Idempotency-Key`` only the transaction can tell, for an earlier request may have changed the file.
        """
        tags = if_match_of(request)
        file = self.find_any(request.identity, file_id)
        if request.idempotency_key is None:
            check_if_match(tags, file)
        return file

    def make_current(self, request: GatewayRequest, file: StoredFile, version: StoredVersion) -> Saved:
        """Name, place, labels and content of an earlier version once more, out of the trash if ``file`` lies there.

        What its entry does not tell, because it is of the first release, stays as it is now.
        """
        change = change_of(request, "update", file["id"], if_match_of(request))
        change["name"] = version["name"]
        change["path"] = blob_key(version["sha256"])
        change["media_type"] = version.get("media_type")
        if "folder" in version:
            change["folder"] = version["folder"]
        if "labels" in version:
            change["labels"] = version["labels"]
        under_key(request.idempotency_key, change)
        if file["deleted_at"]:
            change["op"] = "restore"  # not so in a repetition, which finds the file where the first request put it
        return saved_by(change, self._changes.submit(change))

    def apply_all(self, changes: list[Change]) -> list[Outcome]:
        """Apply many changes in one transaction, an outcome for each."""
        outcomes: list[Outcome] = self._call("apply", changes=changes)
        return outcomes

    def _apply(self, request: GatewayRequest, change: Change) -> Saved:
        under_key(request.idempotency_key, change)
        return saved_by(change, self._changes.submit(change))

    def _apply_upload(self, request: GatewayRequest, change: Change, upload: Upload) -> Saved:
        try:
            return self._apply(request, with_upload(change, upload))
        except QuotaExceeded:
            upload.allowance.exceeded()
            raise
        except BlobMissing as exc:
            # It was not kept, because of a refusal that may not hold for a repetition. This is none.
            raise upload.refusal or exc from exc

    def _allowance(self, user_id: int, replaced: int | None) -> Allowance:
        return Allowance(user_id, lambda: self.usage(user_id), self._refused, replaced)


def _may_see(identity: Identity, file: File) -> bool:
    return identity.is_admin or file["user_id"] == identity.user_id


class DocumentsProvider(DeadlineRpc):
    """Injects ``Documents``. Waiting lists, and whose content did not fit, are the process's, for all its requests."""

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
        self._lists = Lists(lambda lists: self.outside_worker()("list_many", lists=lists))
        self._refused = RefusedUsers()

    def get_dependency(self, worker_ctx: Any) -> Documents:  # type: ignore[override] # what routes use it for
        call = super().get_dependency(worker_ctx)
        return Documents(call, self._changes, self._lookups, self._lists, self._refused)
