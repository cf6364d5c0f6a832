"""What is to become of files, and what became of it: the elements of a ``files.apply`` batch."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from docsave_services.contracts._answers import Answer
from docsave_services.contracts._files import StoredFile

ChangeOp = Literal["create", "save", "update", "delete", "restore", "remove"]


class Reference(TypedDict):
    """A document as another system names it: its deal 42, there called ``offer.pdf``. One file of one user."""

    system: str
    key: str
    name: str


class Idempotency(TypedDict):
    """A client's own name for a request, and a hash in hexadecimal of all that the request asks for."""

    key: str
    fingerprint: str


class Change(TypedDict):
    """One wanted change of a file, an element of a ``files.apply`` batch.

    ``create`` needs ``user_id``, ``name`` and ``path``; ``save`` these and ``ref``: it creates the file that ``ref``
    names or gives it new content, out of the trash if need be. ``update`` sets what is given of ``name``, ``path``,
    ``folder`` and ``labels``; ``delete`` moves into the trash, ``restore`` out of it (with what is given of the fields
    that ``update`` takes), ``remove`` takes the file away for good.

    ``owner`` restricts the change to that user's files: somebody else's is ``not_found``. Without it (an
    administrator, the operator's shell) any file may be changed. ``by`` is who acts, for the journal.
    ``address``, ``session_id`` and ``key_id`` say from where and with what, for the audit trail.
    ``if_match`` are entity tags without their quotes (a sha256, ``v3`` or ``*``), one of which must fit, else
    ``precondition_failed``. ``change_key`` (a UUID in hexadecimal) makes a repeated message harmless: a change is
    applied once for each key. ``idempotency`` makes a repeated request harmless, for 24 hours.
    """

    op: ChangeOp
    by: int | None
    owner: NotRequired[int | None]
    file_id: NotRequired[int]
    user_id: NotRequired[int]
    name: NotRequired[str]
    path: NotRequired[str]
    media_type: NotRequired[str | None]
    folder: NotRequired[str]
    labels: NotRequired[dict[str, str]]
    ref: NotRequired[Reference]
    if_match: NotRequired[list[str]]
    idempotency: NotRequired[Idempotency | None]
    change_key: NotRequired[str]
    request_id: NotRequired[str]
    traceparent: NotRequired[str]
    address: NotRequired[str | None]
    session_id: NotRequired[str | None]
    key_id: NotRequired[int | None]


class Outcome(Answer):
    """What became of one element of a batch: its ``file``.

    ``created`` tells a new file from a changed one; ``replayed`` that this is an earlier request's result.
    """

    created: NotRequired[bool]
    replayed: NotRequired[bool]
    file: NotRequired[StoredFile]
