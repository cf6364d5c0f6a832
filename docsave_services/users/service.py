"""The users service on the bus."""

from __future__ import annotations

from nameko.timer import timer

from docsave_services.contracts import (
    USERS,
    ApiKey,
    AuditPage,
    LiveSession,
    NewApiKey,
    RevocationPage,
    Role,
    TokenPair,
    User,
    UserDetails,
    UserPage,
    VerifiedKey,
)
from docsave_services.db import audit
from docsave_services.db.audit import Actor
from docsave_services.db.provider import Database, check_database
from docsave_services.db.transactions import Transactions
from docsave_services.errors import Unauthenticated
from docsave_services.metrics.provider import Metrics
from docsave_services.nameko_ext import CalmCollector, PromptStop, RequestContext, rpc
from docsave_services.settings import Settings, SettingsProvider
from docsave_services.times import from_text
from docsave_services.users import handlers, keys, log_in, revoked, sessions
from docsave_services.users.handlers import Keep, Powers
from docsave_services.users.housekeeping import INTERVAL_SECONDS, forget_old
from docsave_services.users.news import Announce, News

# The service has a method called list, so its signatures need other names for lists.
Users = list[User]
ApiKeys = list[ApiKey]
LiveSessions = list[LiveSession]
Scopes = list[str]


class UsersService:
    """Accounts: who exists, who is who, who may still act.

    ``by``, ``address``, ``session_id`` and ``key_id`` say who calls, for the audit trail; nothing is decided by them.
    """

    name = USERS

    db: Transactions = Database()
    settings: Settings = SettingsProvider("secret_key")
    request_id: str | None = RequestContext()
    prompt_stop = PromptStop()
    calm_collector = CalmCollector()
    metrics = Metrics()
    announce: Announce = News()

    @rpc
    def create(
        self,
        login: str,
        password: str,
        name: str | None = None,
        role: Role = "user",
        by: int | None = None,
        address: str | None = None,
        session_id: str | None = None,
        key_id: int | None = None,
    ) -> User:
        """Create an account."""
        actor = Actor(by, address, session_id, key_id)
        return handlers.create_user(self.db, login, password, name, role, actor)

    @rpc
    def authenticate(self, login: str, password: str, address: str | None = None) -> User:
        """The user with these credentials, or ``bad_credentials``, or ``too_many_requests``."""
        return log_in.authenticate(self.db, login, password, address)

    @rpc
    def log_in(self, login: str, password: str, address: str | None = None, agent: str | None = None) -> TokenPair:
        """A new session for the user with these credentials; refused like ``authenticate``."""
        return log_in.log_in(self.db, self.settings.keys, login, password, address, agent)

    @rpc
    def refresh(self, refresh_token: str, address: str | None = None) -> TokenPair:
        """Trade a refresh token for a new pair; see ``sessions.refresh``."""
        try:
            return sessions.refresh(self.db, self.settings.keys, refresh_token, address)
        except Unauthenticated:
            self.announce()  # a token used twice has ended its session
            raise

    @rpc
    def log_out(self, refresh_token: str, address: str | None = None) -> None:
        """End the session of this refresh token."""
        sessions.log_out(self.db, refresh_token, address)
        self.announce()

    @rpc
    def list_sessions(self, user_id: int) -> LiveSessions:
        """The live sessions of a user."""
        return sessions.list_sessions(self.db, user_id)

    @rpc
    def end_session(
        self,
        user_id: int,
        session: str,
        by: int | None = None,
        address: str | None = None,
        session_id: str | None = None,
        key_id: int | None = None,
    ) -> None:
        """End one session of a user; ``session_id`` is the one that asks for it."""
        sessions.end_own_session(self.db, user_id, session, Actor(by, address, session_id, key_id))
        self.announce()

    @rpc
    def end_other_sessions(
        self,
        user_id: int,
        session_id: str,
        by: int | None = None,
        address: str | None = None,
        key_id: int | None = None,
    ) -> int:
        """End every session of a user but ``session_id``; how many there were."""
        actor = Actor(by, address, session_id, key_id)
        ended = sessions.end_other_sessions(self.db, user_id, session_id, actor)
        self.announce()
        return ended

    @rpc
    def revocations(self, since: int | None = None) -> RevocationPage:
        """What was revoked after ``since`` and may still look valid, in order."""
        return self.db.read(lambda s: revoked.read(s, since))

    @rpc
    def get(self, user_id: int, details: bool = False) -> User | UserDetails:
        """One account; with ``details`` as an administrator sees it."""
        return handlers.get_user_details(self.db, user_id) if details else handlers.get_user(self.db, user_id)

    @rpc
    def update(
        self,
        user_id: int,
        login: str | None = None,
        name: str | None = None,
        password: str | None = None,
        current_password: str | None = None,
        require_current_password: bool = False,
        role: Role | None = None,
        active: bool | None = None,
        quota_bytes: int | Keep | None = "keep",
        by: int | None = None,
        address: str | None = None,
        session_id: str | None = None,
        key_id: int | None = None,
        details: bool = False,
    ) -> User | UserDetails:
        """Change what is given; see ``handlers.update_user``. ``quota_bytes`` None takes the quota away."""
        user = handlers.update_user(
            self.db,
            user_id,
            {"login": login, "name": name, "password": password},
            current_password,
            require_current_password,
            Powers(role, active, quota_bytes),
            Actor(by, address, session_id, key_id),
        )
        self.announce()
        return handlers.get_user_details(self.db, user_id) if details else user

    @rpc
    def list(self, limit: int | None = None, after: str | None = None, q: str | None = None) -> Users | UserPage:
        """Every account, oldest first; with ``limit`` a page of them as an administrator sees them."""
        return handlers.list_users(self.db) if limit is None else handlers.page_users(self.db, limit, after, q)

    @rpc
    def create_key(
        self,
        user_id: int,
        scopes: Scopes,
        name: str | None = None,
        expires_at: str | None = None,
        by: int | None = None,
        address: str | None = None,
        session_id: str | None = None,
        key_id: int | None = None,
    ) -> NewApiKey:
        """A new API key; the only answer that holds the key itself."""
        actor = Actor(by, address, session_id, key_id)
        return keys.create_key(self.db, user_id, name, scopes, expires_at, actor)

    @rpc
    def list_keys(self, user_id: int) -> ApiKeys:
        """The API keys of a user."""
        return keys.list_keys(self.db, user_id)

    @rpc
    def revoke_key(
        self,
        user_id: int,
        key_id: int,
        by: int | None = None,
        address: str | None = None,
        session_id: str | None = None,
    ) -> None:
        """End an API key of a user. ``key_id`` is that key: a key cannot revoke keys."""
        keys.revoke_key(self.db, user_id, key_id, Actor(by, address, session_id))
        self.announce()

    @rpc
    def verify_key(self, key: str) -> VerifiedKey:
        """Who acts with this API key; ``unauthenticated`` for one that is not good."""
        return keys.verify_key(self.db, key)

    @rpc
    def audit(
        self,
        limit: int = 100,
        after: str | None = None,
        action: str | None = None,
        user_id: int | None = None,
        since: str | None = None,
    ) -> AuditPage:
        """A page of the audit trail, newest first; ``since`` is an RFC 3339 time."""
        start = None if since is None else from_text("since", since)
        return self.db.read(lambda s: audit.read(s, limit, after, action, user_id, start))

    @rpc
    def health(self) -> dict[str, str]:
        """Whether the database answers."""
        return check_database(self.db)

    @timer(interval=INTERVAL_SECONDS)
    def tidy(self) -> None:
        """Forget what has run out."""
        forget_old(self.db)
