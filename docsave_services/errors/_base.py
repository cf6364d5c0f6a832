"""What every error has: a code, a status, one sentence, and for invalid input the fields that are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from nameko.exceptions import deserialize_to_instance
from typing_extensions import TypedDict


class FieldError(TypedDict):
    """One wrong field of an input and the reason."""

    field: str
    message: str


class DocsaveError(Exception):
    """An error with a code. Only subclasses of this one leave a service; anything else becomes ``internal_error``."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _BY_CODE.setdefault(cls.code, cls)
        deserialize_to_instance(cls)

    def __init__(self, detail: str = "", errors: Sequence[FieldError] | None = None) -> None:
        self.detail = detail or (self.__doc__ or self.title).splitlines()[0]
        self.errors: list[FieldError] = list(errors or [])
        super().__init__(self.detail, self.errors)

    def __str__(self) -> str:
        return self.detail

    @classmethod
    def for_field(cls, field: str, message: str) -> DocsaveError:
        """An error about one field."""
        return cls(f"{field}: {message}", [{"field": field, "message": message}])


_BY_CODE: dict[str, type[DocsaveError]] = {}


class InternalError(DocsaveError):
    """Something went wrong inside docsave; the log has the details under the request's id."""


def error_from_code(code: str, detail: str, errors: Sequence[FieldError] | None = None) -> DocsaveError:
    """The error with that code, as sent inside a batch's outcome; an unknown code gives ``InternalError``."""
    return _BY_CODE.get(code, InternalError)(detail, errors)
