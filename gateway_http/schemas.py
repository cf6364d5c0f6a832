"""What requests may contain. Strict: a field that is not named here is refused, nothing is converted in silence."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self, TypeVar, get_origin
from urllib.parse import parse_qsl

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from docsave_services.contracts import VERSIONS_LIMIT_MAX, ChangeOp
from docsave_services.domain.change_filter import TERMS_MAX
from docsave_services.domain.cursor import Cursor
from docsave_services.domain.filters import (
    LABEL_FILTERS_MAX,
    label_filter_problem,
    media_type_filter_problem,
    search_problem,
)
from docsave_services.domain.folders import folder_problem
from docsave_services.domain.labels import labels_problem
from docsave_services.domain.names import name_problem
from docsave_services.errors import BadJson, BadRequest, FieldError, InvalidInput
from docsave_services.times import to_text
from gateway_http.limits import ARCHIVE_IDS_MAX, OPERATIONS_MAX, QUERY_FIELDS_MAX, WAIT_SECONDS_MAX
from gateway_http.strict_json import parse_json

ModelT = TypeVar("ModelT", bound=BaseModel)

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Strict(BaseModel):
    model_config = STRICT


def whole_number(value: Any) -> Any:
    """Query strings are text; only plain decimal digits count as a number (no sign, space or underscore)."""
    return int(value) if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value) else value


def _ids(value: Any) -> Any:
    """The numbers of a list, each once."""
    return [whole_number(part) for part in dict.fromkeys(value.split(","))] if isinstance(value, str) else value


def _flag(value: Any) -> Any:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _object_in_text(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value.encode("utf-8", "surrogatepass"))
    except BadJson as exc:
        raise ValueError("must be a JSON object of texts") from exc


def _moment(value: str) -> str:
    """The time as docsave writes it (UTC, milliseconds), so that services see one form only."""
    # Python reads more than RFC 3339 allows, such as week numbers.
    if not _RFC_3339.fullmatch(value):
        raise ValueError("must be a time like 2026-11-24T10:15:00Z")
    try:
        return to_text(datetime.fromisoformat(value.upper()))
    except (ValueError, OverflowError) as exc:
        raise ValueError("is not a time that exists") from exc


def _place(value: str) -> str:
    """A place in the journal: a cursor, or a moment."""
    try:
        return str(Cursor.parse(value))
    except ValueError:
        return _moment(value)


def good(check: Callable[[Any], str | None]) -> AfterValidator:
    """Refuses a value that ``check`` has something to say about."""

    def refuse(value: Any) -> Any:
        problem = check(value)
        if problem:
            raise ValueError(problem)
        return value

    return AfterValidator(refuse)


FileName = Annotated[str, good(name_problem)]
FolderPath = Annotated[str, good(folder_problem)]
Labels = Annotated[dict[str, str], good(labels_problem)]
FileId = Annotated[int, Field(ge=1, lt=2**31)]
Bytes = Annotated[int, BeforeValidator(whole_number), Field(ge=0, lt=2**63)]
Moment = Annotated[str, AfterValidator(_moment)]
Place = Annotated[str, Field(max_length=100), AfterValidator(_place)]
"""A moment in RFC 3339, or the cursor of an event."""


class NewUser(_Strict):
    """``POST /users``. What a login or password may be is the users service's business."""

    login: str
    password: str
    name: str | None = None


class Credentials(_Strict):
    """``POST /login``."""

    login: str
    password: str


class UserPatch(_Strict):
    """``PATCH /users/me``: what is not sent stays as it is; null is not a value of any field."""

    login: str = ""
    name: str = ""
    password: str = ""
    current_password: str = ""


class UserPatchByAdmin(_Strict):
    """``PATCH /users/{id}``: what is not sent stays as it is; null takes a quota away."""

    name: str = ""
    role: Literal["user", "admin"] = "user"
    active: bool = True
    quota_bytes: Annotated[int, Field(ge=0, lt=2**63)] | None = None


class RefreshToken(_Strict):
    """``POST /token/refresh``, ``POST /logout``. One that cannot be one of ours is refused like an unknown one."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=4096)]


class NewApiKey(_Strict):
    """``POST /api-keys``. ``expires_at`` is a time in RFC 3339 with its offset."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    scopes: Annotated[list[Literal["files:read", "files:write", "events:read"]], Field(min_length=1, max_length=3)]
    expires_at: Moment | None = None


class UserListQuery(_Strict):
    """``GET /users``."""

    limit: Annotated[int, BeforeValidator(whole_number), Field(ge=1, le=1000)] = 100
    after: Annotated[str, Field(max_length=4096)] | None = None
    q: Annotated[str, Field(max_length=255)] | None = None


class AuditQuery(_Strict):
    """``GET /audit``: newest first; ``since`` is a time in RFC 3339 with its offset."""

    limit: Annotated[int, BeforeValidator(whole_number), Field(ge=1, le=1000)] = 100
    after: Annotated[str, Field(max_length=4096)] | None = None
    action: Annotated[str, Field(max_length=64)] | None = None
    user_id: Annotated[FileId, BeforeValidator(whole_number)] | None = None
    since: Moment | None = None


class FilePatch(_Strict):
    """``PATCH /files/{id}``: what is not sent stays as it is; labels are replaced as a whole."""

    name: FileName = ""
    folder: FolderPath = ""
    labels: Labels = {}

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("must have at least one of name, folder and labels")
        return self


class FileFields(_Strict):
    """What may come with new content; None is not said. In a query or a form ``labels`` is the text of an object."""

    folder: FolderPath | None = None
    labels: Annotated[Labels, BeforeValidator(_object_in_text)] | None = None

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


class Operations(_Strict):
    """``POST /batch``. Each operation is validated by itself: one that is wrong does not spoil the others."""

    operations: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=OPERATIONS_MAX)]


class _Operation(_Strict):
    op: str
    id: FileId
    if_match: Annotated[str, Field(pattern=r"^([0-9a-f]{64}|v[1-9][0-9]{0,9})$")] = ""


class Rename(_Operation):
    """Another name."""

    name: FileName


class Label(_Operation):
    """Other labels, as a whole."""

    labels: Labels


class Move(_Operation):
    """Another folder."""

    folder: FolderPath


class Delete(_Operation):
    """Into the trash."""


class Restore(_Operation):
    """Out of the trash."""


OPERATIONS: dict[str, tuple[type[_Operation], ChangeOp]] = {
    "rename": (Rename, "update"),
    "label": (Label, "update"),
    "move": (Move, "update"),
    "delete": (Delete, "delete"),
    "restore": (Restore, "restore"),
}


class DeleteQuery(_Strict):
    """``DELETE /files/{id}``: into the trash, or away for good."""

    permanent: Annotated[bool, BeforeValidator(_flag)] = False


class FileListQuery(_Strict):
    """``GET /files``. ``user_id`` is for administrators: another account's id, or ``all``. What else may be asked for
    is said in ``docsave_services.files.filters``."""

    limit: Annotated[int, BeforeValidator(whole_number), Field(ge=1, le=1000)] = 100
    after: Annotated[str, Field(max_length=4096)] | None = None
    q: Annotated[str, good(search_problem)] | None = None
    folder: FolderPath | None = None
    recursive: Annotated[bool, BeforeValidator(_flag)] = False
    label: Annotated[list[Annotated[str, good(label_filter_problem)]], Field(max_length=LABEL_FILTERS_MAX)] = []
    media_type: Annotated[str, good(media_type_filter_problem)] | None = None
    size_min: Bytes | None = None
    size_max: Bytes | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None
    updated_after: Moment | None = None
    updated_before: Moment | None = None
    sort: Literal["name", "-name", "size", "-size", "created_at", "-created_at", "updated_at", "-updated_at"] | None = (
        None
    )
    deleted: Annotated[bool, BeforeValidator(_flag)] = False
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


class PastFileQuery(_Strict):
    """``GET /files/{id}`` and its content: as of when; without ``at`` as it is."""

    at: Place | None = None


class RestoreScope(_Strict):
    """What to restore: one file; a folder with all below it; all files of a user. The folder may be another user's."""

    file: FileId | None = None
    folder: FolderPath | None = None
    user: FileId | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if not self.model_fields_set or None in (getattr(self, name) for name in self.model_fields_set):
            raise ValueError("must name a file, a folder or a user")
        if self.file is not None and len(self.model_fields_set) > 1:
            raise ValueError("names a file and something else")
        return self


class RestoreOrder(_Strict):
    """``POST /restore``."""

    scope: Literal["all"] | RestoreScope
    at: Place
    dry_run: bool = False
    trash_newer: bool = False
    after: Annotated[str, Field(max_length=4096)] | None = None


class ReferenceListQuery(_Strict):
    """``GET /refs/{system}/{key}/files``."""

    limit: Annotated[int, BeforeValidator(whole_number), Field(ge=1, le=1000)] = 100
    after: Annotated[str, Field(max_length=4096)] | None = None


class ArchiveQuery(_Strict):
    """``GET /files/archive``: ids with commas between them, or a folder with everything below it."""

    ids: Annotated[list[FileId], BeforeValidator(_ids), Field(min_length=1, max_length=ARCHIVE_IDS_MAX)] | None = None
    folder: Annotated[FolderPath | None, Field(validate_default=True)] = None

    @field_validator("folder")
    @classmethod
    def _one_of_both(cls, folder: str | None, others: ValidationInfo) -> str | None:
        if "ids" in others.data and (others.data["ids"] is None) == (folder is None):
            raise ValueError("or ids must be given, and not both")
        return folder


class FolderListQuery(_Strict):
    """``GET /folders``."""

    under: FolderPath = ""
    after: Annotated[str, Field(max_length=4096)] | None = None


class VersionListQuery(_Strict):
    """``GET /files/{id}/versions``; ``after`` is the ``next`` of the page before."""

    limit: Annotated[int, BeforeValidator(whole_number), Field(ge=1, le=VERSIONS_LIMIT_MAX)] = VERSIONS_LIMIT_MAX
    after: Annotated[FileId, BeforeValidator(whole_number)] | None = None


class ProofQuery(_Strict):
    """``GET /files/{id}/versions/{n}/proof``; ``size`` is that of the history whose head one knows."""

    size: Annotated[int, BeforeValidator(whole_number), Field(ge=1, le=2**63 - 1)] | None = None


class ChangesQuery(_Strict):
    """``GET /changes``. ``wait`` is in seconds; a label is ``key`` or ``key=value``."""

    since: Annotated[str, Field(max_length=100)] | None = None
    limit: Annotated[int, BeforeValidator(whole_number), Field(ge=1, le=1000)] = 100
    wait: Annotated[int, BeforeValidator(whole_number), Field(ge=0, le=WAIT_SECONDS_MAX)] = 0
    type: Annotated[list[Literal["File_create", "File_update", "File_delete"]], Field(max_length=TERMS_MAX)] = []
    folder: FolderPath = ""
    label: Annotated[list[Annotated[str, good(label_filter_problem)]], Field(max_length=TERMS_MAX)] = []


def validated(model: type[ModelT], value: Any) -> ModelT:
    """``value`` as ``model``; ``InvalidInput`` that names each wrong field otherwise."""
    if not isinstance(value, Mapping):
        raise InvalidInput("The body must be a JSON object")
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        errors = _field_errors(exc)
        raise InvalidInput("; ".join(f"{e['field']}: {e['message']}" for e in errors), errors) from exc


def _field_errors(exc: ValidationError) -> list[FieldError]:
    """One entry a field, without the value: it may be a password."""
    reasons: dict[str, str] = {}
    for error in exc.errors(include_url=False, include_input=False, include_context=False):
        field = str(error["loc"][0]) if error["loc"] else "body"
        message = "is not a known field" if error["type"] == "extra_forbidden" else error["msg"]
        reasons.setdefault(field[:100], message.removeprefix("Value error, "))
    return [{"field": field, "message": message} for field, message in reasons.items()]


def list_fields(model: type[BaseModel]) -> set[str]:
    """The fields of ``model`` that a query string may repeat."""
    return {name for name, field in model.model_fields.items() if get_origin(field.annotation) is list}


def query_fields(query_string: str, repeatable: Collection[str] = ()) -> dict[str, str | list[str]]:
    """The fields of a query string as WSGI gives it, those in ``repeatable`` as lists; ``BadRequest`` for what is not
    UTF-8, ``InvalidInput`` for another field that comes twice."""
    try:
        text = query_string.encode("latin-1").decode("utf-8")  # WSGI's strings are bytes in disguise (PEP 3333)
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS_MAX)
    except ValueError as exc:
        raise BadRequest("The query string cannot be read") from exc
    single: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    for name, value in pairs:
        if name in repeatable:
            lists.setdefault(name, []).append(value)
        elif name in single:
            raise InvalidInput.for_field(name[:100], "is given twice")
        else:
            single[name] = value
    return {**single, **lists}
