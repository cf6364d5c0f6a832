"""From what a client shows, an access token or an API key, to who it is: the same for HTTP and sockets."""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from docsave_services.contracts import SCOPES, VerifiedKey
from docsave_services.errors import InsufficientScope, Unauthenticated
from docsave_services.nameko_ext.request_context import REQUEST_ID_KEY
from docsave_services.revocations import Revocations, RevocationsProvider
from docsave_services.settings import Settings
from docsave_services.tokens import Identity, KeyRing, verify_access_token

KEY_PREFIX = "dsk_"
FILES_READ, FILES_WRITE, EVENTS_READ = SCOPES

KEY_SECONDS = 60.0
"""An answer about a key is used this long. Revocation ends it at once; only ``last_used_at`` lags behind."""

KEYS_MAX = 10_000
"""Answers kept; past it the one used longest ago goes and costs a call when its key comes again."""

TOKENS_MAX = 10_000
"""Tokens whose signature need not be checked again: it stays what it is. When they end is looked at each time."""

_KEY = re.compile(r"dsk_[A-Za-z0-9_-]{16,200}")


@dataclass(frozen=True, slots=True)
class _KeyAnswer:
    identity: Identity
    fetched: float


class Credentials:
    """Says who a token or key belongs to. ``Unauthenticated``, always in the same words, when nobody may use it."""

    def __init__(self, keys: KeyRing, revocations: Revocations, verify_key: Callable[[str], VerifiedKey]) -> None:
        self._keys = keys
        self._verify_key = verify_key
        self._answers: OrderedDict[str, _KeyAnswer] = OrderedDict()
        self._verified: OrderedDict[str, Identity] = OrderedDict()
        self.revocations = revocations

    def identify(self, credential: str) -> Identity:
        """The identity now. No call for an access token, at most one a minute for a key.

        ``Unavailable`` when it cannot be known whether it was revoked.
        """
        if credential.startswith(KEY_PREFIX):
            return self._owner_of_key(credential)
        identity = self._holder_of_token(credential)
        self.revocations.check(identity)
        return identity

    def is_over(self, identity: Identity) -> bool:
        """Whether the identity has run out or is known to be revoked; never waits."""
        return time.time() >= identity.expires_at or self.revocations.view.is_revoked(identity)

    def _holder_of_token(self, token: str) -> Identity:
        identity = self._verified.get(token)
        if identity is None:
            identity = self._verified[token] = verify_access_token(self._keys, token)
            while len(self._verified) > TOKENS_MAX:
                self._verified.popitem(last=False)
        elif time.time() >= identity.expires_at:
            del self._verified[token]
            raise Unauthenticated
        return identity

    def _owner_of_key(self, key: str) -> Identity:
        if not _KEY.fullmatch(key):
            raise Unauthenticated
        digest = hashlib.sha256(key.encode()).hexdigest()
        answer = self._answers.get(digest)
        if answer is None or not self._is_good(answer):
            self._answers.pop(digest, None)
            answer = self._ask(key)
            self._keep(digest, answer)
        self._answers.move_to_end(digest)
        self.revocations.check(answer.identity)
        if time.time() >= answer.identity.expires_at:
            raise Unauthenticated
        return answer.identity

    def _is_good(self, answer: _KeyAnswer) -> bool:
        """Young enough, and not from before something happened to the account: then the key may still be good."""
        return time.monotonic() - answer.fetched < KEY_SECONDS and not self.is_over(answer.identity)

    def _ask(self, key: str) -> _KeyAnswer:
        fetched = time.monotonic()
        return _KeyAnswer(_identity_of_key(self._verify_key(key)), fetched)

    def _keep(self, digest: str, answer: _KeyAnswer) -> None:
        self._answers[digest] = answer
        while len(self._answers) > KEYS_MAX:
            self._answers.popitem(last=False)


def require_scope(identity: Identity, scope: str) -> None:
    """``InsufficientScope`` for a key that was not given ``scope``; a person has them all."""
    if not identity.may(scope):
        raise InsufficientScope(f"This API key lacks the scope {scope}")


def _identity_of_key(answer: VerifiedKey) -> Identity:
    expires_at = answer["expires_at"]
    return Identity(
        user_id=answer["user_id"],
        role=answer["role"],
        expires_at=float("inf") if expires_at is None else datetime.fromisoformat(expires_at).timestamp(),
        session_id=None,
        version=answer["version"],
        scopes=frozenset(answer["scopes"]),
        key_id=answer["key_id"],
    )


class CredentialsProvider(RevocationsProvider):
    """Injects the process's ``Credentials``; its service passes the event ``REVOKED`` to ``revocations.learn``."""

    def setup(self) -> None:
        super().setup()
        keys = Settings.from_config(self.container.config).keys
        self.credentials = Credentials(keys, self.revocations, self._verify_key)

    def get_dependency(self, worker_ctx: Any) -> Credentials:  # type: ignore[override] # what it is used for
        return self.credentials

    def _verify_key(self, key: str) -> VerifiedKey:
        request_id = structlog.contextvars.get_contextvars().get(REQUEST_ID_KEY)
        context = {} if request_id is None else {REQUEST_ID_KEY: request_id}
        answer: VerifiedKey = self.outside_worker(**context)("verify_key", key=key)
        return answer


def credentials_of(container: Any) -> Credentials:
    """The credentials of the service that runs in ``container``, for its entrypoints."""
    providers = (each for each in container.dependencies if isinstance(each, CredentialsProvider))
    return next(providers).credentials
