"""The operations of a batch."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from docsave_services.contracts import ChangeOp
from gateway_http.limits import OPERATIONS_MAX
from gateway_http.schemas._kinds import FileId, FileName, FolderPath, Labels
from gateway_http.schemas._reading import Strict


class Operations(Strict):
    """``POST /batch``. Each operation is validated by itself: one that is wrong does not spoil the others."""

    operations: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=OPERATIONS_MAX)]


class _Operation(Strict):
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
