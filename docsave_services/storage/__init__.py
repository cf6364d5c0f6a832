"""The blob store: content named by its hash, durable before anyone hears of it."""

from docsave_services.storage.blobs import BlobStore, StagedBlob, StoredBlob, blob_key, sha256_of_key
from docsave_services.storage.reading import CHUNK_BYTES

__all__ = ["CHUNK_BYTES", "BlobStore", "StagedBlob", "StoredBlob", "blob_key", "sha256_of_key"]
