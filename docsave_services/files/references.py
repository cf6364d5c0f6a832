"""Which file another system's reference stands for."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from docsave_services.contracts import Change
from docsave_services.db.file_models import FileRefRow
from docsave_services.files.rows import NewFile

Place = tuple[int, str, str, str]


class References:
    """The references that a batch saves by. A new one is written together with its file."""

    def __init__(self, session: Session, changes: Sequence[Change]) -> None:
        self._session = session
        self._file_ids: dict[Place, int] = {}
        self._new: dict[Place, NewFile] = {}
        wanted = sorted({_place(change) for change in changes if change["op"] == "save"})
        if wanted:
            columns = (FileRefRow.user_id, FileRefRow.system, FileRefRow.ref_key, FileRefRow.name)
            for row in session.scalars(select(FileRefRow).where(tuple_(*columns).in_(wanted))):
                self._file_ids[row.user_id, row.system, row.ref_key, row.name] = row.file_id

    @property
    def file_ids(self) -> set[int]:
        """The files that exist already."""
        return set(self._file_ids.values())

    def file_id_of(self, change: Change) -> int | None:
        """The file that the change's reference stands for before this batch."""
        return self._file_ids.get(_place(change))

    def new_row_of(self, change: Change) -> NewFile | None:
        """The file that this batch made for the same reference."""
        return self._new.get(_place(change))

    def add(self, change: Change, row: NewFile) -> None:
        """The reference stands for this file from now on."""
        self._new[_place(change)] = row

    def write(self) -> None:
        """Add the new ones to the session; their files have ids by now."""
        for (user_id, system, key, name), row in self._new.items():
            self._session.add(FileRefRow(user_id=user_id, system=system, ref_key=key, name=name, file_id=row.id))


def _place(change: Change) -> Place:
    ref = change["ref"]
    return change["user_id"], ref["system"], ref["key"], ref["name"]
