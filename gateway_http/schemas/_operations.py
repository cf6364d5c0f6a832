"""The operations of a batch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from docsave_services.contracts import ChangeOp
from gateway_http.limits import OPERATIONS_MAX
from gateway_http.schemas._kinds import FileId, FileName, FolderPath, Labels
from gateway_http.schemas._reading import Patch, Strict


class Operations(Strict):
    """``POST /batch``. Each operation is validated by itself: one that is wrong does not spoil the others."""

    operations: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=OPERATIONS_MAX)]


class _Operation(Patch):
    id: FileId
    if_match: Annotated[str, Field(pattern=r"^([0-9a-f]{64}|v[1-9][0-9]{0,9})$")] = ""


class RenameOperation(_Operation):
    """Another name."""

    op: Literal["rename"]
    name: FileName


class LabelOperation(_Operation):
    """Other labels, as a whole."""

    op: Literal["label"]
    labels: Labels


class MoveOperation(_Operation):
    """Another folder."""

    op: Literal["move"]
    folder: FolderPath


class DeleteOperation(_Operation):
    """Into the trash."""

    op: Literal["delete"]


class RestoreOperation(_Operation):
    """Out of the trash."""

    op: Literal["restore"]


OPERATIONS: dict[str, tuple[type[_Operation], ChangeOp]] = {
    "rename": (RenameOperation, "update"),
    "label": (LabelOperation, "update"),
    "move": (MoveOperation, "update"),
    "delete": (DeleteOperation, "delete"),
    "restore": (RestoreOperation, "restore"),
}
