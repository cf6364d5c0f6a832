"""The rules of logins and passwords, for any text at all."""

import unicodedata

import eventlet
import pytest
from eventlet.semaphore import Semaphore
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from docsave_services.db.models import LOGIN_KEY_CHARACTERS
from docsave_services.domain.accounts import login_key, login_problem, password_problem
from docsave_services.domain.common_passwords import is_common
from docsave_services.errors import Unavailable
from docsave_services.users import passwords

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=300)
"""All of Unicode, lone surrogates and control characters too."""

UNICODE = st.characters(exclude_categories=("Cs",))
PASSWORDS = st.text(alphabet=UNICODE, min_size=8, max_size=128)
LOGINS = st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc")), min_size=3, max_size=190)


@pytest.fixture(autouse=True, scope="module")
def quick_hashes():
    """Many hashes: the least cost that bcrypt allows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "ROUNDS", 4)
        yield


@given(password=ANY_TEXT, login=ANY_TEXT)
def test_a_password_is_refused_for_known_reasons_only(password: str, login: str) -> None:
    """Length, broken Unicode, the login, the list: nothing else, and each of them always."""
    broken = any("\ud800" <= c <= "\udfff" for c in password)
    refused = not 8 <= len(password) <= 128 or broken or login_key(password) == login_key(login) or is_common(password)
    assert (password_problem(password, login) is not None) == refused


@given(password=PASSWORDS)
@settings(deadline=None, max_examples=50)
@example("\x00" * 8)
@example("🔑" * 128)
@example("x" * 72 + "A")
def test_any_allowed_password_is_verified_exactly(password: str) -> None:
    """What was hashed is accepted, and the same with one character more, less or changed is not."""
    stored = passwords.hash_password(password)
    assert password not in stored
    assert passwords.verify_password(password, stored)
    for other in (password + "x", password[:-1], password[:-1] + chr(ord("a") + (password[-1] == "a"))):
        if other != password:
            assert not passwords.verify_password(other, stored)


@given(password=PASSWORDS)
@settings(deadline=None, max_examples=20)
def test_equal_passwords_have_different_hashes(password: str) -> None:
    """Each has a salt of its own."""
    assert passwords.hash_password(password) != passwords.hash_password(password)


@given(password=PASSWORDS)
@settings(deadline=None, max_examples=20)
def test_normal_forms_of_a_password_are_different_passwords(password: str) -> None:
    """Exact means exact: no form of Unicode is taken for another."""
    other = unicodedata.normalize("NFD", password)
    assume(other != password)
    assert not passwords.verify_password(other, passwords.hash_password(password))


CASED = st.text(
    alphabet=st.one_of(
        st.sampled_from(
            "\u01f0\u0390\u03b0\u1e96\u1fb3\u1fbc\u1fd2\u03a9\u0130i\u00df\u1e9e\u017f\u03c3\u03c2"
            "\u212a\u212b\ufb03\uab70\u13f8\u0345\u0301\u0307\u0316 "
        ),
        UNICODE,
    ),
    max_size=20,
)
"""Any Unicode, with much of what changes its composition or its length when its case is folded."""

DOTLESS_I = "\u0131"
"""Its upper case is I, as in Turkish, but Unicode's case folding takes the two for different letters."""


@given(login=st.one_of(ANY_TEXT, CASED))
@example("\u0345\u0301")
@example("ᾳ\u0301")
@example("ǰ\u0316")
def test_the_key_of_a_key_is_that_key(login: str) -> None:
    """Folding finds nothing more to do, so it does not matter how often a login went through it."""
    key = login_key(login)
    assert login_key(key) == key


@given(login=st.one_of(LOGINS, CASED))
@example("\u1fb3\u0301")
@example("\u0345\u0301")
def test_spellings_of_a_login_are_one_account(login: str) -> None:
    """Spaces around it, composed or decomposed: the key stays."""
    key = login_key(login)
    assert login_key(f" {login}\t") == key
    for form in ("NFC", "NFD"):
        assert login_key(unicodedata.normalize(form, login)) == key


@given(login=CASED)
@example("ǰ")
@example("ΐ")
@example("İ")
def test_every_case_of_a_login_is_one_account(login: str) -> None:
    """Upper, lower, title and folded."""
    assume(DOTLESS_I not in login)
    key = login_key(login)
    for form in (str.upper, str.lower, str.title, str.casefold):
        assert login_key(form(login)) == key


def test_every_character_has_one_key() -> None:
    """All of Unicode, one by one: no chance is left to what examples happen to be drawn."""
    for character in map(chr, range(0x80, 0x110000)):
        if unicodedata.category(character) in ("Cs", "Co", "Cn"):
            continue
        key = login_key(character)
        assert login_key(key) == login_key(unicodedata.normalize("NFD", character)) == key, hex(ord(character))
        assert character == DOTLESS_I or login_key(character.upper()) == key, hex(ord(character))


@given(login=st.text(alphabet="abcdefghijklmnopqrstuvwxyzäöüéñçøåß", min_size=3, max_size=190))
def test_a_login_is_compared_without_case(login: str) -> None:
    """Upper and lower are the same person."""
    assert login_key(login.upper()) == login_key(login)


@given(login=ANY_TEXT)
def test_a_login_is_refused_for_known_reasons_only(login: str) -> None:
    """Length, control characters, broken Unicode."""
    bad = any(unicodedata.category(c) in ("Cc", "Cs") for c in login)
    assert (login_problem(login) is not None) == (bad or not 3 <= len(login) <= 190)


@given(login=LOGINS)
def test_the_key_of_a_login_fits_its_column(login: str) -> None:
    """A login that is allowed is never an error of the database's."""
    assert len(login_key(login)) <= LOGIN_KEY_CHARACTERS


@pytest.mark.parametrize("password", ["12345678", "password1", "PassWord1", "qwertyuiop", "\uff50assword1"])
def test_passwords_that_everybody_tries_are_refused(password: str) -> None:
    """In any case and width."""
    assert password_problem(password, "ann") == "is one of the passwords that are tried first"


def test_a_crowd_is_sent_away_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many may be in line; one more is told to come back without waiting, and gets in when there is room again."""
    places, line = Semaphore(1), Semaphore(3)
    monkeypatch.setattr(passwords, "_HASHING", places)
    monkeypatch.setattr(passwords, "_LINE", line)
    with places:
        waiting = [eventlet.spawn(passwords.verify_password, "some password", None) for _ in range(3)]
        eventlet.sleep(0)
        for crowded in (passwords.place_in_line().__enter__, lambda: passwords.hash_password("some password")):
            with pytest.raises(Unavailable), eventlet.Timeout(1):
                crowded()
    assert [one.wait() for one in waiting] == [False] * 3
    assert passwords.hash_password("some password")
    assert (places.balance, line.balance) == (1, 3)


def test_the_first_unknown_login_takes_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What unknown logins are checked against is not itself hashed, not even once a process; no password fits it."""
    hashed = []
    monkeypatch.setattr(passwords.bcrypt, "hashpw", lambda *args: hashed.append(args))
    monkeypatch.setattr(passwords, "ROUNDS", 5)  # for which this process has none yet
    assert not passwords.verify_password("some password", None)
    assert hashed == []


def test_who_waits_too_long_for_a_hash_is_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd of log-ins is answered before its callers have gone, and nothing stays taken."""
    monkeypatch.setattr(passwords, "TURN_SECONDS", 0.01)
    places = Semaphore(1)
    monkeypatch.setattr(passwords, "_HASHING", places)
    with places, pytest.raises(Unavailable):
        passwords.verify_password("some password", None)
    assert not passwords.verify_password("some password", None)
    assert places.balance == 1


def test_a_turn_that_comes_too_late_for_the_hash_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a hash takes half of the time that is left, its caller would be gone before the answer."""
    monkeypatch.setattr(passwords, "_PACE", passwords._Pace(passwords.TURN_SECONDS / 2))
    places = Semaphore(1)
    monkeypatch.setattr(passwords, "_HASHING", places)
    with places, pytest.raises(Unavailable), eventlet.Timeout(1):
        passwords.verify_password("some password", None)
    assert not passwords.verify_password("some password", None)
    assert passwords._PACE.seconds < passwords.TURN_SECONDS / 2
