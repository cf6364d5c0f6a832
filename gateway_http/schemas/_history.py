"""The past: versions, proofs, restoring, and the feed of changes."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from docsave_services.contracts import HOLD_REASON_MAX, VERSIONS_LIMIT_MAX
from docsave_services.domain.change_filter import TERMS_MAX
from gateway_http.limits import WAIT_SECONDS_MAX
from gateway_http.schemas import _shapes as shapes
from gateway_http.schemas._kinds import After, FileId, FolderPath, LabelFilter, Limit, Place, flag, whole_number
from gateway_http.schemas._reading import STRICT, Strict


class PastFileQuery(Strict):
    """``GET /files/{id}`` and its content: as of when; without ``at`` as it is."""

    at: Place | None = None


def _says_one_thing(schema: dict[str, Any]) -> None:
    for name, field in schema["properties"].items():
        schema["properties"][name] = {**field["anyOf"][0], "title": field["title"]}
    schema["minProperties"] = 1
    schema["not"] = {"required": ["file"], "minProperties": 2}


class RestoreScope(Strict):
    """What to restore: one file; a folder with all below it; all files of a user. The folder may be another user's."""

    model_config = STRICT | ConfigDict(json_schema_extra=_says_one_thing)

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


class RestoreOrder(Strict):
    """``POST /restore``."""

    scope: Literal["all"] | RestoreScope
    at: Place
    dry_run: bool = False
    trash_newer: bool = False
    after: After = None


class VersionListQuery(Strict):
    """``GET /files/{id}/versions``; ``after`` is the ``next`` of the page before."""

    limit: Annotated[int, Field(ge=1, le=VERSIONS_LIMIT_MAX), BeforeValidator(whole_number)] = VERSIONS_LIMIT_MAX
    after: Annotated[FileId, BeforeValidator(whole_number)] | None = None


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


class ProofQuery(Strict):
    """``GET /files/{id}/versions/{n}/proof``; ``size`` is that of the history whose head one knows."""

    size: Annotated[int, Field(ge=1, le=2**63 - 1), BeforeValidator(whole_number)] | None = None


class HoldWanted(Strict):
    """``PUT …/hold``: why, for whoever asks later."""

    reason: Annotated[str, Field(min_length=1, max_length=HOLD_REASON_MAX), AfterValidator(_not_blank)]


class HoldListQuery(Strict):
    """``GET /holds``; ``after`` is the ``next`` of the page before."""

    after: Annotated[FileId, BeforeValidator(whole_number)] | None = None
    released: Annotated[bool, BeforeValidator(flag)] = False


class ChangesQuery(Strict):
    """``GET /changes``. ``wait`` is in seconds; a label is ``key`` or ``key=value``."""

    since: Annotated[str, Field(max_length=100), shapes.CURSOR_OR_NOW] | None = None
    limit: Limit = 100
    wait: Annotated[int, Field(ge=0, le=WAIT_SECONDS_MAX), BeforeValidator(whole_number)] = 0
    type: Annotated[list[Literal["File_create", "File_update", "File_delete"]], Field(max_length=TERMS_MAX)] = []
    folder: FolderPath = ""
    label: Annotated[list[LabelFilter], Field(max_length=TERMS_MAX)] = []
