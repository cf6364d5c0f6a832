"""What a process remembers of revocations, and whom it lets in by them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from docsave_services import credentials, revocations
from docsave_services.contracts import Revocation
from docsave_services.credentials import Credentials
from docsave_services.errors import Unauthenticated, Unavailable
from docsave_services.revocations import Revocations, RevocationView
from docsave_services.times import to_text
from docsave_services.tokens import Identity, KeyRing, issue_access_token

SECRET = "a secret key for tests, 32 bytes or more"
KEY = "dsk_" + "k" * 40


def item(kind: Any, subject: str | int, min_version: int | None = None, seq: int = 1, seconds: float = 900) -> Any:
    until = to_text(datetime.now(UTC) + timedelta(seconds=seconds))
    return Revocation(seq=seq, kind=kind, id=subject, min_version=min_version, until=until)


def person(user_id: int = 1, session: str = "s", version: int = 0, seconds: float = 900) -> Identity:
    return Identity(user_id, "user", time.time() + seconds, session, version)


@pytest.fixture
def view() -> RevocationView:
    """A view that was pulled a moment ago."""
    fresh = RevocationView()
    fresh.learn_page({"items": [], "seq": 0})
    return fresh


def test_nobody_is_let_in_before_the_first_pull() -> None:
    """Who was revoked is not known yet."""
    with pytest.raises(Unavailable):
        RevocationView().check(person())


def test_nobody_is_let_in_by_an_old_view(view: RevocationView, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a pull for half a minute the answer is 503; who is known to be revoked stays refused as such."""
    view.learn(item("session", "gone"))
    later = time.monotonic() + revocations.STALE_SECONDS + 1
    monkeypatch.setattr(revocations.time, "monotonic", lambda: later)
    with pytest.raises(Unavailable):
        view.check(person())
    with pytest.raises(Unauthenticated):
        view.check(person(session="gone"))


def test_each_kind_ends_what_it_names(view: RevocationView) -> None:
    """A session ends alone, a user's tokens below the version, a key alone."""
    for one in (item("session", "gone"), item("user", 2, min_version=3), item("key", 7)):
        view.learn(one)
    assert view.is_revoked(person(session="gone"))
    assert not view.is_revoked(person(session="other"))
    assert [view.is_revoked(person(2, version=v)) for v in (2, 3, 4)] == [True, False, False]
    keys = [Identity(1, "user", time.time() + 9, None, 0, frozenset(), key_id) for key_id in (7, 8)]
    assert [view.is_revoked(key) for key in keys] == [True, False]


def test_order_and_repeats_do_not_matter(view: RevocationView) -> None:
    """An older item after a newer one, or the same twice, takes nothing back."""
    for version in (3, 1, 3, 2):
        view.learn(item("user", 2, min_version=version))
    assert view.is_revoked(person(2, version=2))
    assert not view.is_revoked(person(2, version=3))


def test_what_no_token_can_be_hit_by_is_forgotten(view: RevocationView) -> None:
    """The next pull drops items whose time has passed."""
    view.learn(item("session", "old", seconds=-1))
    view.learn(item("session", "young"))
    view.learn_page({"items": [], "seq": 2})
    assert [view.is_revoked(person(session=s)) for s in ("old", "young")] == [False, True]


def test_an_item_that_cannot_be_read_harms_nobody(view: RevocationView) -> None:
    """Nonsense from the bus is logged; what follows is still learnt."""
    for nonsense in ({}, None, {"kind": "moon"}, {"kind": "user", "id": "x", "until": None}, {"kind": "key", "id": []}):
        view.learn(nonsense)  # type: ignore[arg-type] # that is the point
    view.learn(item("session", "gone"))
    assert view.is_revoked(person(session="gone"))
    assert not view.is_revoked(person())


def test_memory_is_bounded_and_forgets_nothing_that_matters(
    view: RevocationView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the bound the oldest revocations are merged: each of their tokens is refused still, new ones are not."""
    monkeypatch.setattr(revocations, "ITEMS_MAX", 100)
    for number in range(1000):
        view.learn(item("session", f"s{number}", seconds=100 + number / 2))
    assert len(view._sessions) <= 100
    refused = [view.is_revoked(person(session=f"s{n}", seconds=100 + n / 2 - 1)) for n in range(1000)]
    assert all(refused)
    assert not view.is_revoked(person(session="new", seconds=900))


def test_a_failed_pull_is_tried_again() -> None:
    """``catch_up`` never fails, and the place of the last good pull is where the next one begins."""
    places: list[int | None] = []
    answers: list[Any] = [{"items": [item("session", "a")], "seq": 4}, Unavailable(), {"nonsense": 1}, None]

    def pull(since: int | None) -> Any:
        places.append(since)
        answer = answers[len(places) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    known = Revocations(pull)
    for _ in answers:
        known.catch_up()
    assert places == [None, 4, 4, 4]
    assert known.view.is_revoked(person(session="a"))


def test_a_view_that_has_grown_old_is_pulled_again_soon(view: RevocationView, monkeypatch: pytest.MonkeyPatch) -> None:
    """As at a start: until then nobody is let in, and a whole pause would be added to whatever was broken."""
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise StopIteration

    def pull(since: int | None) -> Any:
        raise Unavailable

    known = Revocations(pull)
    known.view = view
    monkeypatch.setattr(revocations.eventlet, "sleep", pause)
    ages = iter([0.0, revocations.STALE_SECONDS + 1])
    begun = time.monotonic()
    monkeypatch.setattr(revocations.time, "monotonic", lambda: begun + next(ages))
    with pytest.raises(StopIteration):
        known.run()
    assert pauses == [revocations.PULL_SECONDS, revocations.PULL_SECONDS / 10]


class Desk:
    """Answers about keys, counting."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: dict[str, Any] | None = {
            "key_id": 7, "user_id": 1, "role": "user", "version": 0, "scopes": ["files:read"], "expires_at": None
        }  # fmt: skip

    def __call__(self, key: str) -> Any:
        self.asked += 1
        if self.answer is None:
            raise Unauthenticated
        return dict(self.answer)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def known(view: RevocationView, desk: Desk) -> Credentials:
    held = Revocations(lambda since: {"items": [], "seq": 0})
    held.view = view
    return Credentials(KeyRing(SECRET), held, desk)


def test_a_token_of_a_revoked_session_is_refused(known: Credentials, view: RevocationView) -> None:
    """A valid signature is not enough."""
    token = issue_access_token(SECRET, 1, "user", session_id="5" * 32)
    assert known.identify(token).user_id == 1
    view.learn(item("session", "5" * 32))
    with pytest.raises(Unauthenticated):
        known.identify(token)


def test_a_token_that_was_verified_before_ends_all_the_same(
    known: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its signature is looked at once, its end each time; and only a whole token counts as the same."""
    token = issue_access_token(SECRET, 1, "user")
    identity = known.identify(token)
    monkeypatch.setattr(credentials, "verify_access_token", lambda *_: pytest.fail("verified again"))
    assert known.identify(token) == identity
    monkeypatch.undo()
    for other in (token[:-1], token + "A", token.lower()):
        with pytest.raises(Unauthenticated):
            known.identify(other)
    monkeypatch.setattr(credentials.time, "time", lambda: identity.expires_at)
    with pytest.raises(Unauthenticated):
        known.identify(token)
    assert not known._verified


def test_verified_tokens_are_remembered_within_bounds(known: Credentials, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was verified longest ago is verified again when it comes."""
    monkeypatch.setattr(credentials, "TOKENS_MAX", 2)
    tokens = [issue_access_token(SECRET, user_id, "user") for user_id in (1, 2, 3)]
    for token in tokens:
        known.identify(token)
    assert list(known._verified) == tokens[1:]
    assert known.identify(tokens[0]).user_id == 1


def test_a_key_is_asked_about_once_a_minute(known: Credentials, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is kept for ``KEY_SECONDS``, no longer."""
    for _ in range(5):
        assert known.identify(KEY).scopes == frozenset({"files:read"})
    assert desk.asked == 1
    later = time.monotonic() + credentials.KEY_SECONDS + 1
    monkeypatch.setattr(credentials.time, "monotonic", lambda: later)
    monkeypatch.setattr(revocations, "STALE_SECONDS", 1000)
    known.identify(KEY)
    assert desk.asked == 2


def test_an_answer_from_before_a_change_of_the_account_does_not_count(
    known: Credentials, desk: Desk, view: RevocationView
) -> None:
    """A key's kept answer is asked for again; one that is still the old one is refused, a newer one is good."""
    known.identify(KEY)
    view.learn(item("user", 1, min_version=2))
    with pytest.raises(Unauthenticated):
        known.identify(KEY)  # the answer overtook the change on its way: it says version 0
    assert desk.answer is not None
    desk.answer["version"] = 2
    assert known.identify(KEY).version == 2
    assert desk.asked == 3


def test_a_revoked_or_expired_key_is_refused_although_its_answer_is_kept(
    known: Credentials, desk: Desk, view: RevocationView
) -> None:
    """Neither costs the owner of the key more than the moment until the event is here."""
    known.identify(KEY)
    view.learn(item("key", 7))
    with pytest.raises(Unauthenticated):
        known.identify(KEY)
    assert desk.answer is not None
    desk.answer.update(key_id=8, expires_at="2020-01-01T00:00:00.000Z")
    with pytest.raises(Unauthenticated):
        known.identify(KEY)


def test_kept_answers_are_bounded(known: Credentials, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one used longest ago makes room; nothing is kept about keys that are refused."""
    monkeypatch.setattr(credentials, "KEYS_MAX", 10)
    keys = [f"dsk_{n:040}" for n in range(30)]
    for key in keys:
        known.identify(key)
    assert len(known._answers) == 10
    known.identify(keys[-1])
    assert desk.asked == 30
    desk.answer = None
    for n in range(20):
        with pytest.raises(Unauthenticated):
            known.identify(f"dsk_x{n:040}")
    assert len(known._answers) == 10
