"""Parts of docsave that do not answer."""

from __future__ import annotations

from docsave_services.errors._base import DocsaveError


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
