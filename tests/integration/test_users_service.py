"""The users service on a real bus: every call as its callers make it, errors and events as they receive them."""

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import eventlet
import kombu
import pytest
from nameko.containers import ServiceContainer
from nameko.exceptions import IncorrectSignature
from nameko.standalone.rpc import ClusterRpcProxy

from docsave_services.errors import (
    BadCredentials,
    InvalidInput,
    LastAdministrator,
    NotFound,
    TooManyRequests,
    Unauthenticated,
)
from docsave_services.tokens import KeyRing, verify_access_token
from docsave_services.users import passwords
from docsave_services.users.service import UsersService
from tests.support.accounts import PASSWORD, Accounts, open_accounts
from tests.support.configuration import load_config
from tests.support.rabbitmq import Broker

SECRET = "s" * 48
WaitUntil = Callable[..., Any]


@pytest.fixture
def accounts(database_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    with open_accounts(database_uri, monkeypatch) as opened:
        yield opened


@pytest.fixture
def config(accounts: Accounts, broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    settings = {"AMQP_URI": broker.amqp_uri, "DB_URI": accounts.uri, "DATA_DIR": tmp_path, "SECRET_KEY": SECRET}
    return load_config(monkeypatch, **settings)


@pytest.fixture
def users(config: dict[str, Any]) -> Iterator[Any]:
    """``users.get(user_id=1)`` asks the running service."""
    container = ServiceContainer(UsersService, config=config)
    container.start()
    with ClusterRpcProxy(config) as rpc:
        yield rpc.users
    container.kill()


class Heard:
    """A queue bound to the events of users, as the gateway's."""

    def __init__(self, amqp_uri: str) -> None:
        self.items: list[dict[str, Any]] = []
        self._connection = kombu.Connection(amqp_uri)
        channel = self._connection.channel()
        exchange = kombu.Exchange("users.events", "topic", durable=True)
        self._queue = kombu.Queue("", exchange, routing_key="Revoked", exclusive=True)(channel)
        self._queue.declare()

    def look(self) -> list[dict[str, Any]]:
        """Everything heard so far."""
        while (message := self._queue.get(no_ack=True)) is not None:
            self.items.append(message.payload)
        return self.items

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def heard(broker: Broker) -> Iterator[Heard]:
    heard = Heard(broker.amqp_uri)
    yield heard
    heard.close()


def test_a_session_from_login_to_logout(heard: Heard, users: Any, wait_until: WaitUntil) -> None:
    """Each step over the bus; the end of it is broadcast, and answered to whoever asks."""
    user = users.create(login="ann", password=PASSWORD)
    first = users.log_in(login="ann", password=PASSWORD, address="192.0.2.1", agent="a browser")
    assert set(first) == {"access_token", "token_type", "expires_in", "refresh_token"}
    second = users.refresh(refresh_token=first["refresh_token"])
    who = verify_access_token(KeyRing(SECRET), second["access_token"])
    assert (who.user_id, who.role) == (user["id"], "user")
    before = users.revocations()
    assert before["items"] == []
    assert users.log_out(refresh_token=second["refresh_token"]) is None
    with pytest.raises(Unauthenticated):
        users.refresh(refresh_token=second["refresh_token"])
    page = users.revocations(since=before["seq"])
    assert [(r["kind"], r["id"]) for r in page["items"]] == [("session", who.session_id)]
    wait_until(lambda: page["items"][0] in heard.look(), 5)


def test_whatever_revokes_is_broadcast(heard: Heard, users: Any, wait_until: WaitUntil) -> None:
    """A reused token, a new password, a disabled account, a revoked key."""
    user_id = users.create(login="ann", password=PASSWORD)["id"]
    first = users.log_in(login="ann", password=PASSWORD)
    third = users.refresh(refresh_token=users.refresh(refresh_token=first["refresh_token"])["refresh_token"])
    with pytest.raises(Unauthenticated):
        users.refresh(refresh_token=first["refresh_token"])
    users.update(user_id=user_id, password="another password")
    users.update(user_id=user_id, active=False)
    users.update(user_id=user_id, active=True)
    key = users.create_key(user_id=user_id, scopes=["files:read"])
    users.revoke_key(user_id=user_id, key_id=key["id"])
    expected = [
        ("session", verify_access_token(KeyRing(SECRET), third["access_token"]).session_id, None),
        ("user", user_id, 1), ("user", user_id, 2), ("key", key["id"], None),
    ]  # fmt: skip
    wait_until(lambda: len(heard.look()) >= 4, 5)
    assert [(r["kind"], r["id"], r["min_version"]) for r in heard.items] == expected
    assert [r["seq"] for r in heard.items] == [1, 2, 3, 4]


def test_ending_sessions_is_broadcast(heard: Heard, users: Any, wait_until: WaitUntil) -> None:
    """One of somebody's sessions, then all but one: every process hears of each."""
    user_id = users.create(login="ann", password=PASSWORD)["id"]
    for _ in range(4):
        users.log_in(login="ann", password=PASSWORD, address="192.0.2.1", agent="a browser")
    kept, first, *others = [s["id"] for s in users.list_sessions(user_id=user_id)]
    assert users.end_session(user_id=user_id, session=first, by=user_id, session_id=kept) is None
    with pytest.raises(NotFound):
        users.end_session(user_id=user_id, session=first)
    assert users.end_other_sessions(user_id=user_id, session_id=kept, by=user_id) == 2
    assert [s["id"] for s in users.list_sessions(user_id=user_id)] == [kept]
    wait_until(lambda: [r["id"] for r in heard.look()] == [first, *sorted(others)], 5)


def test_a_pause_arrives_with_its_length(users: Any) -> None:
    """The gateway makes Retry-After of it."""
    users.create(login="ann", password=PASSWORD)
    for _ in range(5):
        with pytest.raises(BadCredentials):
            users.log_in(login="ann", password="wrong password", address="192.0.2.1")
    with pytest.raises(TooManyRequests) as caught:
        users.authenticate(login="ann", password=PASSWORD, address="192.0.2.1")
    assert caught.value.retry_after == 1


def test_keys_accounts_and_trail(users: Any) -> None:
    """What the gateway asks on behalf of administrators and programs."""
    user_id = users.create(login="ann", password=PASSWORD, role="admin", by=None, address="192.0.2.1")["id"]
    made = users.create_key(user_id=user_id, scopes=["events:read"], name="CRM", by=user_id, session_id="5" * 32)
    assert users.verify_key(key=made["key"])["scopes"] == ["events:read"]
    assert [k["name"] for k in users.list_keys(user_id=user_id)] == ["CRM"]
    with pytest.raises(LastAdministrator):
        users.update(user_id=user_id, role="user", by=user_id)
    assert users.update(user_id=user_id, quota_bytes=5, by=user_id, details=True)["quota_bytes"] == 5
    assert users.get(user_id=user_id, details=True)["quota_bytes"] == 5
    assert "quota_bytes" not in users.get(user_id=user_id)
    assert [u["login"] for u in users.list()] == ["ann"]
    assert users.list(limit=1, q="AN") == {"items": [users.get(user_id=user_id, details=True)], "next": None}
    page = users.audit(limit=2)
    assert [e["action"] for e in page["items"]] == ["user_updated", "key_created"]
    assert [e["action"] for e in users.audit(after=page["next"])["items"]] == ["user_created"]
    assert users.audit(since="2999-01-01T00:00:00Z")["items"] == []


WRONG_TYPES: list[tuple[str, dict[str, Any]]] = [
    ("log_in", {"login": 5, "password": PASSWORD}), ("log_in", {"login": "ann", "password": None}),
    ("log_in", {"login": "ann", "password": PASSWORD, "address": 5}), ("refresh", {"refresh_token": None}),
    ("log_out", {"refresh_token": {}}), ("revocations", {"since": "x"}), ("audit", {"since": "yesterday"}),
    ("create", {"login": "ann", "password": PASSWORD, "by": "x"}), ("list", {"limit": "x"}),
    ("list", {"limit": 5, "q": 5}), ("end_session", {"user_id": 1, "session": 5}),
    ("end_other_sessions", {"user_id": 1, "session_id": None}),
]  # fmt: skip


def test_wrong_types_give_a_named_error(users: Any) -> None:
    """The service lives on."""
    for method, arguments in WRONG_TYPES:
        with pytest.raises(InvalidInput):
            getattr(users, method)(**arguments)
        with pytest.raises(IncorrectSignature):
            getattr(users, method)(nonsense=1)
    assert users.health() == {"database": "ok"}


def test_an_id_that_cannot_be_is_not_found(users: Any) -> None:
    """In every call that takes one."""
    for user_id in (0, -1, 2**63, "1", True, None, 1.0):
        for method, more in (
            ("get", {}), ("update", {"name": "x"}), ("list_keys", {}), ("create_key", {"scopes": ["files:read"]}),
            ("list_sessions", {}), ("end_session", {"session": "5" * 32}), ("end_other_sessions", {"session_id": "5"}),
        ):  # fmt: skip
            with pytest.raises(NotFound):
                getattr(users, method)(user_id=user_id, **more)


def test_logins_at_once_do_not_hold_up_other_calls(
    config: dict[str, Any], users: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While twenty passwords are verified, another call takes less than half of what one verification takes."""
    monkeypatch.setattr(passwords, "ROUNDS", 12)
    monkeypatch.setattr(passwords, "TURN_SECONDS", 60.0)  # on a busy machine too all twenty get their turn
    user_id = users.create(login="ann", password=PASSWORD)["id"]
    start = time.perf_counter()
    passwords.hash_password(PASSWORD)
    one_hash = time.perf_counter() - start

    def log_in_twenty_times() -> int:
        with ClusterRpcProxy(config) as other:
            logins = [{"login": "ann", "password": PASSWORD, "address": f"192.0.2.{n}"} for n in range(20)]
            waiting = [other.users.log_in.call_async(**login) for login in logins]
            return len([reply.result() for reply in waiting])

    took: list[float] = []
    twenty = eventlet.spawn(log_in_twenty_times)
    while not twenty.dead and len(took) < 1000:
        start = time.perf_counter()
        users.get(user_id=user_id)
        took.append(time.perf_counter() - start)
    assert twenty.wait() == 20
    assert statistics.median(took) < one_hash / 2
