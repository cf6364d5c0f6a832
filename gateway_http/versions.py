"""The versions of a file: which there are the backup service tells, their bytes come from a view of its directory."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from docsave_services.contracts import BACKUP, FILE_DELETE, StoredFile, StoredVersion, VersionPage
from docsave_services.errors import BlobMissing, NotFound, Unavailable, VersionThinned
from docsave_services.nameko_ext import DeadlineRpc, RpcCaller
from docsave_services.settings import Settings
from docsave_services.storage import BlobStore, blob_key
from gateway_http.backup_view import BackupView, HistorySource, PatchedSource
from gateway_http.blob_access import BlobWriter, in_thread
from gateway_http.content import Content, Source
from gateway_http.download import flow
from gateway_http.outflow import damaged
from gateway_http.schemas import ProofQuery, VersionListQuery

DEFAULT_MEDIA_TYPE = "application/octet-stream"


class Versions:
    """The history of files that the caller may see: whose they are has been looked at before.

    While the backup service or its directory is away, ``Unavailable``.
    """

    def __init__(self, call: RpcCaller, view: BackupView, scratch: Path) -> None:
        self._call = call
        self._view = view
        self._scratch = scratch

    def page(self, file: StoredFile, query: VersionListQuery) -> dict[str, Any]:
        """Versions, newest first; none yet for a file whose first copy is still to be made."""
        try:
            page: VersionPage = self._ask("versions", file_id=file["id"], before=query.after, limit=query.limit)
        except NotFound:
            page = {"items": [], "next": None}
        return {"items": page["items"], "next": None if page["next"] is None else str(page["next"])}

    def find(self, file: StoredFile, number: int) -> StoredVersion:
        """One version with content. ``NotFound``, with the reason, for one that is not there or has none."""
        try:
            version: StoredVersion = self._ask("version", file_id=file["id"], version=number)
        except NotFound as exc:
            made = number <= file["version"]
            raise NotFound("This version is not in the backup yet" if made else "There is no such version") from exc
        if version["user_id"] != file["user_id"]:
            raise NotFound("There is no such version")
        if version["event"] == FILE_DELETE:
            raise NotFound("This version is a deletion: it has no content")
        if version.get("thinned"):
            raise VersionThinned
        return version

    def proof(self, file: StoredFile, number: int, query: ProofQuery) -> dict[str, Any]:
        """What an outsider needs to check one version, deletions included, without this server."""
        proof: dict[str, Any] = self._ask("proof", file_id=file["id"], version=number, size=query.size)
        if proof["entry"]["user_id"] != file["user_id"]:
            raise NotFound("There is no such version")
        return proof

    def content(self, file: StoredFile, version: StoredVersion) -> Content:
        """What the version's bytes are sent as."""
        label = f"file {file['id']} version {version['version']} in the backup"
        if version["path"] is None and not version.get("patches"):
            raise damaged(label)
        return Content(
            name=version["name"],
            media_type=version.get("media_type") or DEFAULT_MEDIA_TYPE,
            size=version["size"],
            sha256=version["sha256"],
            version=version["version"],
            modified=datetime.fromisoformat(version["at"]),
            label=label,
            source=self._source(version),
            relocate=lambda: self._relocated(file, version),
        )

    def _relocated(self, file: StoredFile, version: StoredVersion) -> Source | None:
        """Where the content lies now, if elsewhere: compaction may have given up the plain copy a moment ago."""
        now = self.find(file, version["version"])
        if (now["path"], now.get("patches")) in ((None, None), (version["path"], version.get("patches"))):
            return None
        return self._source(now)

    def _source(self, version: StoredVersion) -> Source:
        path, patches, sha256, size = version["path"], version.get("patches"), version["sha256"], version["size"]
        if path and not patches:
            return HistorySource(self._view, path, sha256, size)
        return PatchedSource(self._view, path, tuple(patches or ()), sha256, size, self._scratch)

    def put_back(self, store: BlobStore, content: Content) -> None:
        """See to it that the blob store has ``content``, durable: the sweeper may have taken it away."""
        if in_thread(_store_has, store, content.sha256, content.size):
            return
        outflow = flow(content, lambda source: source.whole())
        try:
            with BlobWriter(store, content.size) as writer:
                for piece in outflow:
                    writer.write(piece)
                writer.commit()
        finally:
            outflow.close()

    def ensure(self, store: BlobStore, file: StoredFile) -> None:
        """See to it that the blob store has the content of ``file``, a version of its history. ``NotFound`` or
        ``BlobMissing`` when neither of the two has it."""
        if not in_thread(_store_has, store, file["sha256"], file["size"]):
            self.put_back(store, self.content(file, self.find(file, file["version"])))

    def _ask(self, method: str, **arguments: Any) -> Any:
        try:
            return self._call(method, **arguments)
        except Unavailable as exc:
            raise Unavailable(f"Versions cannot be had at the moment: {exc.detail}") from exc


def _store_has(store: BlobStore, sha256: str, size: int) -> bool:
    try:
        return store.reuse(blob_key(sha256)) == size
    except BlobMissing:
        return False


class VersionsProvider(DeadlineRpc):
    """Injects ``Versions``."""

    def __init__(self) -> None:
        super().__init__(BACKUP)

    def setup(self) -> None:
        super().setup()
        settings = Settings.from_config(self.container.config)
        self._view = BackupView(settings.backup_dir.absolute())
        self._scratch = BlobStore(settings.blob_dir.absolute()).staging

    def get_dependency(self, worker_ctx: Any) -> Versions:  # type: ignore[override] # what routes use it for
        return Versions(super().get_dependency(worker_ctx), self._view, self._scratch)
