"""Documents: what may be said of one, and which of them to list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from docsave_services.domain.filters import LABEL_FILTERS_MAX, media_type_filter_problem, search_problem
from docsave_services.errors import InvalidInput
from gateway_http.limits import ARCHIVE_IDS_MAX
from gateway_http.schemas import _shapes as shapes
from gateway_http.schemas._downloads import TakesTicket
from gateway_http.schemas._kinds import (
    After,
    Bytes,
    FileId,
    FileName,
    FolderPath,
    LabelFilter,
    Labels,
    Limit,
    Moment,
    Place,
    distinct_ids,
    flag,
    good,
    object_in_text,
    whole_number,
)
from gateway_http.schemas._reading import SomeChange, Strict, validated


class FilePatch(SomeChange):
    """``PATCH /files/{id}``: what is not sent stays as it is; labels are replaced as a whole."""

    name: FileName = ""
    folder: FolderPath = ""
    labels: Labels = {}


class FileFields(Strict):
    """What may come with new content; None is not said. In a query or a form ``labels`` is the text of an object."""

    folder: FolderPath | None = None
    labels: Annotated[Labels, BeforeValidator(object_in_text)] | None = None

    def together_with(self, texts: Mapping[str, str]) -> FileFields:
        """These, from the query, and those of the form; ``InvalidInput`` for one that is in both."""
        twice = next((name for name in texts if getattr(self, name) is not None), None)
        if twice is not None:
            raise InvalidInput.for_field(twice, "is given twice")
        return validated(FileFields, texts).model_copy(
            update=self.model_dump(include={"folder", "labels"}, exclude_none=True)
        )


FILE_FIELDS = tuple(FileFields.model_fields)


class UploadQuery(FileFields):
    """``POST /files``: the name of a raw body, and where the file belongs."""

    name: FileName | None = None


class DeleteQuery(Strict):
    """``DELETE /files/{id}``: into the trash, or away for good."""

    permanent: Annotated[bool, BeforeValidator(flag)] = False


class FileListQuery(Strict):
    """``GET /files``. ``user_id`` is for administrators: another account's id, or ``all``. What else may be asked for
    is said in ``docsave_services.files.filters``."""

    limit: Limit = 100
    after: After = None
    q: Annotated[str, good(search_problem), shapes.SEARCH] | None = None
    folder: FolderPath | None = None
    recursive: Annotated[bool, BeforeValidator(flag)] = False
    label: Annotated[list[LabelFilter], Field(max_length=LABEL_FILTERS_MAX)] = []
    media_type: Annotated[str, good(media_type_filter_problem), shapes.MEDIA_TYPE_FILTER] | None = None
    size_min: Bytes | None = None
    size_max: Bytes | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None
    updated_after: Moment | None = None
    updated_before: Moment | None = None
    sort: Literal["name", "-name", "size", "-size", "created_at", "-created_at", "updated_at", "-updated_at"] | None = (
        None
    )
    deleted: Annotated[bool, BeforeValidator(flag)] = False
    user_id: Literal["all"] | Annotated[FileId, BeforeValidator(whole_number)] | None = None
    at: Place | None = None

    @field_validator("at")
    @classmethod
    def _with_few_others(cls, at: str | None, others: ValidationInfo) -> str | None:
        """The past has no indexes for the other filters and orders."""
        named = [name for name in others.data if name not in WITH_AT and others.data[name] not in (None, [], "")]
        if at is not None and named:
            raise ValueError(f"cannot be combined with {', '.join(named)}")
        return at


WITH_AT = ("limit", "after", "folder", "recursive", "deleted", "user_id")
"""Fields of a list that also go with ``at``."""


class ReferenceListQuery(Strict):
    """``GET /refs/{system}/{key}/files``."""

    limit: Limit = 100
    after: After = None


DistinctIds = Annotated[list[FileId], Field(min_length=1, max_length=ARCHIVE_IDS_MAX), BeforeValidator(distinct_ids)]


class ArchiveQuery(TakesTicket):
    """``GET /files/archive``: ids with commas between them, or a folder with everything below it."""

    ids: (
        Annotated[list[FileId], Field(min_length=1, max_length=ARCHIVE_IDS_MAX), BeforeValidator(distinct_ids)] | None
    ) = None
    folder: Annotated[FolderPath | None, Field(validate_default=True)] = None

    @field_validator("folder")
    @classmethod
    def _one_of_both(cls, folder: str | None, others: ValidationInfo) -> str | None:
        if "ids" in others.data and (others.data["ids"] is None) == (folder is None):
            raise ValueError("or ids must be given, and not both")
        return folder


class FolderListQuery(Strict):
    """``GET /folders``."""

    under: FolderPath = ""
    after: After = None
