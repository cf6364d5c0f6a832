"""Accounts on a real database."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import eventlet
import pytest
from sqlalchemy import text

from docsave_services.db.engine import make_engine
from docsave_services.db.transactions import Transactions
from docsave_services.errors import BadCredentials, DocsaveError, InvalidInput, LoginTaken, NotFound, WrongPassword
from docsave_services.settings import Settings
from docsave_services.users import handlers
from docsave_services.users.bootstrap import ensure_first_admin
from tests.support.databases import prepare
from tests.support.documents import use_quick_hashes

PASSWORD = "correct horse battery"


@pytest.fixture
def db(database_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Transactions]:
    use_quick_hashes(monkeypatch)
    prepare(database_uri)
    transactions = Transactions(make_engine(database_uri))
    yield transactions
    transactions.engine.dispose()


def test_a_user_is_shown_without_the_password(db: Transactions) -> None:
    """Neither the password nor its hash, under any key."""
    user = handlers.create_user(db, "  Ann ", PASSWORD, None, "user")
    assert set(user) == {"id", "login", "name", "role", "active", "created_at", "updated_at"}
    assert (user["login"], user["name"], user["role"], user["active"]) == ("Ann", "Ann", "user", True)
    assert handlers.get_user(db, user["id"]) == user
    assert handlers.list_users(db) == [user]


@pytest.mark.parametrize("login", ["ann", "ANN ", "Ann"])
def test_a_login_is_taken_whatever_its_case(db: Transactions, login: str) -> None:
    """One account for one login."""
    handlers.create_user(db, "Ann", PASSWORD, None, "user")
    with pytest.raises(LoginTaken):
        handlers.create_user(db, login, PASSWORD, None, "user")


def test_two_registrations_at_once_make_one_account(db: Transactions) -> None:
    """The database decides, not a look before the leap."""

    def attempt() -> str:
        try:
            handlers.create_user(db, "ann", PASSWORD, None, "user")
        except DocsaveError as exc:
            return exc.code
        return "created"

    threads = [eventlet.spawn(attempt) for _ in range(5)]
    assert sorted(t.wait() for t in threads) == ["created", *["login_taken"] * 4]


def test_every_wrong_field_is_named(db: Transactions) -> None:
    """All at once, not one after the other."""
    with pytest.raises(InvalidInput) as caught:
        handlers.create_user(db, "a", "short", "", "user")
    assert [e["field"] for e in caught.value.errors] == ["login", "name", "password"]


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("x" * 72 + "A", "x" * 72 + "B"),
        ("nul\x00one-and-more", "nul\x00two-and-more"),
        ("🔑" * 128, "🔑" * 127),
        ("trailing space ", "trailing space"),
    ],
)
def test_every_byte_of_a_password_counts(db: Transactions, good: str, bad: str) -> None:
    """bcrypt alone would stop at 72 bytes or at a NUL."""
    handlers.create_user(db, "ann", good, None, "user")
    assert handlers.authenticate(db, "ANN", good)["login"] == "ann"
    with pytest.raises(BadCredentials):
        handlers.authenticate(db, "ann", bad)


def test_a_disabled_account_is_refused_like_a_wrong_password(db: Transactions) -> None:
    """The same error for every reason."""
    user = handlers.create_user(db, "ann", PASSWORD, None, "user")
    db.write(lambda s: s.execute(text("UPDATE user SET active = 0 WHERE id = :id"), {"id": user["id"]}))
    with pytest.raises(BadCredentials):
        handlers.authenticate(db, "ann", PASSWORD)


@pytest.mark.parametrize("password", ["wrong password", "a\ud800b"])
def test_unknown_logins_and_wrong_passwords_look_alike(db: Transactions, password: str) -> None:
    """One error, one sentence."""
    handlers.create_user(db, "ann", PASSWORD, None, "user")
    texts = set()
    for login in ("ann", "nobody"):
        with pytest.raises(BadCredentials) as caught:
            handlers.authenticate(db, login, password)
        texts.add(str(caught.value))
    assert len(texts) == 1


def test_hashing_does_not_stop_the_event_loop(db: Transactions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other green threads go on while a password is hashed."""
    from docsave_services.users import passwords

    monkeypatch.setattr(passwords, "ROUNDS", 11)
    longest = 0.0
    running = True

    def tick() -> None:
        nonlocal longest
        while running:
            start = time.perf_counter()
            eventlet.sleep(0.001)
            longest = max(longest, time.perf_counter() - start)

    ticker = eventlet.spawn(tick)
    start = time.perf_counter()
    handlers.create_user(db, "ann", PASSWORD, None, "user")
    took = time.perf_counter() - start
    running = False
    ticker.wait()
    assert longest < took / 2


def change(db: Transactions, user_id: int, current: str | None, **fields: str | None) -> Callable[[], object]:
    return lambda: handlers.update_user(db, user_id, dict(fields), current, True)


def test_a_new_password_or_login_needs_the_present_one(db: Transactions) -> None:
    """A name does not."""
    user_id = handlers.create_user(db, "ann", PASSWORD, None, "user")["id"]
    for fields in ({"password": "another password"}, {"login": "anna"}):
        for current in (None, "wrong", "a\ud800b"):
            with pytest.raises(WrongPassword):
                change(db, user_id, current, **fields)()
    assert change(db, user_id, None, name="Ann B.")()["name"] == "Ann B."  # type: ignore[index]
    change(db, user_id, PASSWORD, password="another password", login="Anna")()
    assert handlers.authenticate(db, "anna", "another password")["id"] == user_id
    with pytest.raises(BadCredentials):
        handlers.authenticate(db, "anna", PASSWORD)


def test_changes_are_checked_like_creations(db: Transactions) -> None:
    """Taken logins, the login as password, unknown users."""
    handlers.create_user(db, "bob", PASSWORD, None, "user")
    user_id = handlers.create_user(db, "ann", PASSWORD, None, "user")["id"]
    with pytest.raises(LoginTaken):
        change(db, user_id, PASSWORD, login="BOB")()
    with pytest.raises(InvalidInput):
        change(db, user_id, PASSWORD, login="long-enough", password="Long-Enough")()
    with pytest.raises(NotFound):
        change(db, 4711, None, name="x")()


def test_the_first_administrator_is_made_once(db: Transactions, database_uri: str, tmp_path: Path) -> None:
    """At the first start only, with the configured password."""
    settings = Settings(
        host="", port=1, notifier_port=2, data_dir=tmp_path, backup_dir=tmp_path, db_uri=database_uri,
        registration="open", max_file_bytes=1, cors_origins=("*",), body_timeout_seconds=1.0,
        admin_login="root", admin_password=PASSWORD, secret_key="",
    )  # fmt: skip
    assert ensure_first_admin(settings) is True
    assert ensure_first_admin(settings) is False
    assert [(u["login"], u["role"]) for u in handlers.list_users(db)] == [("root", "admin")]
    assert handlers.authenticate(db, "root", PASSWORD)["role"] == "admin"
