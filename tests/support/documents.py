"""A blob store, an account and changes to try on a database."""

from __future__ import annotations

import uuid
from pathlib import Path

from docsave_services.contracts import Change
from docsave_services.db.engine import make_engine
from docsave_services.db.transactions import Transactions
from docsave_services.files.changes import Applied, apply_changes
from docsave_services.storage import BlobStore
from docsave_services.users import handlers, passwords
from tests.support.databases import prepare


class Documents:
    """A migrated database with one account, and a blob store."""

    def __init__(self, db_uri: str, directory: Path) -> None:
        prepare(db_uri)
        self.db_uri = db_uri
        self.db = Transactions(make_engine(db_uri))
        self.store = BlobStore(directory / "blobs")
        self.store.prepare()
        self.user_id = self.new_user()

    def new_user(self) -> int:
        """Another account's id."""
        login = f"user-{uuid.uuid4().hex[:10]}"
        return handlers.create_user(self.db, login, "a long password", None, "user")["id"]

    def blob(self, content: bytes) -> str:
        """The key of ``content``, saved."""
        staged = self.store.stage()
        staged.write(content)
        return staged.commit().key

    def create(self, name: str = "a.txt", content: bytes = b"one", user_id: int | None = None) -> Change:
        """A change that creates a file."""
        owner = user_id or self.user_id
        key = uuid.uuid4().hex
        return {
            "op": "create",
            "by": owner,
            "user_id": owner,
            "name": name,
            "path": self.blob(content),
            "change_key": key,
        }

    def apply(self, *changes: Change) -> Applied:
        """Apply a batch."""
        return apply_changes(self.db, self.store, list(changes))

    def close(self) -> None:
        """Close the database's connections."""
        self.db.engine.dispose()


def use_quick_hashes(monkeypatch: object) -> None:
    """Passwords are not what these tests are about: the least cost that bcrypt allows."""
    monkeypatch.setattr(passwords, "ROUNDS", 4)  # type: ignore[attr-defined]
