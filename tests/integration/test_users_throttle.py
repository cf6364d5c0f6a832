"""The throttle of log-ins on a real database: growing pauses, shared by all processes, nobody locked out."""

from collections.abc import Iterator
from typing import Any

import eventlet
import pytest
from eventlet.semaphore import Semaphore
from sqlalchemy import text

from docsave_services.db.audit import Actor
from docsave_services.db.engine import make_engine
from docsave_services.db.transactions import Transactions
from docsave_services.errors import BadCredentials, DocsaveError, TooManyRequests, WrongPassword
from docsave_services.users import handlers, housekeeping, log_in, passwords, throttle
from tests.support.accounts import PASSWORD, RING, Accounts, open_accounts

WRONG = "wrong password"
HERE, THERE = "192.0.2.1", "198.51.100.1"


@pytest.fixture
def accounts(database_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    with open_accounts(database_uri, monkeypatch) as opened:
        yield opened


def attempt(accounts: Accounts, login: str, password: str = WRONG, address: str | None = HERE) -> str:
    """The code of what came of it."""
    try:
        accounts.log_in(login, password, address)
    except DocsaveError as exc:
        return exc.code
    return "ok"


def fail(accounts: Accounts, login: str, times: int, address: str | None = HERE) -> None:
    """So many failures in a row, each after the pause it needs."""
    for n in range(times):
        accounts.later(n * throttle.LOGIN_PAUSE_MAX_SECONDS)
        assert attempt(accounts, login, address=address) == "bad_credentials"


@pytest.mark.parametrize("known", [True, False])
def test_failures_in_a_row_bring_a_pause(accounts: Accounts, known: bool) -> None:
    """From the fifth on, alike for a login that nobody has; during it even the right password is not looked at."""
    login = accounts.new()[1] if known else "nobody"
    assert [attempt(accounts, login) for _ in range(6)] == ["bad_credentials"] * 5 + ["too_many_requests"]
    with pytest.raises(TooManyRequests) as caught:
        accounts.log_in(login.upper(), PASSWORD, HERE)
    assert caught.value.retry_after == 1
    assert caught.value.errors == [{"field": "retry_after", "message": "1"}]
    accounts.later(1.1)
    assert attempt(accounts, login, PASSWORD) == ("ok" if known else "bad_credentials")


def test_pauses_grow_and_have_an_end(accounts: Accounts) -> None:
    """1, 2, 4 … seconds, never more than a quarter of an hour, and never for ever."""
    _, login = accounts.new()
    clock, pauses = 0.0, []
    for _ in range(18):
        while attempt(accounts, login) == "bad_credentials":
            continue
        with pytest.raises(TooManyRequests) as caught:
            accounts.log_in(login, PASSWORD, HERE)
        pauses.append(caught.value.retry_after)
        clock += caught.value.retry_after + 0.5
        accounts.later(clock)
    assert pauses[:5] == [1, 2, 4, 8, 16]
    assert pauses == sorted(pauses)
    assert pauses[-1] == throttle.LOGIN_PAUSE_MAX_SECONDS
    assert attempt(accounts, login, PASSWORD) == "ok"
    forgiven = [attempt(accounts, login) for _ in range(throttle.LOGIN_FREE + 1)]
    assert forgiven == ["bad_credentials"] * throttle.LOGIN_FREE + ["too_many_requests"]


def test_a_colleague_elsewhere_is_not_locked_out(accounts: Accounts) -> None:
    """Whatever one address does, the owner gets in from another; also while many addresses guess."""
    _, login = accounts.new()
    fail(accounts, login, 9)
    assert attempt(accounts, login, PASSWORD) == "too_many_requests"
    assert attempt(accounts, login, PASSWORD, THERE) == "ok"
    for n in range(throttle.UNDER_ATTACK_FAILURES // 2 + 1):
        for _ in range(2):
            attempt(accounts, login, address=f"203.0.113.{n}")
    assert attempt(accounts, login, PASSWORD, "198.51.100.77") == "ok"


def test_under_attack_a_fresh_address_has_one_free_attempt(accounts: Accounts) -> None:
    """A thousand addresses do not give five thousand guesses."""
    _, login = accounts.new()
    for n in range(throttle.UNDER_ATTACK_FAILURES // 4 + 1):
        for _ in range(4):
            attempt(accounts, login, address=f"203.0.113.{n}")
    assert [attempt(accounts, login, address=THERE) for _ in range(2)] == ["bad_credentials", "too_many_requests"]


def test_an_address_that_tries_many_logins_is_paused(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """One password against everybody; others are not held up, and a success of its own does not clear it."""
    monkeypatch.setattr(throttle, "ADDRESS_FREE", 6)
    _, login = accounts.new()
    for n in range(6):
        assert attempt(accounts, f"victim-{n}") == "bad_credentials"
        if n == 3:
            assert attempt(accounts, login, PASSWORD) == "ok"
    assert attempt(accounts, "somebody-else") == "too_many_requests"
    assert attempt(accounts, login, PASSWORD, THERE) == "ok"


def test_refused_attempts_do_not_count(accounts: Accounts) -> None:
    """A client that hammers during its pause does not make it longer."""
    _, login = accounts.new()
    for _ in range(5):
        attempt(accounts, login)
    for _ in range(20):
        assert attempt(accounts, login) == "too_many_requests"
    accounts.later(1.1)
    assert attempt(accounts, login, PASSWORD) == "ok"


def throttled(accounts: Accounts) -> list[tuple[int | None, str | None, Any]]:
    """Account, address and detail of each line about a pause, oldest first."""
    lines = accounts.trail(action="login_throttled")[::-1]
    return [(line["user_id"], line["address"], line["detail"]) for line in lines]


def test_a_pause_is_in_the_trail_once(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it refuses and in whichever process; the next pause is another line, one without refusals none."""
    user_id, login = accounts.new()
    with open_accounts(accounts.uri, monkeypatch) as other:
        for n in range(3):
            accounts.later(60 * n)
            failures = [attempt(accounts, login) for _ in range(5 if n == 0 else 1)]
            assert set(failures) == {"bad_credentials"}
            if n != 1:
                assert {attempt(one, login, PASSWORD) for one in (accounts, other) * 5} == {"too_many_requests"}
    first, third = ({"counted": "login", "failures": n, "seconds": s} for n, s in ((5, 1), (7, 4)))
    assert throttled(accounts) == [(user_id, HERE, first), (user_id, HERE, third)]
    assert {line["by"] for line in accounts.trail(action="login_throttled")} == {None}


def test_refusals_at_once_leave_one_line(accounts: Accounts) -> None:
    """A crowd that is refused together does not flood the trail either."""
    _, login = accounts.new()
    for _ in range(5):
        attempt(accounts, login)
    before = accounts.count("audit_entry")
    threads = [eventlet.spawn(attempt, accounts, login) for _ in range(20)]
    assert {t.wait() for t in threads} == {"too_many_requests"}
    assert accounts.count("audit_entry") == before + 1


def test_each_account_and_address_has_a_line_of_its_own(accounts: Accounts) -> None:
    """Two accounts from two addresses; of a login that nobody has only that there was one."""
    (ann_id, ann), (bob_id, bob) = accounts.new(), accounts.new()
    wanted = [(ann_id, ann, HERE), (bob_id, bob, HERE), (ann_id, ann, THERE), (None, "no such login", HERE)]
    for _, login, address in wanted:
        for _ in range(7):
            attempt(accounts, login, address=address)
    detail = {"counted": "login", "failures": 5, "seconds": 1}
    assert throttled(accounts) == [(user_id, address, detail) for user_id, _, address in wanted]
    assert "no such login" not in repr(accounts.trail())


def test_a_pause_of_an_address_is_one_line_about_nobody(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever accounts it refuses: none of them is what was counted."""
    monkeypatch.setattr(throttle, "ADDRESS_FREE", 3)
    logins = [accounts.new()[1] for _ in range(3)]
    assert [attempt(accounts, login) for login in logins] == ["bad_credentials"] * 3
    assert {attempt(accounts, login, PASSWORD) for login in logins} == {"too_many_requests"}
    assert throttled(accounts) == [(None, HERE, {"counted": "address", "failures": 3, "seconds": 1})]


def test_processes_share_the_counts(accounts: Accounts) -> None:
    """Five failures are five, whichever process saw them."""
    _, login = accounts.new()
    other = Transactions(make_engine(accounts.uri))
    try:
        for n in range(5):
            with pytest.raises(BadCredentials):
                log_in.log_in((accounts.db, other)[n % 2], RING, login, "wrong password", HERE, None)
        for db in (accounts.db, other):
            with pytest.raises(TooManyRequests):
                log_in.log_in(db, RING, login, PASSWORD, HERE, None)
    finally:
        other.engine.dispose()


def test_attempts_at_once_are_all_counted(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst is bounded, and its failures add up to one long pause; also where more processes let more in."""
    monkeypatch.setattr(passwords, "_LINE", Semaphore(1000))
    _, login = accounts.new()
    threads = [eventlet.spawn(attempt, accounts, login) for _ in range(throttle.PENDING_MAX + 8)]
    codes = [t.wait() for t in threads]
    assert set(codes) <= {"bad_credentials", "too_many_requests"}
    # As many as may be under way at once, and those whose failure was still free when the last began.
    assert 5 <= codes.count("bad_credentials") < throttle.PENDING_MAX + throttle.LOGIN_FREE
    assert attempt(accounts, login, PASSWORD) == "too_many_requests"


def test_right_passwords_at_once_all_get_in(accounts: Accounts) -> None:
    """Twenty programs of one account at one address are no attack."""
    _, login = accounts.new()
    threads = [eventlet.spawn(attempt, accounts, login, PASSWORD) for _ in range(20)]
    assert [t.wait() for t in threads] == ["ok"] * 20


def test_one_subscriber_of_ipv6_is_one_address(accounts: Accounts) -> None:
    """A /64 has as many addresses as guesses were ever wanted."""
    _, login = accounts.new()
    for n in range(5):
        assert attempt(accounts, login, address=f"2001:db8::{n}") == "bad_credentials"
    assert attempt(accounts, login, address="2001:db8::ffff") == "too_many_requests"
    assert attempt(accounts, login, PASSWORD, "2001:db8:0:1::1") == "ok"


def test_the_present_password_cannot_be_guessed_with_a_stolen_token(accounts: Accounts) -> None:
    """PATCH /users/me is throttled like a log-in, and does not hold up the log-in itself."""
    user_id, login = accounts.new()
    actor = Actor(user_id, HERE)

    def change(current: str) -> None:
        handlers.update_user(accounts.db, user_id, {"password": "another password"}, current, True, actor=actor)

    for _ in range(5):
        with pytest.raises(WrongPassword):
            change("guess")
    for _ in range(2):
        with pytest.raises(TooManyRequests):
            change(PASSWORD)
    [line] = accounts.trail(action="login_throttled")
    assert (line["user_id"], line["by"], line["address"]) == (user_id, user_id, HERE)
    assert attempt(accounts, login, PASSWORD) == "ok"


def test_counts_are_forgotten_and_show_no_login(accounts: Accounts) -> None:
    """The table does not grow with every login that was ever guessed, nor tell which."""
    attempt(accounts, "some-login")
    rows = accounts.db.read(lambda s: s.execute(text("SELECT * FROM login_throttle")).all())
    assert len(rows) == 3
    assert "some-login" not in repr(rows)
    accounts.later(throttle.FORGET_SECONDS + 1)
    housekeeping.forget_old(accounts.db)
    assert accounts.count("login_throttle") == 0


@pytest.mark.parametrize("login", ["a\ud800b", "x" * 100_000, "\x00", ""])
def test_a_login_that_cannot_be_is_refused_like_any_other(accounts: Accounts, login: str) -> None:
    """No error of the database's, no other sentence."""
    assert attempt(accounts, login) == "bad_credentials"
