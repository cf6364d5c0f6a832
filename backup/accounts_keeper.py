"""Keeping ``accounts/`` as it is in the database: whose documents these are must be known without it."""

from __future__ import annotations

import hashlib
import time
from typing import Any, cast

import eventlet
from eventlet import tpool
from nameko.extensions import DependencyProvider

from backup.accounts import write_accounts
from backup.engine import ACTIVE, Engine
from backup.errors import Refused, describe
from backup.extensions import BackupEngine
from docsave_services import quick_json
from docsave_services.contracts import USERS, UserDetails, UserPage
from docsave_services.errors import DocsaveError
from docsave_services.log import get_logger
from docsave_services.nameko_ext import DeadlineRpc

_log = get_logger(__name__)

LOOK_SECONDS = 5.0
"""An account is in the directory about this long after it was made or changed."""

LOOK_SHARE = 0.05
"""Looking takes this share of the time at most: with a hundred thousand accounts it is done less often."""

START_SECONDS = 0.5
"""The same while the process is waiting for its turn."""

PAGE = 1000
PAGES_MAX = 10_000


class AccountsKeeper(DependencyProvider):
    """Asks the users service regularly, and writes what changed, while this is the process that may write.

    The service must also declare a ``BackupEngine`` and a ``DeadlineRpc`` to the users service.
    """

    def start(self) -> None:
        self.container.spawn_managed_thread(self._run, identifier="accounts_keeper")

    def get_dependency(self, worker_ctx: Any) -> None:
        """Nothing: it works by itself."""

    def _run(self) -> None:
        known: dict[int, bytes] = {}
        told: str | None = None
        while True:
            engine = self._engine()
            if engine.state != ACTIVE:
                known = {}  # another process may write meanwhile
                eventlet.sleep(START_SECONDS)
                continue
            began = time.monotonic()
            try:
                self._write_changed(engine, known)
                told = None
            except (DocsaveError, Refused, OSError) as exc:
                if told != describe(exc):  # once, not every few seconds
                    told = describe(exc)
                    _log.warning("accounts_not_kept", error=told)
            eventlet.sleep(max(LOOK_SECONDS, (time.monotonic() - began) / LOOK_SHARE))

    def _write_changed(self, engine: Engine, known: dict[int, bytes]) -> None:
        after: str | None = None
        for _ in range(PAGES_MAX):
            page = cast(UserPage, self._rpc().outside_worker()("list", limit=PAGE, after=after))
            found = {user["id"]: _digest(user) for user in page["items"]}
            changed = [user for user in page["items"] if known.get(user["id"]) != found[user["id"]]]
            if changed:
                tpool.execute(_write, engine, changed)
                known.update(found)
            after = page["next"]
            if after is None:
                return

    def _engine(self) -> Engine:
        return next(d for d in self.container.dependencies if isinstance(d, BackupEngine)).engine

    def _rpc(self) -> DeadlineRpc:
        rpcs = (d for d in self.container.dependencies if isinstance(d, DeadlineRpc))
        return next(rpc for rpc in rpcs if rpc.target_service == USERS)


def _digest(user: UserDetails) -> bytes:
    """Stands for the account, in a tenth of its memory."""
    return hashlib.blake2b(quick_json.dumps(user), digest_size=16).digest()


def _write(engine: Engine, changed: list[UserDetails]) -> None:
    engine.home.require_marker()  # the disk may have been unmounted
    write_accounts(engine.home.root, changed)
