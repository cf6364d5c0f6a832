"""Resumable uploads (tus 1.0.0)."""

from docsave_services.errors import (
    BadRequest,
    BlobMissing,
    BodyTruncated,
    ChecksumMismatch,
    InvalidInput,
    LengthRequired,
    MethodNotAllowed,
    NotFound,
    OffsetMismatch,
    QuotaExceeded,
    StorageUnavailable,
    TooLarge,
    TooManyUploads,
    UnsupportedMediaType,
    UnsupportedTusVersion,
    UploadExpired,
    UploadLocked,
)
from gateway_http.openapi.vocabulary import Answer, Subject, Takes, Told

_VERSION = "Tus-Resumable"
_STANDS = (_VERSION, "Upload-Offset", "Upload-Expires", "Docsave-File-Id")
_EXISTS = (NotFound, UploadExpired, UploadLocked, UnsupportedTusVersion, StorageUnavailable)
_PIECES = (BodyTruncated, ChecksumMismatch, TooLarge, QuotaExceeded, UnsupportedMediaType, BlobMissing)

UPLOADS = Subject(
    "Resumable uploads",
    "Documents in parts, over several connections. [tus 1.0.0](https://tus.io/protocols/resumable-upload) with"
    " creation, creation-with-upload, creation-defer-length, checksum, termination, expiration. `OPTIONS` tells that."
    " `POST` with `X-HTTP-Method-Override` stands for `PATCH` and `DELETE`.",
    {
        "create_upload": Told(
            (Answer(201, "Where to send the parts.", None, ("Location", *_STANDS)),),
            also=(
                *_PIECES,
                InvalidInput,
                LengthRequired,
                MethodNotAllowed,
                TooManyUploads,
                UnsupportedTusVersion,
                StorageUnavailable,
            ),
            headers=(_VERSION, "Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Checksum"),
            takes=Takes.FIRST_PIECE,
        ),
        "look_at_upload": Told(
            (
                Answer(
                    200,
                    "How much has arrived.",
                    None,
                    (*_STANDS, "Upload-Length", "Upload-Defer-Length", "Upload-Metadata"),
                ),
            ),
            also=(*_EXISTS, QuotaExceeded, BlobMissing),
            headers=(_VERSION,),
        ),
        "continue_upload": Told(
            (Answer(204, "How much has arrived now.", None, _STANDS),),
            also=(*_EXISTS, *_PIECES, BadRequest, LengthRequired, OffsetMismatch),
            headers=(_VERSION, "Upload-Offset", "Upload-Length", "Upload-Checksum"),
            takes=Takes.PIECE,
            more="After the last byte the answer has the id of the new file.",
        ),
        "terminate_upload": Told(
            (Answer(204, "It is given up; a file that it has become stays.", None, (_VERSION,)),),
            also=_EXISTS,
            headers=(_VERSION,),
        ),
    },
)
