"""Sessions on a real database: rotation, reuse, grace, logging out, and what a change of the account ends."""

from collections.abc import Callable, Iterator

import eventlet
import pytest
from sqlalchemy import text

from docsave_services.errors import BadCredentials, DocsaveError, InvalidInput, Unauthenticated
from docsave_services.tokens import KeyRing
from docsave_services.users import handlers, housekeeping, revoked, sessions
from tests.support.accounts import PASSWORD, RING, Accounts, open_accounts


@pytest.fixture
def accounts(database_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    with open_accounts(database_uri, monkeypatch) as opened:
        yield opened


def test_a_login_gives_a_pair_that_names_its_session(accounts: Accounts) -> None:
    """Fifteen minutes of access, the session and the user's version in the token, the role of the account."""
    user_id, login = accounts.new("admin")
    pair = accounts.log_in(login)
    assert (pair["token_type"], pair["expires_in"]) == ("Bearer", 900)
    who = accounts.identity(pair)
    assert (who.user_id, who.role, who.version) == (user_id, "admin", 0)
    assert [s.id for s in accounts.db.read(lambda s: sessions.live_sessions(s, user_id))] == [who.session_id]


def test_a_refresh_spends_the_token_and_keeps_the_session(accounts: Accounts) -> None:
    """Another pair each time, one session throughout."""
    first = accounts.log_in(accounts.new()[1])
    second = accounts.refresh(first)
    third = accounts.refresh(second)
    assert len({p["refresh_token"] for p in (first, second, third)}) == 3
    assert len({accounts.identity(p).session_id for p in (first, second, third)}) == 1


def test_no_token_is_stored(accounts: Accounts) -> None:
    """Whoever reads the database finds hashes only."""
    pair = accounts.log_in(accounts.new()[1])
    stored = accounts.db.read(lambda s: s.execute(text("SELECT * FROM refresh_token")).all())
    assert len(stored) == 1
    assert pair["refresh_token"] not in repr(stored)
    assert sessions._hash(pair["refresh_token"]) in repr(stored)


def test_a_retry_after_a_lost_answer_gets_the_same_token(accounts: Accounts) -> None:
    """Within ten seconds, any number of times, and without a second branch of the family."""
    first = accounts.log_in(accounts.new()[1])
    answers = [accounts.refresh(first)["refresh_token"] for _ in range(3)]
    assert len(set(answers)) == 1
    assert accounts.count("refresh_token") == 2


def test_retries_at_once_get_the_same_token(accounts: Accounts) -> None:
    """Two tabs that refresh together are not thieves."""
    first = accounts.log_in(accounts.new()[1])
    threads = [eventlet.spawn(accounts.refresh, first) for _ in range(5)]
    assert len({t.wait()["refresh_token"] for t in threads}) == 1


@pytest.mark.parametrize("seconds", [sessions.GRACE_SECONDS + 1, 24 * 3600])
def test_a_spent_token_presented_after_the_grace_ends_the_family(accounts: Accounts, seconds: int) -> None:
    """Thief and owner both lose: the newest token dies too, and so does the access token."""
    first = accounts.log_in(accounts.new()[1])
    second = accounts.refresh(first)
    accounts.later(seconds)
    for pair in (first, second, first):
        with pytest.raises(Unauthenticated):
            accounts.refresh(pair)
    assert accounts.refused(second)
    assert [e["action"] for e in accounts.trail(action="refresh_reused")] == ["refresh_reused"]


def test_the_grace_ends_when_the_next_token_is_used(accounts: Accounts) -> None:
    """The client had its answer, so this is somebody else, however soon."""
    first = accounts.log_in(accounts.new()[1])
    third = accounts.refresh(accounts.refresh(first))
    for pair in (first, third):
        with pytest.raises(Unauthenticated):
            accounts.refresh(pair)


def test_one_family_ends_alone(accounts: Accounts) -> None:
    """Other sessions of the same user go on."""
    _, login = accounts.new()
    stolen, other = accounts.log_in(login), accounts.log_in(login)
    accounts.refresh(stolen)
    accounts.later(60)
    with pytest.raises(Unauthenticated):
        accounts.refresh(stolen)
    assert accounts.refresh(other)
    assert not accounts.refused(other)


def test_a_retry_survives_the_replacement_of_the_key(accounts: Accounts) -> None:
    """The same token follows although another key signs meanwhile."""
    first = accounts.log_in(accounts.new()[1])
    second = accounts.refresh(first)
    ring = KeyRing("n" * 48, RING.current)
    again = sessions.refresh(accounts.db, ring, first["refresh_token"], None)
    assert again["refresh_token"] == second["refresh_token"]


def test_a_refresh_token_runs_out(accounts: Accounts) -> None:
    """Seven days unused; a session that is used lasts ninety."""
    first, idle = (accounts.log_in(accounts.new()[1]) for _ in range(2))
    day = 24 * 3600
    accounts.later(6 * day)
    pair = accounts.refresh(first)
    accounts.later(7 * day + 1)
    with pytest.raises(Unauthenticated):
        accounts.refresh(idle)
    for days in range(12, 90, 6):
        accounts.later(days * day)
        pair = accounts.refresh(pair)
    accounts.later(90 * day + 1)
    with pytest.raises(Unauthenticated):
        accounts.refresh(pair)


def test_what_has_run_out_is_forgotten(accounts: Accounts) -> None:
    """No table grows for ever; what is live stays."""
    old = accounts.log_in(accounts.new()[1])
    accounts.refresh(old)
    sessions.log_out(accounts.db, old["refresh_token"], None)
    accounts.later(8 * 24 * 3600)
    fresh = accounts.log_in(accounts.new()[1])
    housekeeping.forget_old(accounts.db)
    tables = ("session", "refresh_token", "revocation")
    assert {t: accounts.count(t) for t in tables} == {"session": 1, "refresh_token": 1, "revocation": 0}
    assert accounts.count("login_throttle") == 2
    assert accounts.refresh(fresh)


@pytest.mark.parametrize("token", ["", "x", "dsr_" + "A" * 43, "é", "a\ud800", "x" * 1_000_000])
def test_an_unknown_refresh_token_is_refused(accounts: Accounts, token: str) -> None:
    """One error for all of them; an access token is not a refresh token either."""
    with pytest.raises(Unauthenticated, match=r"^The refresh token is not valid\.$"):
        sessions.refresh(accounts.db, RING, token, None)
    access = accounts.log_in(accounts.new()[1])["access_token"]
    with pytest.raises(Unauthenticated):
        sessions.refresh(accounts.db, RING, access, None)


@pytest.mark.parametrize("token", [None, 7, ["x"], {"a": 1}])
def test_a_refresh_token_of_the_wrong_type_is_invalid(accounts: Accounts, token: object) -> None:
    """A named error, not an internal one."""
    with pytest.raises(InvalidInput):
        sessions.refresh(accounts.db, RING, token, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("spent", [False, True])
def test_logging_out_ends_the_session(accounts: Accounts, spent: bool) -> None:
    """Refresh and access tokens of this session, also when the client kept an older token; again is harmless."""
    _, login = accounts.new()
    pair, other = accounts.log_in(login), accounts.log_in(login)
    newest = accounts.refresh(pair) if spent else pair
    for _ in range(2):
        sessions.log_out(accounts.db, pair["refresh_token"], "192.0.2.9")
    with pytest.raises(Unauthenticated):
        accounts.refresh(newest)
    assert accounts.refused(newest)
    assert not accounts.refused(other)
    assert [e["address"] for e in accounts.trail(action="logout")] == ["192.0.2.9"]


def test_logging_out_with_an_unknown_token_says_nothing(accounts: Accounts) -> None:
    """RFC 7009, section 2.2."""
    sessions.log_out(accounts.db, "dsr_" + "A" * 43, None)
    assert accounts.revocations() == []


Change = Callable[[Accounts, int], object]


def new_password(accounts: Accounts, user_id: int) -> object:
    return handlers.update_user(accounts.db, user_id, {"password": "another password"}, PASSWORD, True)


def disabled(accounts: Accounts, user_id: int) -> object:
    return accounts.update(user_id, active=False)


def demoted(accounts: Accounts, user_id: int) -> object:
    return accounts.update(user_id, role="user")


@pytest.mark.parametrize(("change", "refreshes"), [(new_password, False), (disabled, False), (demoted, True)])
def test_a_change_of_the_account_ends_what_it_must(accounts: Accounts, change: Change, refreshes: bool) -> None:
    """Every access token at once; every session too, but a lowered role only has to be fetched anew."""
    accounts.new("admin")
    user_id, login = accounts.new("admin")
    pairs, other = [accounts.log_in(login) for _ in range(3)], accounts.log_in(accounts.new()[1])
    change(accounts, user_id)
    assert [accounts.refused(pair) for pair in pairs] == [True] * 3
    assert not accounts.refused(other)
    for pair in pairs:
        if refreshes:
            renewed = accounts.refresh(pair)
            assert accounts.identity(renewed).role == "user"
            assert not accounts.refused(renewed)
        else:
            with pytest.raises(Unauthenticated):
                accounts.refresh(pair)
    assert accounts.count("revocation") == 1


def test_a_new_name_ends_nothing(accounts: Accounts) -> None:
    """Nor does a raised role, a quota, or enabling an account that is enabled."""
    user_id, login = accounts.new()
    pair = accounts.log_in(login)
    handlers.update_user(accounts.db, user_id, {"name": "Ann"}, None, True)
    accounts.update(user_id, role="admin", quota_bytes=5, active=True)
    assert not accounts.refused(pair)
    assert accounts.identity(accounts.refresh(pair)).role == "admin"


def test_a_login_that_overlaps_a_change_of_password_is_refused(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old password opens no session that the change would have ended."""
    user_id, login = accounts.new()
    row = handlers.verify_credentials(accounts.db, login, PASSWORD)
    new_password(accounts, user_id)
    with pytest.raises(BadCredentials):
        sessions.open_session(accounts.db, RING, row, None, None)
    row = handlers.verify_credentials(accounts.db, login, "another password")
    disabled(accounts, user_id)
    with pytest.raises(BadCredentials):
        sessions.open_session(accounts.db, RING, row, None, None)
    assert accounts.count("session") == 0


def test_refreshes_and_changes_at_once_leave_no_live_session(accounts: Accounts) -> None:
    """Whoever comes first: after the change of password no pair of before is good."""
    user_id, login = accounts.new()
    pairs = [accounts.log_in(login) for _ in range(4)]
    got = []

    def attempt(pair: object) -> None:
        try:
            got.append(accounts.refresh(pair))  # type: ignore[arg-type]
        except DocsaveError as exc:
            assert exc.code == "unauthenticated"  # noqa: PT017 - one of two good outcomes

    threads = [eventlet.spawn(attempt, pair) for pair in pairs]
    threads.append(eventlet.spawn(new_password, accounts, user_id))
    for thread in threads:
        thread.wait()
    assert all(accounts.refused(pair) for pair in got + pairs)
    for pair in got + pairs:
        with pytest.raises(Unauthenticated):
            accounts.refresh(pair)


def test_revocations_come_in_order_and_once(accounts: Accounts) -> None:
    """Passing back the place gives only what is new; a place of another database gives everything."""
    pairs = [accounts.log_in(accounts.new()[1]) for _ in range(3)]
    for pair in pairs[:2]:
        sessions.log_out(accounts.db, pair["refresh_token"], None)
    page = accounts.db.read(lambda s: revoked.read(s, None))
    assert [item["seq"] for item in page["items"]] == [1, 2]
    assert page["seq"] == 2
    sessions.log_out(accounts.db, pairs[2]["refresh_token"], None)
    assert [item["seq"] for item in accounts.revocations(page["seq"])] == [3]
    assert [item["seq"] for item in accounts.revocations(99)] == [1, 2, 3]


def test_a_revocation_is_kept_for_as_long_as_a_token_may_live(accounts: Accounts) -> None:
    """A process that starts a quarter of an hour later still learns of it; afterwards nobody has to."""
    pair = accounts.log_in(accounts.new()[1])
    sessions.log_out(accounts.db, pair["refresh_token"], None)
    accounts.later(900)
    housekeeping.forget_old(accounts.db)
    assert accounts.refused(pair)
    accounts.later(revoked.LIFE_SECONDS + 1)
    assert accounts.revocations() == []


def test_revocations_at_once_are_numbered_without_holes(accounts: Accounts) -> None:
    """A reader that goes on from the highest number it saw misses none."""
    pairs = [accounts.log_in(accounts.new()[1]) for _ in range(6)]
    threads = [eventlet.spawn(sessions.log_out, accounts.db, p["refresh_token"], None) for p in pairs]
    for thread in threads:
        thread.wait()
    assert [item["seq"] for item in accounts.revocations()] == list(range(1, 7))
