"""Which of the files a list shows: what callers ask for, checked, and the same as conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

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

Column = Callable[[Any], Any]
"""How a column is written in a condition."""


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
        """What a row of ``file`` must fulfil; no index is used for it, but for labels."""
        for text in self.label:
            yield _labels(text).where(FileLabelRow.file_id == FileRow.id).exists()
        for one in self._of_indexed_columns(_without_index):
            yield and_(*one)
        yield from self._of_texts()

    def searches(self, user_id: int, deleted: bool) -> Iterator[Select[int]]:
        """For each filter that has an index, the ids of a user's files that fit it, found by that."""
        for text in self.label:
            yield _labels(text).where(FileLabelRow.user_id == user_id)
        for one in self._of_indexed_columns(lambda column: column):
            yield _listed(user_id, deleted).where(*one)

    def scans(self, user_id: int, deleted: bool) -> Iterator[Select[int]]:
        """For each filter that has none, the same ids, for which all of the user's files are looked through."""
        for one in self._of_texts():
            yield _listed(user_id, deleted).where(one)

    def _of_indexed_columns(self, the: Column) -> Iterator[list[ColumnElement[bool]]]:
        if self.folder is not None and not (self.recursive and self.folder == ROOT):
            yield in_folder(the(FileRow.folder), self.folder, self.recursive)
        for bounds in (self._size, self._created, self._updated):
            if one := list(bounds(the)):
                yield one

    def _of_texts(self) -> Iterator[ColumnElement[bool]]:
        if self.q:
            yield FileRow.name_key.contains(name_key(self.q), autoescape=True)
        if self.media_type is not None:
            yield _of_media_type(self.media_type)

    def _size(self, the: Column) -> Iterator[ColumnElement[bool]]:
        if self.size_min is not None:
            yield the(FileRow.size) >= self.size_min
        if self.size_max is not None:
            yield the(FileRow.size) <= self.size_max

    def _created(self, the: Column) -> Iterator[ColumnElement[bool]]:
        if self.created_after is not None:
            yield the(FileRow.created_at) >= from_text("created_after", self.created_after)
        if self.created_before is not None:
            yield the(FileRow.created_at) < from_text("created_before", self.created_before)

    def _updated(self, the: Column) -> Iterator[ColumnElement[bool]]:
        if self.updated_after is not None:
            yield the(FileRow.updated_at) >= from_text("updated_after", self.updated_after)
        if self.updated_before is not None:
            yield the(FileRow.updated_at) < from_text("updated_before", self.updated_before)


NO_FILTERS = FileFilters()


def in_folder(column: Any, folder: str, recursive: bool) -> list[ColumnElement[bool]]:
    """In that folder or, when ``recursive``, anywhere below it: one range of an index either way."""
    if not recursive:
        return [column == folder]
    # What begins with "folder/" ends before "folder0"; the range also has "folder 2", which the last condition drops.
    return [column >= folder, column < f"{folder}0", or_(column == folder, column > f"{folder}/")]


def _without_index(column: Any) -> ColumnElement[Any]:
    """The same value, but no index is used for it: SQLite would find what fits by one and then sort all of that."""
    return func.coalesce(column, column)


def _listed(user_id: int, deleted: bool) -> Select[int]:
    return select(FileRow.id).where(FileRow.user_id == user_id, FileRow.trashed == deleted)


def _of_media_type(wanted: str) -> ColumnElement[bool]:
    media_type, lowered = func.lower(FileRow.media_type), wanted.lower()
    if lowered.endswith("/*"):
        return media_type.startswith(lowered[:-1], autoescape=True)
    return or_(media_type == lowered, media_type.startswith(f"{lowered};", autoescape=True))


def _labels(text: str) -> Select[int]:
    label, value = label_filter(text)
    found = select(FileLabelRow.file_id).where(FileLabelRow.label == label)
    return found if value is None else found.where(FileLabelRow.value == value)


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
