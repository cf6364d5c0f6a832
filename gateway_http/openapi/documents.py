"""Documents: saving, finding, reading, changing."""

from dataclasses import replace

from docsave_services import contracts
from docsave_services.errors import (
    BlobDamaged,
    BlobMissing,
    CursorExpired,
    Forbidden,
    NotDeleted,
    NotFound,
    OnHold,
    PreconditionFailed,
    PreconditionRequired,
    QuotaExceeded,
    RangeNotSatisfiable,
    StorageUnavailable,
)
from gateway_http.openapi import answers
from gateway_http.openapi.vocabulary import BYTES, Answer, Subject, Takes, Told

SAVED = ("ETag", "Idempotent-Replayed", "Preference-Applied")
CONDITIONS = (PreconditionFailed, PreconditionRequired)
DIGESTS = ("Content-Digest", "Repr-Digest")

_CONTENT = ("ETag", "Content-Disposition", "Last-Modified", "Repr-Digest", "Accept-Ranges", "Content-Length")

READING = Told(
    (
        Answer(200, "The bytes.", (BYTES, "*/*"), _CONTENT),
        Answer(206, "The part that `Range` asks for.", (BYTES, "*/*"), (*_CONTENT, "Content-Range")),
        Answer(304, "The client has it already.", None, ("ETag",)),
    ),
    also=(NotFound, PreconditionFailed, RangeNotSatisfiable, BlobDamaged, StorageUnavailable),
    headers=("Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"),
    head=True,
    more="Always an attachment. HEAD gives the headers of the whole.",
)
"""Of any version of a document."""

DOCUMENTS = Subject(
    "Documents",
    "Save, find, read, change and delete documents. Somebody else's is 404.",
    {
        "create_file": Told(
            (Answer(201, "The new file.", contracts.File, ("Location", *SAVED)),),
            also=(QuotaExceeded, StorageUnavailable, BlobMissing),
            headers=(*DIGESTS, "Content-Disposition", "Prefer"),
            takes=Takes.NEW_FILE,
            more="A form with the part `file`, or the content itself, of any media type, named by `name` or by"
            " `Content-Disposition`. `folder` and `labels` are fields of the form or of the query, not of both.",
        ),
        "list_files": Told(
            (Answer(200, "One page.", contracts.FilePage | contracts.PastPage),), also=(Forbidden, CursorExpired)
        ),
        "list_folders": Told((Answer(200, "One page.", contracts.FolderPage),)),
        "get_archive": Told(
            (
                Answer(
                    200, "The ZIP.", ("application/zip",), ("Content-Disposition", "Accept-Ranges", "Content-Length")
                ),
            ),
            also=(NotFound, BlobDamaged, StorageUnavailable),
            head=True,
            more="Give `ids` or `folder`, and not both. Nothing is compressed; names that are alike get a number.",
        ),
        "get_file": Told((Answer(200, "The file.", contracts.File, ("ETag",)),), also=(NotFound, CursorExpired)),
        "get_content": replace(READING, also=(*READING.also, CursorExpired)),
        "create_ticket": Told(
            (Answer(201, "The address.", answers.DownloadTicket),),
            more="For browsers, whose own downloads carry no token. Good for this path alone, as long as the session or"
            " key lasts.",
        ),
        "replace_content": Told(
            (Answer(200, "The file as it is now.", contracts.File, SAVED),),
            also=(NotFound, QuotaExceeded, StorageUnavailable, BlobMissing, *CONDITIONS),
            headers=("If-Match", *DIGESTS, "Prefer"),
            takes=Takes.CONTENT,
            more="The same bytes make no new version. The name stays.",
        ),
        "update_file": Told(
            (Answer(200, "The file as it is now.", contracts.File, SAVED),),
            also=(NotFound, *CONDITIONS),
            headers=("If-Match", "Prefer"),
        ),
        "delete_file": Told(
            (Answer(204, "It is in the trash, or away.", None, ("Idempotent-Replayed",)),),
            also=(NotFound, OnHold, *CONDITIONS),
            headers=("If-Match",),
        ),
        "restore_file": Told(
            (Answer(200, "The file as it is now.", contracts.File, SAVED),),
            also=(NotFound, NotDeleted, QuotaExceeded, BlobMissing, *CONDITIONS),
            headers=("If-Match", "Prefer"),
        ),
        "run_batch": Told(
            (Answer(200, "A result for each operation.", answers.BatchResults, ("Idempotent-Replayed",)),),
            more="One transaction; an operation that is refused leaves the others alone. With an `Idempotency-Key` a"
            " repetition does what was refused the first time.",
        ),
        "get_usage": Told((Answer(200, "The usage.", contracts.Usage),)),
        "save_by_reference": Told(
            (
                Answer(201, "A new file.", contracts.File, ("Location", *SAVED)),
                Answer(200, "The file as it is now.", contracts.File, SAVED),
            ),
            also=(QuotaExceeded, StorageUnavailable, BlobMissing, PreconditionFailed),
            headers=("If-Match", *DIGESTS, "Prefer"),
            takes=Takes.FILE_WITH_FIELDS,
            more="A reference is its account's own. It stays with the file when people rename or move that.",
        ),
        "list_by_reference": Told((Answer(200, "One page.", contracts.FilePage),)),
    },
)
