"""What can stop the copying of one version, or of all. None of these leaves the service: status shows them."""

from __future__ import annotations

from docsave_services.errors import DocsaveError


class EntryConflict(Exception):
    """Something else is already where the copy belongs. It is kept; an operator has to look."""

    code = "entry_conflict"


class MalformedEvent(Exception):
    """The journal holds an event that cannot be understood."""

    code = "malformed_event"


class Cancelled(Exception):
    """The service is stopping; the copy was given up and leaves nothing behind."""

    code = "cancelled"


class DirectoryGone(Exception):
    """The backup directory is not the one the service began with; its disk may have been unmounted."""

    code = "directory_gone"


class Refused(Exception):
    """The service will not write; ``state`` and the text are what ``status`` shows."""

    code = "refused"

    def __init__(self, state: str, reason: str) -> None:
        super().__init__(reason)
        self.state = state


def describe(error: BaseException) -> str:
    """One line for the log and for ``status``: a stable word, then what an operator can act on."""
    if isinstance(error, OSError):
        return f"io_error: {error.strerror or type(error).__name__}"
    code = getattr(error, "code", None)
    if isinstance(error, DocsaveError) or isinstance(code, str):
        return f"{code}: {error}"
    return f"unexpected: {error!r}"
