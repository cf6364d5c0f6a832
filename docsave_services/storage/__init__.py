"""The blob store: content named by its hash, durable before anyone hears of it; and what is still arriving."""

from docsave_services.storage.blobs import BlobStore, StagedBlob, StoredBlob, blob_key, sha256_of_key
from docsave_services.storage.held_upload import HeldUpload
from docsave_services.storage.reading import CHUNK_BYTES
from docsave_services.storage.unfinished import OpenUploads, UnfinishedUploads
from docsave_services.storage.unfinished_sweep import promised_blobs, sweep_unfinished
from docsave_services.storage.upload_files import UploadState

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
