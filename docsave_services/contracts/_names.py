"""Who is called what on the bus, and the limits that both ends of a call know."""

from __future__ import annotations

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

REVOKED = "Revoked"
"""Event of the users service, broadcast after the commit: one ``Revocation``."""

WEBHOOK_CHANGED = "Webhook_changed"
"""Event of the webhooks service for its own processes, a hint only: an endpoint is to be looked at."""

WEBHOOK_DISABLED = "Webhook_disabled"
"""Event of the webhooks service, a hint only: one ``WebhookNews``."""

RPC_DEADLINE_SECONDS = 5.0
"""No call between services waits longer for its answer."""

CHANGES_LIMIT_MAX = 1000
"""Most events one ``files.changes`` call returns."""

VERSIONS_LIMIT_MAX = 1000
"""Most versions in one page of ``backup.versions``."""

HOLD_REASON_MAX = 1000
"""Characters of the reason of a legal hold."""

BACKUP_MARKER = "docsave-backup.json"
"""The file in a backup directory that says that it is one; an unmounted disk lacks it."""
