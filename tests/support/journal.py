"""Events and their blobs, as the files service would have left them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docsave_services.contracts import FILE_CREATE, FILE_DELETE, FileEvent
from docsave_services.storage import BlobStore

EPOCH = "11111111-2222-4333-8444-555555555555"
AT = "2026-11-24T10:15:00Z"


class Journal:
    """A list of events numbered 1, 2, 3… over a real blob store below ``directory``."""

    def __init__(self, directory: Path, epoch: str = EPOCH) -> None:
        self.blobs = BlobStore(directory / "blobs")
        self.blobs.prepare()
        self.epoch = epoch
        self.events: list[FileEvent] = []

    def add(
        self,
        content: bytes | None = b"content",
        *,
        file_id: int = 7,
        version: int = 1,
        name: str = "report.pdf",
        type: str | None = None,  # noqa: A002 - the contract's field
        user_id: int = 3,
        **changed: Any,
    ) -> FileEvent:
        """One more event; without ``content`` a deletion."""
        staged = self.blobs.stage()
        staged.write(content or b"")
        blob = staged.commit()
        event_id = len(self.events) + 1
        event: dict[str, Any] = {
            "event_id": event_id,
            "type": type or (FILE_DELETE if content is None else FILE_CREATE),
            "id": file_id,
            "user_id": user_id,
            "name": name,
            "path": blob.key,
            "size": blob.size,
            "media_type": "application/octet-stream",
            "sha256": blob.sha256,
            "version": version,
            "at": AT,
            "by": user_id,
            "folder": "",
            "labels": {},
            "permanent": False,
            "cursor": f"{self.epoch}:{event_id}",
        }
        self.events.append({**event, **changed})  # type: ignore[typeddict-item]
        return self.events[-1]

    def blob_path(self, event: FileEvent) -> Path:
        """Where the event's content lies in the blob store."""
        return self.blobs.root / event["path"]
