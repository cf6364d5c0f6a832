"""Resumable uploads."""

from __future__ import annotations

from docsave_services.errors._base import DocsaveError


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


class UnsupportedTusVersion(DocsaveError):
    """Send Tus-Resumable: 1.0.0, the only version of the protocol that is spoken here."""

    code = "unsupported_tus_version"
    status = 412
    title = "Precondition failed"


class UploadExpired(DocsaveError):
    """This upload was left alone for too long and is over; start it again."""

    code = "upload_expired"
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
