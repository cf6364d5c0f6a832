"""What each element of a call for many comes to: the one that is refused leaves the others alone."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from docsave_services.errors import DocsaveError, FieldError, error_from_code


class Answer(TypedDict):
    """When ``ok``, what else is in it; otherwise a coded error."""

    ok: bool
    code: NotRequired[str]
    detail: NotRequired[str]
    errors: NotRequired[list[FieldError]]


def error_of(refused: Answer) -> DocsaveError:
    """The error that an answer says, which is not ``ok``."""
    return error_from_code(refused.get("code", ""), refused.get("detail", ""), refused.get("errors"))
