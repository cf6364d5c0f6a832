"""Which of the files a list shows: what callers ask for, checked, and the same as conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select

from docsave_services.db.file_models import FileLabelRow
from docsave_services.db.models import FileRow
from docsave_services.domain.filters import (
    LABEL_FILTERS_MAX,
    label_filter,
    label_filter_problem,
    media_type_filter_problem,
    search_problem,
)
from docsave_services.domain.folders import ROOT, folder_problem
from docsave_services.errors import FieldError, InvalidInput
from docsave_services.files.rows import name_key
from docsave_services.times import from_text

_LARGEST = 2**63


@dataclass(frozen=True, slots=True)
class FileFilters:
    """All that is given must fit. Sizes are bytes, both ends included; times are RFC 3339, ``after`` included,
    ``before`` not. ``folder`` is one folder, with ``recursive`` also all below it; ``label`` are filters such as
    ``crm.deal=42``, or ``crm.deal`` for any value; ``media_type`` is one, whatever its parameters, or ``image/*``."""

    q: str | None = None
    folder: str | None = None
    recursive: bool = False
    label: tuple[str, ...] = ()
    media_type: str | None = None
    size_min: int | None = None
    size_max: int | None = None
    created_after: str | None = None
    created_before: str | None = None
    updated_after: str | None = None
    updated_before: str | None = None

    @classmethod
    def checked(cls, given: Mapping[str, Any]) -> FileFilters:
        """``given`` without what is None; ``InvalidInput`` that names each wrong or unknown field."""
        values = {field: value for field, value in given.items() if value is not None}
        errors: list[FieldError] = [
            {"field": field, "message": problem}
            for field, value in values.items()
            if (problem := _CHECKS.get(field, _unknown)(value))
        ]
        if errors:
            raise InvalidInput("; ".join(f"{e['field']} {e['message']}" for e in errors), errors)
        for field in _TIMES & values.keys():
            from_text(field, values[field])  # says what is wrong with it
        return cls(**{**values, "label": tuple(values.get("label", ()))})

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """One condition on ``file`` for each filter."""
        if self.q:
            yield FileRow.name_key.contains(name_key(self.q), autoescape=True)
        if self.folder is not None and not (self.recursive and self.folder == ROOT):
            yield in_folder(self.folder, self.recursive)
        if self.media_type is not None:
            yield _of_media_type(self.media_type)
        yield from map(_labelled, self.label)
        yield from self._within_bounds()

    def _within_bounds(self) -> Iterator[ColumnElement[bool]]:
        if self.size_min is not None:
            yield FileRow.size >= self.size_min
        if self.size_max is not None:
            yield FileRow.size <= self.size_max
        for column, after, before in (
            (FileRow.created_at, "created_after", "created_before"),
            (FileRow.updated_at, "updated_after", "updated_before"),
        ):
            if (text := getattr(self, after)) is not None:
                yield column >= from_text(after, text)
            if (text := getattr(self, before)) is not None:
                yield column < from_text(before, text)


NO_FILTERS = FileFilters()


def in_folder(folder: str, recursive: bool) -> ColumnElement[bool]:
    """In that folder or, when ``recursive``, anywhere below it."""
    if not recursive:
        return FileRow.folder == folder
    # All that begins with "folder/": "0" comes after "/" in the order of characters.
    return or_(FileRow.folder == folder, and_(FileRow.folder > f"{folder}/", FileRow.folder < f"{folder}0"))


def _of_media_type(wanted: str) -> ColumnElement[bool]:
    media_type, lowered = func.lower(FileRow.media_type), wanted.lower()
    if lowered.endswith("/*"):
        return media_type.startswith(lowered[:-1], autoescape=True)
    return or_(media_type == lowered, media_type.startswith(f"{lowered};", autoescape=True))


def _labelled(text: str) -> ColumnElement[bool]:
    label, value = label_filter(text)
    found = select(FileLabelRow.file_id).where(FileLabelRow.file_id == FileRow.id, FileLabelRow.label == label)
    return (found if value is None else found.where(FileLabelRow.value == value)).exists()


def _unknown(_value: Any) -> str | None:
    return "is not a known filter"


def _flag_problem(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _size_problem(value: Any) -> str | None:
    return None if type(value) is int and 0 <= value < _LARGEST else "must be a number of bytes"


def _labels_problem(value: Any) -> str | None:
    if not isinstance(value, list | tuple) or len(value) > LABEL_FILTERS_MAX:
        return f"must be a list of at most {LABEL_FILTERS_MAX} filters"
    return next((problem for one in value if (problem := _text(label_filter_problem)(one))), None)


def _text(check: Callable[[str], str | None]) -> Callable[[Any], str | None]:
    return lambda value: check(value) if isinstance(value, str) else "must be text"


_TIMES = {"created_after", "created_before", "updated_after", "updated_before"}
_CHECKS: dict[str, Callable[[Any], str | None]] = {
    "q": _text(search_problem),
    "folder": _text(folder_problem),
    "recursive": _flag_problem,
    "label": _labels_problem,
    "media_type": _text(media_type_filter_problem),
    "size_min": _size_problem,
    "size_max": _size_problem,
    **dict.fromkeys(_TIMES, lambda _: None),
}
