"""The Nameko service ``backup``: copies every version, and answers for what it holds."""

from __future__ import annotations

from typing import Any

from eventlet import tpool
from nameko.events import BROADCAST, event_handler

from backup.catalogue import Version, versions_of
from backup.engine import ACTIVE, STANDBY, Engine
from backup.errors import Refused
from backup.extensions import BackupEngine, before_stop
from backup.verify import Report
from docsave_services.contracts import BACKUP, FILE_CREATE, FILE_DELETE, FILE_UPDATE, FILES, FileEvent
from docsave_services.errors import NotFound, Unavailable
from docsave_services.nameko_ext import DeadlineRpc, PromptStop, RequestContext, rpc


class Backup:
    """Events are hints that something happened; what is copied, and that nothing is left out, the journal says.

    So they are broadcast and kept by nobody: every process hears them, the active one at once, and what a process
    that was down did not hear it reads from the journal.
    """

    name = BACKUP

    request_id = RequestContext()
    prompt_stop = PromptStop()
    files = DeadlineRpc(FILES)
    engine: Engine = BackupEngine()

    @event_handler(FILES, FILE_CREATE, handler_type=BROADCAST, reliable_delivery=False)
    def on_file_create(self, event: FileEvent) -> None:
        """Copy a new file's first version."""
        self.engine.offer(event)

    @event_handler(FILES, FILE_UPDATE, handler_type=BROADCAST, reliable_delivery=False)
    def on_file_update(self, event: FileEvent) -> None:
        """Copy a changed file's new version."""
        self.engine.offer(event)

    @event_handler(FILES, FILE_DELETE, handler_type=BROADCAST, reliable_delivery=False)
    def on_file_delete(self, event: FileEvent) -> None:
        """Record a deletion; no copy is ever removed."""
        self.engine.offer(event)

    @before_stop
    def stop(self) -> None:
        """Give up what is being copied; the next start takes it again."""
        self.engine.stop()

    @rpc
    def versions(self, file_id: int) -> dict[str, list[Version]]:
        """The versions of a file that are safe, newest first, from the directory itself.

        ``not_found`` for a file it does not know, ``unavailable`` while the directory is not there.
        """
        _require_directory(self.engine)
        items = tpool.execute(versions_of, self.engine.home.root, file_id) if type(file_id) is int else []
        if not items:
            raise NotFound("the backup has no version of this file")
        return {"items": items}

    @rpc
    def status(self) -> dict[str, Any]:
        """What the service is doing, how far it has come, and which versions it fails to copy."""
        return self.engine.status()

    @rpc
    def verify(self) -> Report:
        """Read every entry again and name each that is damaged or missing.

        It takes as long as reading the directory does (a few seconds per GB): a caller with a shorter deadline gets
        ``rpc_timeout``, the pass goes on, and whoever calls meanwhile shares it.
        """
        return self.engine.verify()

    @rpc
    def health(self) -> dict[str, str]:
        """``unavailable`` with the reason unless copies are being made, here or by the process that is active."""
        if self.engine.state not in (ACTIVE, STANDBY):
            raise Unavailable(self.engine.reason or f"the backup is {self.engine.state}")
        return {"directory": "ok"}


def _require_directory(engine: Engine) -> None:
    try:
        tpool.execute(engine.home.require_present)
    except Refused as exc:
        raise Unavailable(str(exc)) from exc
    except OSError as exc:
        raise Unavailable("the backup directory cannot be read") from exc
