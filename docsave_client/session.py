"""Who the client is: a fixed token or key, or a session that is refreshed before it runs out."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from docsave_client.errors import NotLoggedIn
from docsave_client.transport import Call, Transport
from docsave_client.types import Tokens

EARLY_SECONDS = 30.0
"""A token that has less left than this is refreshed before it is used."""


class Fixed:
    """An API key, or an access token that somebody else keeps fresh."""

    def __init__(self, token: str) -> None:
        self._token = token

    def bearer(self) -> str:
        return self._token

    def renew(self, spent: str) -> bool:
        return False


class TokenStore(Protocol):
    """Where a session's tokens are kept. Several processes may share one: a refresh token is good once."""

    def load(self) -> Tokens | None:
        """The tokens, if there is a session."""

    def save(self, tokens: Tokens) -> None:
        """Keep these from now on."""

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Inside the block nobody else refreshes."""


class InMemory:
    """Tokens of this process alone."""

    def __init__(self, tokens: Tokens | None = None) -> None:
        self._tokens = tokens
        self._lock = threading.RLock()

    def load(self) -> Tokens | None:
        return self._tokens

    def save(self, tokens: Tokens) -> None:
        self._tokens = tokens

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        with self._lock:
            yield


class Session:
    """A person's session. ``log_in`` is asked for a new one when there is none or it is over."""

    def __init__(self, url: str, store: TokenStore, log_in: Callable[[], Tokens] | None = None) -> None:
        self._transport = Transport(url)
        self._store = store
        self._log_in = log_in

    def bearer(self) -> str:
        """The access token; ``NotLoggedIn`` when there is none to be had."""
        tokens = self._store.load()
        if tokens is None or tokens["expires_at"] - time.time() < EARLY_SECONDS:
            tokens = self._renewed(tokens)
        return tokens["access_token"]

    def renew(self, spent: str) -> bool:
        tokens = self._store.load()
        if tokens is None or tokens["access_token"] == spent:
            self._renewed(tokens)
        return True

    def _renewed(self, seen: Tokens | None) -> Tokens:
        with self._store.lock():
            tokens = self._store.load()
            if tokens is None or tokens == seen:  # else another thread or process was faster
                tokens = self._refreshed(tokens)
                self._store.save(tokens)
            return tokens

    def _refreshed(self, tokens: Tokens | None) -> Tokens:
        if tokens is not None:
            try:
                return refresh(self._transport, tokens["refresh_token"])
            except NotLoggedIn:
                if self._log_in is None:
                    raise
        if self._log_in is None:
            raise NotLoggedIn("unauthenticated", 401, "Log in first")
        return self._log_in()


def log_in(transport: Transport, login: str, password: str) -> Tokens:
    """A new session. ``NotLoggedIn`` when login or password is wrong."""
    return _tokens(transport.json(Call("POST", "/login", json={"login": login, "password": password})))


def refresh(transport: Transport, refresh_token: str) -> Tokens:
    """The session's next tokens. A lost answer may be asked for again within 10 seconds, which the tries do."""
    return _tokens(transport.json(Call("POST", "/token/refresh", json={"refresh_token": refresh_token})))


def log_out(transport: Transport, refresh_token: str) -> None:
    """End the session."""
    transport.send(Call("POST", "/logout", json={"refresh_token": refresh_token}))


def _tokens(pair: Any) -> Tokens:
    return {
        "access_token": pair["access_token"],
        "refresh_token": pair["refresh_token"],
        "expires_at": time.time() + pair["expires_in"],
    }
