"""Who is logged in: one file that only its owner can read (XDG base directories)."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from docsave_client.durable import make_directories, write_atomically
from docsave_client.errors import ClientError, NotLoggedIn
from docsave_client.session import Fixed, Session
from docsave_client.transport import Credential
from docsave_client.types import Tokens


@dataclass(frozen=True, slots=True)
class Login:
    """A server and who one is there: a key, or a session's tokens."""

    url: str
    notifier_url: str
    key: str | None = None
    tokens: Tokens | None = None


class LoginFile:
    """The file, also as the store of the session's tokens: commands that run at once share them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Login:
        """Who is logged in; ``NotLoggedIn`` when nobody is."""
        try:
            kept: Any = json.loads(self.path.read_bytes())
            return Login(**kept)
        except FileNotFoundError as exc:
            raise NotLoggedIn("unauthenticated", 401, "Log in first: docsave login URL") from exc
        except (ValueError, TypeError) as exc:
            raise ClientError(f"{self.path} cannot be read; delete it and log in again") from exc

    def write(self, login: Login) -> None:
        """Be logged in as this from now on."""
        make_directories(self.path.parent, 0o700)
        write_atomically(self.path, json.dumps(asdict(login), indent=2).encode())

    def forget(self) -> None:
        """Be nobody."""
        self.path.unlink(missing_ok=True)

    def load(self) -> Tokens | None:
        return self.read().tokens

    def save(self, tokens: Tokens) -> None:
        self.write(replace(self.read(), tokens=tokens))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        with self.path.with_suffix(".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def credential(self, login: Login) -> Credential:
        """What to send with requests."""
        return Session(login.url, self) if login.key is None else Fixed(login.key)


def login_file() -> LoginFile:
    """Where logins are kept."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return LoginFile(Path(base) / "docsave" / "login.json")
