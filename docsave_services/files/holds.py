"""Legal holds as the files service knows them: what is held is not removed for good.

The backup directory has the holds themselves (ADR 017). Here lies what a removal must know without asking the backup,
written in the transaction of its line in the audit trail.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session

from docsave_services.db import audit
from docsave_services.db.audit import Actor
from docsave_services.db.file_models import WHOLE_FILE, FileHoldRow
from docsave_services.db.models import FileRow
from docsave_services.domain.ids import id_problem
from docsave_services.errors import InvalidInput, OnHold

REASON_TOLD_MAX = 200
"""Characters of the reason in the audit trail; the backup directory has all of it."""


def note_hold(session: Session, owner: Any, file_id: Any, version: Any, reason: Any, actor: Actor) -> bool:
    """Keep the file from being removed for good; whether that is news. ``owner`` is whose file it is, for the trail (0:
    nobody's); ``version`` None is the whole file."""
    place = _place(file_id, version)
    problem = id_problem(owner)
    if problem and (owner != 0 or type(owner) is not int):
        raise InvalidInput.for_field("user_id", problem)
    if not isinstance(reason, str):
        raise InvalidInput.for_field("reason", "must be text")
    _lock(session, file_id)
    if session.get(FileHoldRow, place) is not None:
        return False
    session.add(FileHoldRow(file_id=place[0], version=place[1], user_id=owner))
    told = {"file": file_id, "version": version, "reason": reason[:REASON_TOLD_MAX]}
    audit.record(session, "hold_placed", owner or None, actor, **told)
    return True


def note_release(session: Session, file_id: Any, version: Any, actor: Actor) -> bool:
    """The hold is over; whether one was known."""
    place = _place(file_id, version)
    _lock(session, file_id)
    row = session.get(FileHoldRow, place)
    if row is None:
        return False
    session.delete(row)
    audit.record(session, "hold_released", row.user_id or None, actor, file=file_id, version=version)
    return True


def refuse_held(session: Session, file_id: int) -> None:
    """``OnHold`` while the file or one of its versions is held. Call it with the file's row locked: no hold is placed
    meanwhile."""
    if session.scalar(select(exists().where(FileHoldRow.file_id == file_id))):
        raise OnHold


def is_held() -> ColumnElement[bool]:
    """Whether the file of a query over ``FileRow`` is held."""
    return exists().where(FileHoldRow.file_id == FileRow.id)


def _lock(session: Session, file_id: int) -> None:
    session.execute(select(FileRow.id).where(FileRow.id == file_id).with_for_update())


def _place(file_id: Any, version: Any) -> tuple[int, int]:
    problems = {"file_id": id_problem(file_id), "version": None if version is None else id_problem(version)}
    for field, problem in problems.items():
        if problem:
            raise InvalidInput.for_field(field, problem)
    return file_id, WHOLE_FILE if version is None else version
