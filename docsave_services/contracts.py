"""Names and shapes that services share: who is called what, and what travels between them as JSON."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

# Not typing's: documents are generated from these, which on Python 3.11 needs this one (and so for FieldError).
from typing_extensions import TypedDict

from docsave_services.errors import FieldError

GATEWAY = "gateway"
USERS = "users"
FILES = "files"
NOTIFIER = "notifier"
BACKUP = "backup"
WEBHOOKS = "webhooks"

FILE_CREATE = "File_create"
FILE_UPDATE = "File_update"
FILE_DELETE = "File_delete"
FILE_EVENT_TYPES = (FILE_CREATE, FILE_UPDATE, FILE_DELETE)

FILE_PROTECTED = "File_protected"
"""Event of the files service, a hint only: one ``ProtectedNews``."""

RELAYED = "Relayed"
"""Event of the notifier: what an administrator's socket sent, for the sockets of every notifier process."""

RPC_DEADLINE_SECONDS = 5.0
"""No call between services waits longer for its answer."""

CHANGES_LIMIT_MAX = 1000
"""Most events one ``files.changes`` call returns."""

VERSIONS_LIMIT_MAX = 1000
"""Most versions in one page of ``backup.versions``."""

BACKUP_MARKER = "docsave-backup.json"
"""The file in a backup directory that says that it is one; an unmounted disk lacks it."""

Role = Literal["user", "admin"]

SCOPES = ("files:read", "files:write", "events:read")
"""What an API key may be allowed to do."""

REVOKED = "Revoked"
"""Event of the users service, broadcast after the commit: one ``Revocation``."""


WEBHOOK_CHANGED = "Webhook_changed"
"""Event of the webhooks service for its own processes, a hint only: an endpoint is to be looked at."""

WEBHOOK_DISABLED = "Webhook_disabled"
"""Event of the webhooks service, a hint only: one ``WebhookNews``."""

WebhookState = Literal["active", "paused", "disabled"]


class User(TypedDict):
    """An account as the API shows it; never with a password or its hash."""

    id: int
    login: str
    name: str
    role: Role
    active: bool
    created_at: str
    updated_at: str


class UserDetails(User):
    """An account as an administrator sees it."""

    quota_bytes: int | None


class UserPage(TypedDict):
    """One page of accounts, oldest first; ``next`` is the cursor of the following page."""

    items: list[UserDetails]
    next: str | None


class TokenPair(TypedDict):
    """What logging in and refreshing give; ``expires_in`` is the access token's life in seconds."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    refresh_token: str


class LiveSession(TypedDict):
    """A session as its owner sees it; ``address`` and ``agent`` are those it was opened with."""

    id: str
    created_at: str
    last_used_at: str
    address: str | None
    agent: str | None


class Revocation(TypedDict):
    """Tokens to refuse until ``until`` (RFC 3339): those of a session, those of a user with a ``ver`` below
    ``min_version``, or an API key."""

    seq: int
    kind: Literal["session", "user", "key"]
    id: str | int
    min_version: int | None
    until: str


class RevocationPage(TypedDict):
    """What was revoked after a place, in commit order, and the place to go on from."""

    items: list[Revocation]
    seq: int


class ApiKey(TypedDict):
    """An API key as its owner sees it; ``prefix`` is the part that may be shown."""

    id: int
    name: str
    prefix: str
    scopes: list[str]
    created_at: str
    expires_at: str | None
    last_used_at: str | None


class NewApiKey(ApiKey):
    """The answer to making a key: the only time that ``key`` itself is shown."""

    key: str


class VerifiedKey(TypedDict):
    """Who acts with an API key. ``version`` is the owner's, to hold against revocations of kind ``user``."""

    key_id: int
    user_id: int
    role: Role
    version: int
    scopes: list[str]
    expires_at: str | None


class AuditEntry(TypedDict):
    """One line of the audit trail: ``by`` did ``action`` to ``user_id``, from ``address``, with a session or a key."""

    id: int
    at: str
    action: str
    user_id: int | None
    by: int | None
    address: str | None
    session_id: str | None
    key_id: int | None
    detail: dict[str, Any]


class AuditPage(TypedDict):
    """One page of the audit trail, newest first; ``next`` is the cursor of the following page."""

    items: list[AuditEntry]
    next: str | None


class FileEvent(TypedDict):
    """One change of a file: a row of the journal, an event on the bus, an item of the feed.

    ``permanent`` is true for a ``File_delete`` after which the file is not even in the trash.
    """

    event_id: int
    type: str
    id: int
    user_id: int
    name: str
    path: str
    size: int
    media_type: str
    sha256: str
    version: int
    at: str
    by: int | None
    folder: str
    labels: dict[str, str]
    permanent: bool
    cursor: str


class Version(TypedDict):
    """One version of a file as its entry in the backup tells. What entries of the first release lack is left out."""

    version: int
    event: str
    name: str
    size: int
    sha256: str
    at: str
    media_type: NotRequired[str]
    folder: NotRequired[str]
    labels: NotRequired[dict[str, str]]
    by: NotRequired[int | None]
    permanent: NotRequired[bool]
    thinned: NotRequired[bool]


class VersionPage(TypedDict):
    """Versions of a file, newest first; ``next`` is the ``before`` of the following page, None after the last."""

    items: list[Version]
    next: int | None


class StoredVersion(Version):
    """One version with its owner and where its content lies, relative to the backup directory: at ``path``, or what
    ``patches`` make of that one after the other; with patches and no path the first needs nothing before it. Neither
    for a deletion, and for content that is missing or was thinned."""

    user_id: int
    path: str | None
    patches: NotRequired[list[str]]


class BackupState(TypedDict):
    """How far the backup of a file has come; ``version`` is the newest one whose copy is safe (0: none)."""

    state: Literal["pending", "protected"]
    version: int


class File(TypedDict):
    """A file as the API shows it."""

    id: int
    user_id: int
    name: str
    size: int
    media_type: str
    sha256: str
    version: int
    created_at: str
    updated_at: str
    deleted_at: str | None
    folder: str
    labels: dict[str, str]
    backup: BackupState


class StoredFile(File):
    """What ``files.get_many`` returns: the file and the blob's key, which no client sees."""

    path: str


class ProtectedVersion(TypedDict):
    """A version of a user's file whose copy is safe."""

    id: int
    user_id: int
    version: int


class ProtectedNews(TypedDict):
    """Versions that became safe together."""

    items: list[ProtectedVersion]


class FilePage(TypedDict):
    """One page of a list; ``next`` is the cursor of the following page."""

    items: list[File]
    next: str | None


class PastPage(FilePage):
    """One page of the files as they were; ``at`` is the cursor of the place in the journal that they are of."""

    at: str


class Compared(TypedDict):
    """A file then and now. ``then`` None is one that was made since; with ``deleted_at`` it lay in the trash.

    ``now`` None is one that was removed for good and not made anew: ``recreation_key`` is the ``change_key`` to do so
    under, and once that was done ``now`` is the new one, of another id. ``made_by_restoring`` marks such a new one.
    """

    id: int
    then: StoredFile | None
    now: StoredFile | None
    recreation_key: str | None
    made_by_restoring: bool


class ComparedPage(TypedDict):
    """One page of files then and now; ``next`` is the cursor of the following page, ``at`` that of the place."""

    items: list[Compared]
    next: str | None
    at: str


class Folder(TypedDict):
    """A folder and how many files lie in it directly."""

    folder: str
    files: int


class FolderPage(TypedDict):
    """One page of a user's folders; ``next`` is the cursor of the following page."""

    items: list[Folder]
    next: str | None


class Usage(TypedDict):
    """What a user's files take up, those in the trash included; ``quota_bytes`` None means no limit."""

    user_id: int
    files: int
    used_bytes: int
    quota_bytes: int | None


class ChangesPage(TypedDict):
    """Events after a place in the journal, in commit order, and the place to go on from.

    ``more`` says that the journal goes on after ``cursor``; there may be something for this reader.
    """

    items: list[FileEvent]
    cursor: str
    more: bool


class Webhook(TypedDict):
    """An endpoint that hears of changes, as its owner sees it; never with its secret.

    ``labels`` are filters such as ``crm.deal=42``; ``system`` wants documents with that system's label. Everything up
    to ``cursor`` is delivered, and ``lag`` entries of the journal lie behind it. ``tries`` counts those of the event
    that fails now, since ``failing_since``. ``reason`` says why it is disabled. ``last_code`` is the status of the last
    answer, None when there was none, and ``last_error`` what was wrong with it. An old secret still signs until
    ``old_secret_until``.
    """

    id: int
    user_id: int
    key_id: int | None
    url: str
    description: str
    events: list[str]
    folder: str
    labels: list[str]
    system: str | None
    all_users: bool
    state: WebhookState
    reason: str | None
    cursor: str
    lag: int
    tries: int
    failing_since: str | None
    retry_at: str | None
    last_at: str | None
    last_code: int | None
    last_error: str | None
    old_secret_until: str | None
    created_at: str
    updated_at: str


class NewWebhook(Webhook):
    """The answer to making an endpoint: with ``secret``, which is shown this once."""

    secret: str


class WebhookPage(TypedDict):
    """One page of endpoints, oldest first; ``next`` is the cursor of the following page."""

    items: list[Webhook]
    next: str | None


class NewSecret(TypedDict):
    """An endpoint's new secret, shown this once; the old one still signs until ``old_secret_until``."""

    id: int
    secret: str
    old_secret_until: str


class Delivery(TypedDict):
    """What became of one message for an endpoint.

    ``kind`` tells the deliveries of the journal from a test and from a repetition that was asked for. ``answer`` is
    how the last answer begins, ``error`` what went wrong with the last try.
    """

    id: int
    message_id: str
    kind: Literal["event", "test", "redelivery"]
    event_id: int | None
    type: str
    cursor: str | None
    state: Literal["waiting", "delivered", "failed"]
    tries: int
    code: int | None
    answer: str | None
    error: str | None
    milliseconds: int | None
    created_at: str
    updated_at: str


class DeliveryPage(TypedDict):
    """Deliveries of an endpoint, newest first; ``next`` is the cursor of the following page."""

    items: list[Delivery]
    next: str | None


class WebhookNews(TypedDict):
    """An endpoint was disabled, and why; its owner may resume it, and it goes on after ``cursor``."""

    id: int
    user_id: int
    url: str
    reason: str
    cursor: str
    at: str


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
    address: NotRequired[str | None]
    session_id: NotRequired[str | None]
    key_id: NotRequired[int | None]


class Outcome(TypedDict):
    """What became of one element of a batch: ``file`` when ``ok``, otherwise a coded error.

    ``created`` tells a new file from a changed one; ``replayed`` that this is an earlier request's result.
    """

    ok: bool
    created: NotRequired[bool]
    replayed: NotRequired[bool]
    file: NotRequired[StoredFile]
    code: NotRequired[str]
    detail: NotRequired[str]
    errors: NotRequired[list[FieldError]]
