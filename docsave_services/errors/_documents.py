"""Documents, their versions and their content."""

from __future__ import annotations

from docsave_services.errors._base import DocsaveError
from docsave_services.errors._requests import BadRequest


class DigestMismatch(BadRequest):
    """The content does not have the digest that came with it; nothing was kept."""

    code = "digest_mismatch"


class NotDeleted(DocsaveError):
    """The file is not in the trash."""

    code = "not_deleted"
    status = 409
    title = "Conflict"


class OnHold(DocsaveError):
    """A legal hold keeps the document from being removed for good; an administrator can end it."""

    code = "on_hold"
    status = 409
    title = "Conflict"


class InProgress(DocsaveError):
    """An earlier request with this Idempotency-Key is still under way; repeat it shortly."""

    code = "in_progress"
    status = 409
    title = "Conflict"


class IdempotencyKeyReused(DocsaveError):
    """This Idempotency-Key came with another request before; use a new one."""

    code = "idempotency_key_reused"
    status = 422
    title = "Invalid input"


class PreconditionFailed(DocsaveError):
    """The file is not, or no longer, as If-Match says; read it again and decide."""

    code = "precondition_failed"
    status = 412
    title = "Precondition failed"


class PreconditionRequired(DocsaveError):
    """Say with If-Match which version you mean to change."""

    code = "precondition_required"
    status = 428
    title = "Precondition required"


class QuotaExceeded(DocsaveError):
    """The account's quota does not leave room for this; delete files for good or ask an administrator for more."""

    code = "quota_exceeded"
    status = 413
    title = "Content too large"


class RangeNotSatisfiable(DocsaveError):
    """The range asked for lies outside the content."""

    code = "range_not_satisfiable"
    status = 416
    title = "Range not satisfiable"


class CursorExpired(DocsaveError):
    """This cursor belongs to another journal; reload and start from the new one."""

    code = "cursor_expired"
    status = 410
    title = "Cursor expired"


class VersionThinned(DocsaveError):
    """The content of this version was given up by a rule of retention; its entry in the history stays."""

    code = "version_thinned"
    status = 410
    title = "Gone"


class BlobMissing(DocsaveError):
    """The content named is not in the blob store."""

    code = "blob_missing"
    status = 422
    title = "Invalid input"


class BlobDamaged(DocsaveError):
    """The stored content does not match its hash; restore it from the backup."""

    code = "blob_damaged"
    status = 500
    title = "Internal error"
