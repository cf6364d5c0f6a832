"""The Nameko service ``backup``: copies every version, and answers for what it holds."""

from __future__ import annotations

from typing import Any

from backup.accounts_keeper import AccountsKeeper
from backup.catalogue import UNKNOWN_FILE, version_of, versions_of
from backup.chain import Proof
from backup.engine import ACTIVE, STANDBY, Engine
from backup.extensions import BackupEngine, before_stop
from backup.holds import holds_page, place_hold, release_hold
from backup.proof import proof_of
from backup.verify import Report
from backup.watch import BackupWatch
from docsave_services.contracts import (
    BACKUP,
    FILE_CREATE,
    FILE_DELETE,
    FILE_UPDATE,
    FILES,
    HOLD_REASON_MAX,
    USERS,
    VERSIONS_LIMIT_MAX,
    FileEvent,
    Hold,
    HoldPage,
    StoredVersion,
    VersionPage,
)
from docsave_services.errors import InvalidInput, NotFound, Unavailable
from docsave_services.metrics.provider import Metrics
from docsave_services.nameko_ext import CalmCollector, DeadlineRpc, PromptStop, RequestContext, hint, rpc


class Backup:
    """Events are hints that something happened; what is copied, and that nothing is left out, the journal says.

    So they are broadcast and kept by nobody: every process hears them, the active one at once, and what a process
    that was down did not hear it reads from the journal.
    """

    name = BACKUP

    request_id = RequestContext()
    prompt_stop = PromptStop()
    calm_collector = CalmCollector()
    metrics = Metrics()
    files = DeadlineRpc(FILES)
    users = DeadlineRpc(USERS)
    engine: Engine = BackupEngine()
    accounts = AccountsKeeper()
    watch = BackupWatch()

    @hint(FILES, FILE_CREATE)
    def on_file_create(self, event: FileEvent) -> None:
        """Copy a new file's first version."""
        self.engine.offer(event)

    @hint(FILES, FILE_UPDATE)
    def on_file_update(self, event: FileEvent) -> None:
        """Copy a changed file's new version."""
        self.engine.offer(event)

    @hint(FILES, FILE_DELETE)
    def on_file_delete(self, event: FileEvent) -> None:
        """Record a deletion; no copy is ever removed."""
        self.engine.offer(event)

    @before_stop
    def stop(self) -> None:
        """Give up what is being copied; the next start takes it again."""
        self.engine.stop()

    @rpc
    def versions(self, file_id: int, before: int | None = None, limit: int = VERSIONS_LIMIT_MAX) -> VersionPage:
        """A page of the versions of a file that are safe, newest first, from the directory itself: those below
        ``before``.

        ``not_found`` for a file it does not know, ``unavailable`` while the directory is not there or
        belongs to another journal.
        """
        if not _is_number(file_id) or not (before is None or _is_number(before)):
            raise NotFound(UNKNOWN_FILE)
        if not _is_number(limit) or limit > VERSIONS_LIMIT_MAX:
            raise InvalidInput.for_field("limit", f"must be from 1 to {VERSIONS_LIMIT_MAX}")
        return self.engine.read(versions_of, file_id, before, limit)

    @rpc
    def version(self, file_id: int, version: int) -> StoredVersion:
        """One version, and where its content lies below the directory.

        ``not_found`` for one that is not there (yet), ``unavailable`` while the directory is not there,
        ``blob_damaged`` when its entry cannot be read.
        """
        if not _is_number(file_id) or not _is_number(version):
            raise NotFound(UNKNOWN_FILE)
        return self.engine.read(version_of, file_id, version)

    @rpc
    def proof(self, file_id: int, version: int, size: int | None = None) -> Proof:
        """What an outsider needs to check one version against the head of the history, or against the head that it had
        with ``size`` entries.

        ``not_found`` for one that is not in the chain (yet), ``invalid_input`` for a size that it has not had,
        ``blob_damaged`` when the entry is not the one in the chain.
        """
        if not _is_number(file_id) or not _is_number(version):
            raise NotFound(UNKNOWN_FILE)
        if size is not None and not _is_number(size):
            raise InvalidInput.for_field("size", "must be a whole number from 1 on")
        return self.engine.read(proof_of, file_id, version, size)

    @rpc
    def status(self) -> dict[str, Any]:
        """What the service is doing, how far it has come, and which versions it fails to copy."""
        return self.engine.status()

    @rpc
    def verify(self, repair: bool = False) -> Report:
        """Read every entry again and name each that is changed, added, damaged or missing; with ``repair`` put right
        what something whole is left of, and look into the blob store, too.

        It takes as long as reading the directory does (a few seconds per GB): a caller with a shorter deadline gets
        ``rpc_timeout``, the pass goes on, and whoever calls meanwhile shares it.
        """
        return self.engine.verifier.verify(repair is True)

    @rpc
    def hold(self, file_id: int, reason: str, by: int, version: int | None = None) -> Hold:
        """Put a version, or with ``version`` None all of a file, on hold: no rule of retention gives it up. ``by`` is
        the account that asks. What is held already stays as it is.

        ``not_found`` for what is not in the backup (yet), ``version_thinned`` for what is gone.
        """
        _check_held(file_id, version)
        if not isinstance(reason, str) or not reason.strip() or len(reason) > HOLD_REASON_MAX:
            raise InvalidInput.for_field("reason", f"must have 1 to {HOLD_REASON_MAX} characters")
        if not _is_number(by):
            raise InvalidInput.for_field("by", "must be an account's id")
        return self.engine.read(place_hold, file_id, version, reason, by)

    @rpc
    def release(self, file_id: int, by: int, version: int | None = None) -> Hold:
        """End a hold; it stays on record. ``not_found`` when there is none in force."""
        _check_held(file_id, version)
        return self.engine.read(release_hold, file_id, version, by)

    @rpc
    def holds(self, after: int = 0, released: bool = False) -> HoldPage:
        """Holds in force, and with ``released`` those that ended, of files above ``after``."""
        return self.engine.read(holds_page, after if _is_number(after) else 0, released is True)

    @rpc
    def retain(self, trust_clock: bool = False) -> dict[str, str]:
        """Apply the rules of retention now, in the background; ``status()["retention"]`` tells what was done. With
        ``trust_clock`` also when the clock seems wrong. ``unavailable`` from a process that does not copy."""
        self.engine.retain(trust_clock is True)
        return {"status": "asked"}

    @rpc
    def health(self) -> dict[str, str]:
        """``unavailable`` with the reason unless copies are being made, here or by the process that is active."""
        state, reason = self.engine.condition
        if state not in (ACTIVE, STANDBY):
            raise Unavailable(reason or f"the backup is {state}")
        return {"directory": "ok"}


def _check_held(file_id: object, version: object) -> None:
    if not _is_number(file_id) or not (version is None or _is_number(version)):
        raise NotFound(UNKNOWN_FILE)


def _is_number(value: object) -> bool:
    """Whether it can be an id or a version: nothing else may become part of a path."""
    return type(value) is int and 0 < value < 2**63
