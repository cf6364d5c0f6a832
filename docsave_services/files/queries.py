"""Reading files by their ids."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from docsave_services.contracts import StoredFile
from docsave_services.db.models import FileRow
from docsave_services.domain.ids import is_id
from docsave_services.errors import InvalidInput, NotFound
from docsave_services.files.rows import FILE_COLUMNS, FILES, as_file

BATCH_MAX = 1000

_OF_IDS = select(*FILE_COLUMNS).where(FILES.c.id.in_(bindparam("ids", expanding=True)))


def get_file(session: Session, file_id: int) -> StoredFile:
    """The file, also one in the trash; ``NotFound`` otherwise."""
    row = session.get(FileRow, file_id) if is_id(file_id) else None
    if row is None:
        raise NotFound
    return as_file(row)


def get_many(session: Session, file_ids: Sequence[int]) -> list[StoredFile | None]:
    """The files in the order of ``file_ids``; None for one that does not exist or lies in the trash."""
    if not isinstance(file_ids, list) or len(file_ids) > BATCH_MAX:
        raise InvalidInput.for_field("file_ids", f"must be a list of at most {BATCH_MAX} ids")
    wanted = {i for i in file_ids if is_id(i)}
    rows = session.connection().execute(_OF_IDS, {"ids": list(wanted)}).all() if wanted else ()
    found = {row.id: as_file(row) for row in rows if not row.trashed}
    return [found.get(i) if type(i) is int else None for i in file_ids]
