"""Versions, proofs, restoring."""

from dataclasses import replace

from docsave_services import contracts
from docsave_services.errors import (
    BlobDamaged,
    BlobMissing,
    CursorExpired,
    Forbidden,
    NotFound,
    QuotaExceeded,
    StorageUnavailable,
    VersionThinned,
)
from gateway_http.openapi import answers
from gateway_http.openapi.documents import CONDITIONS, READING, SAVED
from gateway_http.openapi.vocabulary import Answer, Subject, Told

HISTORY = Subject(
    "History",
    "What documents have been: every version, from the backup.",
    {
        "list_versions": Told((Answer(200, "One page.", answers.Versions),), also=(NotFound,)),
        "get_version_content": replace(READING, also=(*READING.also, VersionThinned)),
        "get_version_proof": Told(
            (Answer(200, "The proof.", answers.VersionProof),),
            also=(NotFound, BlobDamaged),
            more="For a deletion too. `size` is that of a head of the history which one knows.",
        ),
        "restore_version": Told(
            (Answer(200, "The file as it is now.", contracts.File, SAVED),),
            also=(
                NotFound,
                VersionThinned,
                QuotaExceeded,
                BlobDamaged,
                BlobMissing,
                StorageUnavailable,
                *CONDITIONS,
            ),
            headers=("If-Match", "Prefer"),
        ),
        "hold_file": Told(
            (Answer(200, "The hold.", contracts.Hold),),
            also=(NotFound, BlobDamaged),
            more="What is held already stays as it was. Copies in the backup are held; the document itself may still be"
            " changed and put into the trash, but not removed for good (409 `on_hold`).",
        ),
        "release_file": Told((Answer(204, "It is over."),), also=(NotFound, BlobDamaged)),
        "hold_version": Told((Answer(200, "The hold.", contracts.Hold),), also=(NotFound, VersionThinned, BlobDamaged)),
        "release_version": Told((Answer(204, "It is over."),), also=(NotFound, BlobDamaged)),
        "list_holds": Told((Answer(200, "One page.", answers.HoldList),), also=(BlobDamaged,)),
        "restore_all": Told(
            (Answer(200, "What was done, or would be.", answers.RestoreReport),),
            also=(Forbidden, NotFound, CursorExpired),
            more="Begin with `dry_run`. Nothing is undone that somebody changes meanwhile; the same order again does"
            " nothing more.",
        ),
    },
)
