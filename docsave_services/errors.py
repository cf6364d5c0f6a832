"""Every error docsave answers with: a stable code, an HTTP status, and a docstring an operator can act on.

An error carries one sentence for the person who caused it and, for invalid input, which field is wrong and why.
The classes travel over RPC: Nameko rebuilds one from its ``args``, so every constructor takes what ``args`` holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from nameko.exceptions import deserialize_to_instance
from typing_extensions import TypedDict


class FieldError(TypedDict):
    """One wrong field of an input and the reason."""

    field: str
    message: str


class DocsaveError(Exception):
    """An error with a code. Only subclasses of this one leave a service; anything else becomes ``internal_error``."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _BY_CODE.setdefault(cls.code, cls)
        deserialize_to_instance(cls)

    def __init__(self, detail: str = "", errors: Sequence[FieldError] | None = None) -> None:
        self.detail = detail or (self.__doc__ or self.title).splitlines()[0]
        self.errors: list[FieldError] = list(errors or [])
        super().__init__(self.detail, self.errors)

    def __str__(self) -> str:
        return self.detail

    @classmethod
    def for_field(cls, field: str, message: str) -> DocsaveError:
        """An error about one field."""
        return cls(f"{field}: {message}", [{"field": field, "message": message}])


_BY_CODE: dict[str, type[DocsaveError]] = {}


class InternalError(DocsaveError):
    """Something went wrong inside docsave; the log has the details under the request's id."""


class BadRequest(DocsaveError):
    """The request could not be understood."""

    code = "bad_request"
    status = 400
    title = "Bad request"


class BadJson(BadRequest):
    """The body is not readable JSON."""

    code = "bad_json"


class BadMultipart(BadRequest):
    """The multipart body cannot be read."""

    code = "bad_multipart"


class BodyTruncated(BadRequest):
    """The body ended before its announced length; nothing was kept."""

    code = "body_truncated"


class DigestMismatch(BadRequest):
    """The content does not have the digest that came with it; nothing was kept."""

    code = "digest_mismatch"


class Unauthenticated(DocsaveError):
    """A valid access token is required."""

    code = "unauthenticated"
    status = 401
    title = "Authentication required"


class BadCredentials(DocsaveError):
    """Login or password is wrong."""

    code = "bad_credentials"
    status = 401
    title = "Authentication required"


class Forbidden(DocsaveError):
    """Your account may not do this."""

    code = "forbidden"
    status = 403
    title = "Forbidden"


class InsufficientScope(DocsaveError):
    """This API key does not have the scope that the call needs."""

    code = "insufficient_scope"
    status = 403
    title = "Forbidden"


class WrongPassword(DocsaveError):
    """The current password is wrong."""

    code = "wrong_password"
    status = 403
    title = "Forbidden"


class NotFound(DocsaveError):
    """There is nothing here."""

    code = "not_found"
    status = 404
    title = "Not found"


class MethodNotAllowed(DocsaveError):
    """This path does not support that method."""

    code = "method_not_allowed"
    status = 405
    title = "Method not allowed"


class BodyTimeout(DocsaveError):
    """The body stopped arriving; nothing was kept."""

    code = "body_timeout"
    status = 408
    title = "Request timeout"


class LoginTaken(DocsaveError):
    """Another account has this login."""

    code = "login_taken"
    status = 409
    title = "Conflict"


class LastAdministrator(DocsaveError):
    """This is the last active administrator; make another one first."""

    code = "last_administrator"
    status = 409
    title = "Conflict"


class TooManyKeys(DocsaveError):
    """This account has as many API keys as one may have; revoke one first."""

    code = "too_many_keys"
    status = 409
    title = "Conflict"


class TooManyWebhooks(DocsaveError):
    """This account has as many webhooks as one may have; delete one first."""

    code = "too_many_webhooks"
    status = 409
    title = "Conflict"


class TooManyDeliveries(DocsaveError):
    """As many deliveries as may wait for this webhook have been asked for; wait for them first."""

    code = "too_many_deliveries"
    status = 409
    title = "Conflict"


class OffsetMismatch(DocsaveError):
    """The upload does not stand at this offset; ask for its offset with HEAD and go on from there."""

    code = "offset_mismatch"
    status = 409
    title = "Conflict"


class TooManyUploads(DocsaveError):
    """This account has as many unfinished uploads as one may have; finish or delete one first."""

    code = "too_many_uploads"
    status = 409
    title = "Conflict"


class NotDeleted(DocsaveError):
    """The file is not in the trash."""

    code = "not_deleted"
    status = 409
    title = "Conflict"


class InProgress(DocsaveError):
    """An earlier request with this Idempotency-Key is still under way; repeat it shortly."""

    code = "in_progress"
    status = 409
    title = "Conflict"


class LengthRequired(DocsaveError):
    """Send a Content-Length or use chunked transfer coding."""

    code = "length_required"
    status = 411
    title = "Length required"


class UnsupportedTusVersion(DocsaveError):
    """Send Tus-Resumable: 1.0.0, the only version of the protocol that is spoken here."""

    code = "unsupported_tus_version"
    status = 412
    title = "Precondition failed"


class PreconditionFailed(DocsaveError):
    """The file is not, or no longer, as If-Match says; read it again and decide."""

    code = "precondition_failed"
    status = 412
    title = "Precondition failed"


class TooLarge(DocsaveError):
    """The body is larger than allowed."""

    code = "too_large"
    status = 413
    title = "Content too large"


class QuotaExceeded(DocsaveError):
    """The account's quota does not leave room for this; delete files for good or ask an administrator for more."""

    code = "quota_exceeded"
    status = 413
    title = "Content too large"


class UriTooLong(DocsaveError):
    """The URL is longer than 8 KiB."""

    code = "uri_too_long"
    status = 414
    title = "URI too long"


class UnsupportedMediaType(DocsaveError):
    """The body's media type is not one this call accepts."""

    code = "unsupported_media_type"
    status = 415
    title = "Unsupported media type"


class RangeNotSatisfiable(DocsaveError):
    """The range asked for lies outside the content."""

    code = "range_not_satisfiable"
    status = 416
    title = "Range not satisfiable"


class InvalidInput(DocsaveError):
    """Some of the input is not valid."""

    code = "invalid_input"
    status = 422
    title = "Invalid input"


class IdempotencyKeyReused(DocsaveError):
    """This Idempotency-Key came with another request before; use a new one."""

    code = "idempotency_key_reused"
    status = 422
    title = "Invalid input"


class PreconditionRequired(DocsaveError):
    """Say with If-Match which version you mean to change."""

    code = "precondition_required"
    status = 428
    title = "Precondition required"


class TooManySockets(DocsaveError):
    """This account or address has as many sockets open as one may have; close some first."""

    code = "too_many_sockets"
    status = 429
    title = "Too many requests"


RETRY_AFTER = "retry_after"
"""The field in which ``TooManyRequests`` carries its seconds over the bus; it is no field of the input."""


class TooManyRequests(DocsaveError):
    """Too many attempts; try again after the pause."""

    code = "too_many_requests"
    status = 429
    title = "Too many requests"

    @classmethod
    def after(cls, seconds: int) -> TooManyRequests:
        """The error for a pause of so many seconds; they travel in ``errors``, as the field ``retry_after``."""
        return cls(f"Too many attempts; try again in {seconds} s.", [{"field": RETRY_AFTER, "message": str(seconds)}])

    @property
    def retry_after(self) -> int | None:
        """Seconds until the next attempt may succeed; None when the service did not say."""
        said = next((e["message"] for e in self.errors if e["field"] == RETRY_AFTER), "")
        return int(said) if said.isascii() and said.isdigit() else None


class HeadersTooLarge(DocsaveError):
    """The request's headers are larger than 64 KiB."""

    code = "headers_too_large"
    status = 431
    title = "Request header fields too large"


class CursorExpired(DocsaveError):
    """This cursor belongs to another journal; reload and start from the new one."""

    code = "cursor_expired"
    status = 410
    title = "Cursor expired"


class UploadExpired(DocsaveError):
    """This upload was left alone for too long and is over; start it again."""

    code = "upload_expired"
    status = 410
    title = "Gone"


class VersionThinned(DocsaveError):
    """The content of this version was given up by a rule of retention; its entry in the history stays."""

    code = "version_thinned"
    status = 410
    title = "Gone"


class UploadLocked(DocsaveError):
    """Another request works on this upload; try again shortly."""

    code = "upload_locked"
    status = 423
    title = "Locked"


class ChecksumMismatch(DocsaveError):
    """The piece does not have the checksum that came with it; it was thrown away, send it again."""

    code = "checksum_mismatch"
    status = 460
    title = "Checksum mismatch"


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


class Unavailable(DocsaveError):
    """A part of docsave does not answer at the moment; try again shortly."""

    code = "unavailable"
    status = 503
    title = "Service unavailable"


class RpcTimeout(Unavailable):
    """A service did not answer in time; the outcome is unknown, so look before you repeat."""

    code = "rpc_timeout"


class StorageUnavailable(Unavailable):
    """The blob store cannot be written; the disk may be full."""

    code = "storage_unavailable"


class DatabaseUnavailable(Unavailable):
    """The database does not answer or stays locked."""

    code = "database_unavailable"


def error_from_code(code: str, detail: str, errors: Sequence[FieldError] | None = None) -> DocsaveError:
    """The error with that code, as sent inside a batch's outcome; an unknown code gives ``InternalError``."""
    return _BY_CODE.get(code, InternalError)(detail, errors)
