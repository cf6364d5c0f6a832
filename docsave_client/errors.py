"""What can go wrong, as exceptions: the server said no, could not be reached, or the bytes are not the right ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict


class FieldProblem(TypedDict):
    """One wrong field of a request and the reason."""

    field: str
    message: str


class ClientError(Exception):
    """Every error of this package."""


class NotReachable(ClientError):
    """No answer came, or only "try again", as often as was tried. Whether a change was made is unknown."""


class Damaged(ClientError):
    """The bytes that arrived are not those that were saved. Nothing was kept."""


class StoppedByCaller(ClientError):
    """The caller's ``stop`` was set while something was waited for."""


class Refused(ClientError):
    """The server's answer to a request that it does not carry out: see ``code`` (a word that never changes)."""

    def __init__(
        self,
        code: str,
        status: int,
        detail: str,
        errors: Sequence[FieldProblem] = (),
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.status = status
        self.detail = detail
        self.errors = list(errors)
        self.request_id = request_id
        self.retry_after = retry_after


class NotLoggedIn(Refused):
    """The token or key is not, or no longer, good: log in again."""


class NotFound(Refused):
    """It does not exist, or is somebody else's."""


class CursorExpired(Refused):
    """The cursor belongs to another journal: the database was restored. Reload, then go on from the present."""


_BY_STATUS: dict[int, type[Refused]] = {401: NotLoggedIn, 404: NotFound}
_BY_CODE: dict[str, type[Refused]] = {"cursor_expired": CursorExpired}


def refusal(
    code: str,
    status: int,
    detail: str,
    errors: Sequence[FieldProblem] = (),
    request_id: str | None = None,
    retry_after: float | None = None,
) -> Refused:
    """The exception for an answer."""
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, Refused)
    return kind(code, status, detail, errors, request_id, retry_after)
