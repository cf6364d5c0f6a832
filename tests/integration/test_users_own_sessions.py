"""A user's own sessions on a real database: seeing them, ending one, ending the others."""

from collections.abc import Iterator

import eventlet
import pytest

from docsave_services.contracts import TokenPair
from docsave_services.db.audit import Actor
from docsave_services.errors import NotFound, Unauthenticated
from docsave_services.users import sessions
from tests.support.accounts import Accounts, open_accounts


@pytest.fixture
def accounts(database_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    with open_accounts(database_uri, monkeypatch) as opened:
        yield opened


def id_of(accounts: Accounts, pair: TokenPair) -> str:
    """The session that a pair belongs to."""
    session_id = accounts.identity(pair).session_id
    assert session_id is not None
    return session_id


def ended(accounts: Accounts, pair: TokenPair) -> bool:
    """Whether neither token of the pair is good any more; half an end would be an error of its own."""
    refused = accounts.refused(pair)
    try:
        accounts.refresh(pair)
    except Unauthenticated:
        assert refused
        return True
    assert not refused
    return False


def test_a_user_sees_live_sessions_only(accounts: Accounts) -> None:
    """The newest first, with where and with what they were opened; no ended, expired or foreign one, and no token."""
    user_id, login = accounts.new()
    accounts.log_in(accounts.new()[1])
    expired = accounts.log_in(login)
    accounts.later(sessions.REFRESH_SECONDS - 60)
    left, first, second = (accounts.log_in(login, address=f"192.0.2.{n}") for n in range(3))
    sessions.log_out(accounts.db, left["refresh_token"], None)
    accounts.later(sessions.REFRESH_SECONDS + 60)
    accounts.refresh(first)
    listed = sessions.list_sessions(accounts.db, user_id)
    assert {s["id"] for s in listed} == {id_of(accounts, first), id_of(accounts, second)}
    assert id_of(accounts, expired) not in repr(listed)
    by_id = {s["id"]: s for s in listed}
    used, unused = by_id[id_of(accounts, first)], by_id[id_of(accounts, second)]
    assert set(used) == {"id", "created_at", "last_used_at", "address", "agent"}
    assert (used["address"], used["agent"]) == ("192.0.2.1", "a browser")
    assert used["last_used_at"] > used["created_at"]
    assert unused["last_used_at"] == unused["created_at"]


def test_a_list_of_sessions_is_bounded(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest are shown."""
    monkeypatch.setattr(sessions, "SHOWN_MAX", 2)
    user_id, login = accounts.new()
    pairs = []
    for n in range(3):
        accounts.later(n)
        pairs.append(accounts.log_in(login))
    assert [s["id"] for s in sessions.list_sessions(accounts.db, user_id)] == [
        id_of(accounts, pair) for pair in pairs[:0:-1]
    ]


def test_a_user_ends_one_session(accounts: Accounts) -> None:
    """That one alone, also the one that asks; the trail names who asked with which session."""
    user_id, login = accounts.new()
    mine, other = accounts.log_in(login), accounts.log_in(login)
    actor = Actor(user_id, "192.0.2.9", id_of(accounts, mine))
    sessions.end_own_session(accounts.db, user_id, id_of(accounts, other), actor)
    assert [ended(accounts, pair) for pair in (mine, other)] == [False, True]
    [entry] = accounts.trail(action="sessions_revoked")
    assert (entry["user_id"], entry["by"], entry["address"]) == (user_id, user_id, "192.0.2.9")
    assert (entry["session_id"], entry["detail"]) == (id_of(accounts, mine), {"sessions": 1})
    sessions.end_own_session(accounts.db, user_id, id_of(accounts, mine), actor)
    assert sessions.list_sessions(accounts.db, user_id) == []


def test_only_ones_own_live_sessions_can_be_ended(accounts: Accounts) -> None:
    """Somebody else's, an ended, an expired and an unknown one are not found alike, and nothing happens to them."""
    user_id, login = accounts.new()
    foreign, gone, old = accounts.log_in(accounts.new()[1]), accounts.log_in(login), accounts.log_in(login)
    sessions.log_out(accounts.db, gone["refresh_token"], None)
    texts = set()
    for session_id in (id_of(accounts, foreign), id_of(accounts, gone), "5" * 32, "", "x" * 1000):
        with pytest.raises(NotFound) as caught:
            sessions.end_own_session(accounts.db, user_id, session_id, Actor(user_id))
        texts.add(str(caught.value))
    assert len(texts) == 1
    assert not ended(accounts, foreign)
    accounts.later(sessions.REFRESH_SECONDS + 1)
    with pytest.raises(NotFound):
        sessions.end_own_session(accounts.db, user_id, id_of(accounts, old), Actor(user_id))
    assert accounts.trail(action="sessions_revoked") == []


def test_a_user_ends_all_other_sessions(accounts: Accounts) -> None:
    """The one that asks goes on, other people's too; one line in the trail; again is harmless and leaves no line."""
    user_id, login = accounts.new()
    mine, *others = (accounts.log_in(login) for _ in range(4))
    foreign = accounts.log_in(accounts.new()[1])
    actor = Actor(user_id, None, id_of(accounts, mine))
    counts = [sessions.end_other_sessions(accounts.db, user_id, id_of(accounts, mine), actor) for _ in range(2)]
    assert counts == [3, 0]
    assert [ended(accounts, pair) for pair in (mine, foreign, *others)] == [False, False, True, True, True]
    assert [entry["detail"] for entry in accounts.trail(action="sessions_revoked")] == [{"sessions": 3}]


def test_two_sessions_that_end_each_other(accounts: Accounts) -> None:
    """At once: the database puts them in an order, and no session is half ended."""
    user_id, login = accounts.new()
    pairs = [accounts.log_in(login) for _ in range(4)]
    ids = [id_of(accounts, pair) for pair in pairs]
    threads = [
        eventlet.spawn(sessions.end_other_sessions, accounts.db, user_id, kept, Actor(user_id)) for kept in ids[:2]
    ]
    assert sorted(thread.wait() for thread in threads) == [1, 3]
    assert all(ended(accounts, pair) for pair in pairs[2:])
    assert [ended(accounts, pair) for pair in pairs[:2]] == [True, True]
