"""The blob store: content named by its hash, durable before anyone hears of it; and what is still arriving."""

from docsave_services.storage.blobs import BlobStore, StagedBlob, StoredBlob, blob_key, sha256_of_key
from docsave_services.storage.reading import CHUNK_BYTES
from docsave_services.storage.unfinished import (
    HeldUpload,
    OpenUploads,
    UnfinishedUploads,
    UploadState,
    promised_blobs,
    sweep_unfinished,
)

__all__ = [
    "CHUNK_BYTES",
    "BlobStore",
    "HeldUpload",
    "OpenUploads",
    "StagedBlob",
    "StoredBlob",
    "UnfinishedUploads",
    "UploadState",
    "blob_key",
    "promised_blobs",
    "sha256_of_key",
    "sweep_unfinished",
]
