"""Files as they were at a moment or a cursor. The files service says what they were, by its journal."""

from __future__ import annotations

from typing import Any

from docsave_services.contracts import FILES, PastPage, StoredFile
from docsave_services.errors import BlobDamaged, BlobMissing, Forbidden, NotFound
from docsave_services.nameko_ext import DeadlineRpc, RpcCaller
from docsave_services.storage import BlobStore
from docsave_services.tokens import Identity
from gateway_http.blob_access import in_thread
from gateway_http.content import Content, content_of_file
from gateway_http.responses import public_file
from gateway_http.schemas import WITH_AT, FileListQuery
from gateway_http.versions import Versions


class Past:
    """The caller's files of then; an administrator's are everybody's. Somebody else's file was never there."""

    def __init__(self, call: RpcCaller) -> None:
        self._call = call

    def page(self, identity: Identity, query: FileListQuery) -> dict[str, Any]:
        """One page of the list, in the order of ids; ``at`` in it is the cursor of the place that was read."""
        if query.user_id is not None and not identity.is_admin:
            raise Forbidden("Only an administrator may list other accounts' files")
        owner = identity.user_id if query.user_id is None else query.user_id
        asked = query.model_dump(include={"at", *WITH_AT} - {"user_id"})
        page: PastPage = self._call("list_past", user_id=None if owner == "all" else owner, **asked)
        return {**page, "items": [public_file(file) for file in page["items"]]}

    def find(self, identity: Identity, file_id: int, at: str) -> StoredFile:
        """A file; ``NotFound`` before it was made, while it lay in the trash, and after its removal."""
        file: StoredFile = self._call("past", file_id=file_id, at=at)
        if not (identity.is_admin or file["user_id"] == identity.user_id):
            raise NotFound
        return file


def past_content(store: BlobStore, versions: Versions, file: StoredFile) -> Content:
    """The content of a file of then: from the blob store if it has it still, else from the backup's history."""
    content = content_of_file(store, file)
    try:
        in_thread(content.source.check)
    except (BlobMissing, BlobDamaged):
        return versions.content(file, versions.find(file, file["version"]))
    return content


class PastProvider(DeadlineRpc):
    """Injects ``Past``."""

    def __init__(self) -> None:
        super().__init__(FILES)

    def get_dependency(self, worker_ctx: Any) -> Past:  # type: ignore[override] # what routes use it for
        return Past(super().get_dependency(worker_ctx))
