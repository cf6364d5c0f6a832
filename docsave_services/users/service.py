"""The users service on the bus."""

from __future__ import annotations

from typing import Any

from docsave_services.contracts import USERS, Role, User
from docsave_services.db.provider import Database, check_database
from docsave_services.db.transactions import Transactions
from docsave_services.nameko_ext import PromptStop, RequestContext, rpc
from docsave_services.settings import Settings, SettingsProvider
from docsave_services.tokens import ACCESS_TOKEN_SECONDS, issue_access_token
from docsave_services.users import handlers

Users = list[User]
"""The service has a method called list, so its signature needs another name."""


class UsersService:
    """Accounts: who exists, who is who."""

    name = USERS

    db: Transactions = Database()
    settings: Settings = SettingsProvider("secret_key")
    request_id: str | None = RequestContext()
    prompt_stop = PromptStop()

    @rpc
    def create(self, login: str, password: str, name: str | None = None, role: Role = "user") -> User:
        """Create an account."""
        return handlers.create_user(self.db, login, password, name, role)

    @rpc
    def authenticate(self, login: str, password: str) -> User:
        """The user with these credentials, or ``bad_credentials``."""
        return handlers.authenticate(self.db, login, password)

    @rpc
    def log_in(self, login: str, password: str) -> dict[str, Any]:
        """An access token for the user with these credentials; ``expires_in`` is in seconds."""
        user = handlers.authenticate(self.db, login, password)
        return {
            "access_token": issue_access_token(self.settings.secret_key, user["id"], user["role"]),
            "token_type": "Bearer",
            "expires_in": ACCESS_TOKEN_SECONDS,
        }

    @rpc
    def get(self, user_id: int) -> User:
        """One account."""
        return handlers.get_user(self.db, user_id)

    @rpc
    def update(
        self,
        user_id: int,
        login: str | None = None,
        name: str | None = None,
        password: str | None = None,
        current_password: str | None = None,
        require_current_password: bool = False,
    ) -> User:
        """Change what is given; see ``handlers.update_user``."""
        changes = {"login": login, "name": name, "password": password}
        return handlers.update_user(self.db, user_id, changes, current_password, require_current_password)

    @rpc
    def list(self) -> Users:
        """Every account."""
        return handlers.list_users(self.db)

    @rpc
    def health(self) -> dict[str, str]:
        """Whether the database answers."""
        return check_database(self.db)
