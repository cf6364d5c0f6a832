"""Deliveries on a real database and real sockets: in order, to whom, again after failures, by one process at a time."""

import base64
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import eventlet
import pytest
from sqlalchemy import text, update

from docsave_services.contracts import FILE_CREATE, FILE_EVENT_TYPES, NewWebhook
from docsave_services.db import audit
from docsave_services.db.audit import Actor
from docsave_services.db.models import UserRow
from docsave_services.db.webhook_models import WebhookRow
from docsave_services.domain import webhook_pauses
from docsave_services.domain.cursor import Cursor
from docsave_services.domain.webhook_signature import signature
from docsave_services.errors import DatabaseUnavailable, Forbidden, InvalidInput, NotFound, TooManyWebhooks
from docsave_services.times import now
from docsave_services.tokens import KeyRing
from docsave_services.users import keys
from docsave_services.webhooks import claims, courier, deliveries, dispatcher, endpoints, limits, recorder, sender
from docsave_services.webhooks.endpoints import Caller, Rules
from docsave_services.webhooks.watch import endpoint_readings
from tests.support.documents import Documents, use_quick_hashes
from tests.support.receiver import Receiver, listening, status
from tests.support.webhooks import RULES, Hooks, hanging

WaitUntil = Callable[..., Any]


@pytest.fixture
def hooks(documents: Documents) -> Iterator[Hooks]:
    """On both databases, one after the other."""
    hooks = Hooks(documents)
    yield hooks
    hooks.stop()


@pytest.fixture
def quick_hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hooks]:
    """On SQLite, for what does not depend on the database."""
    use_quick_hashes(monkeypatch)
    documents = Documents(f"sqlite:///{tmp_path}/docsave.sqlite3", tmp_path)
    hooks = Hooks(documents)
    yield hooks
    hooks.stop()
    documents.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed delivery is tried again soon."""
    monkeypatch.setattr(webhook_pauses, "PAUSES_SECONDS", (0.05, 0.1))


def signed_by(got: Any) -> list[str]:
    return str(got.headers["webhook-signature"]).split(" ")


def expected_signature(got: Any, secret: str) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return signature([key], got.message, int(got.headers["webhook-timestamp"]), got.body)


def test_every_change_arrives_in_order_and_signed(hooks: Hooks, receiver: Receiver, wait_until: WaitUntil) -> None:
    """The body is the event, the signature that of the secret; what was delivered can be looked at, and is not lag."""
    hooks.save("before")
    webhook = hooks.create(receiver.url)
    hooks.dispatch()
    events = hooks.save("a", "b", "c") + hooks.save("d")
    wait_until(lambda: len(receiver.got) == 4)
    assert [got.event for got in receiver.got] == events
    assert [signed_by(got) for got in receiver.got] == [
        [expected_signature(g, webhook["secret"])] for g in receiver.got
    ]
    wait_until(lambda: hooks.get(webhook)["lag"] == 0)
    sent = hooks.deliveries(webhook)
    assert [(d["state"], d["tries"], d["code"], d["kind"]) for d in sent] == [("delivered", 1, 200, "event")] * 4
    assert [d["cursor"] for d in sent] == [e["cursor"] for e in reversed(events)]
    assert [d["message_id"] for d in sent] == [got.message for got in reversed(receiver.got)]
    assert len({got.message for got in receiver.got}) == 4
    assert hooks.get(webhook)["cursor"] == events[-1]["cursor"]


def test_changes_while_others_are_delivered(quick_hooks: Hooks, receiver: Receiver, wait_until: WaitUntil) -> None:
    """Each comes while the one before it is on its way; none is passed over."""

    def slowly(sock: Any) -> None:
        eventlet.sleep(0.01)
        status(200)(sock)

    receiver.default = slowly
    quick_hooks.create(receiver.url)
    quick_hooks.dispatch()
    for number in range(30):
        quick_hooks.save(f"file {number}")
        eventlet.sleep(0.001)
    wait_until(lambda: len(receiver.got) >= 30)
    assert [got.event["name"] for got in receiver.got] == [f"file {number}" for number in range(30)]


def test_what_happened_while_nobody_was_there_is_delivered(
    quick_hooks: Hooks, receiver: Receiver, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is told on the bus, no process runs: the journal has it. More than one page, more than is in memory."""
    monkeypatch.setattr("docsave_services.webhooks.tail.EVENTS_PAGE", 20)
    monkeypatch.setattr("docsave_services.webhooks.tail.RECENT_EVENTS_MAX", 10)
    quick_hooks.create(receiver.url)
    expected = [e["event_id"] for e in quick_hooks.save(*(f"file {n}" for n in range(70)))]
    quick_hooks.dispatch()
    wait_until(lambda: len(receiver.got) == 70)
    expected += [e["event_id"] for e in quick_hooks.save(*(f"more {n}" for n in range(70)))]
    wait_until(lambda: len(receiver.got) == 140)
    assert receiver.events == expected


def test_filters_and_owners(hooks: Hooks, receiver: Receiver, wait_until: WaitUntil) -> None:
    """Types, folder, labels, system, and whose: each gets what it asked for, from memory and from the journal."""
    mine, other = hooks.documents.user_id, hooks.documents.new_user()
    hooks.documents.db.write(lambda s: s.execute(update(UserRow).where(UserRow.id == other).values(role="admin")))
    wishes: dict[str, dict[str, Any]] = {
        "all": {}, "deletions": {"events": ["File_delete"]}, "folder": {"folder": "a/b"},
        "labels": {"labels": ["crm.deal=42", "kind"]}, "system": {"system": "crm"},
        "everybody": {"all_users": True, "user_id": other}, "other": {"user_id": other},
    }  # fmt: skip
    for round_number in range(2):  # the first with nobody there: from the journal
        for name, wish in wishes.items() if round_number == 0 else ():
            hooks.create(f"{receiver.url}/{name}", **wish)
        first = hooks.save("plain", user_id=mine)[0]
        hooks.save("filed", folder="a/b/c", labels={"crm.deal": "42", "kind": "offer"})
        hooks.save("near", folder="a/bc", labels={"crm.deal": "421", "kind": "offer"})
        hooks.save("referred", labels={"crm": "7"})
        hooks.save("theirs", user_id=other)
        deleted = hooks.documents.apply({"op": "delete", "by": mine, "file_id": first["id"], "owner": mine}).events
        if round_number == 0:
            hooks.dispatch()
        for running in hooks.running:
            running.offer(deleted[0])
        count = 16 * (round_number + 1)
        wait_until(lambda count=count: len(receiver.got) >= count)
    got = {name: [g.event["name"] for g in receiver.got if g.path == f"/hook/{name}"] for name in wishes}
    everything = ["plain", "filed", "near", "referred", "theirs", "plain"]
    own = ["plain", "filed", "near", "referred", "plain"]
    assert got == {
        "all": own * 2, "deletions": ["plain"] * 2, "folder": ["filed"] * 2, "labels": ["filed"] * 2,
        "system": ["referred"] * 2, "everybody": everything * 2, "other": ["theirs"] * 2,
    }  # fmt: skip


@pytest.mark.usefixtures("short_pauses")
def test_a_receiver_that_is_down_for_a_while(quick_hooks: Hooks, receiver: Receiver, wait_until: WaitUntil) -> None:
    """Everything arrives when it is back, in order; the failures can be seen meanwhile."""
    webhook = quick_hooks.create(receiver.url)
    quick_hooks.dispatch()
    receiver.stop()
    events = quick_hooks.save("a", "b") + quick_hooks.save("c")
    wait_until(lambda: quick_hooks.get(webhook)["tries"] >= 3)
    state = quick_hooks.get(webhook)
    assert (state["state"], state["last_code"], state["last_error"]) == ("active", None, "connection_failed")
    assert state["failing_since"] is not None
    assert state["lag"] == 3
    wait_until(lambda: quick_hooks.get(webhook)["lag_seconds"] > 0)
    read = readings(quick_hooks, webhook)
    assert read["docsave_webhook_lag_events"] == 3
    assert read["docsave_webhook_lag_seconds"] > 0
    assert abs(read["docsave_webhook_failing_since_timestamp_seconds"] - now().timestamp()) < 60
    receiver.start()
    wait_until(lambda: len(receiver.got) == 3)
    assert receiver.events == [e["event_id"] for e in events]
    wait_until(lambda: quick_hooks.get(webhook)["lag"] == 0)
    state = quick_hooks.get(webhook)
    assert (state["tries"], state["failing_since"], state["retry_at"], state["last_code"]) == (0, None, None, 200)
    assert (state["lag_seconds"], state["last_error"]) == (0, None)
    assert (state["failed_at"] is not None, state["failed_code"], state["failed_error"]) == (
        True, None, "connection_failed",
    )  # fmt: skip
    read = readings(quick_hooks, webhook)
    assert (read["docsave_webhook_lag_events"], read["docsave_webhook_lag_seconds"]) == (0, 0)
    assert "docsave_webhook_failing_since_timestamp_seconds" not in read
    assert abs(read["docsave_webhook_last_failure_timestamp_seconds"] - now().timestamp()) < 60
    assert quick_hooks.deliveries(webhook)[-1]["tries"] >= 4


@pytest.mark.usefixtures("short_pauses")
def test_every_kind_of_failure_is_tried_again_under_the_same_id(
    quick_hooks: Hooks, receiver: Receiver, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500, 404, a redirect, half an answer, none at all: then it is taken, and the next one follows."""
    monkeypatch.setattr(sender, "TOTAL_SECONDS", 0.3)

    def half(sock: Any) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")
        sock.shutdown(2)

    receiver.answers = [status(500), status(404), status(302, Location="http://127.0.0.1/"), half, hanging()]
    webhook = quick_hooks.create(receiver.url)
    quick_hooks.dispatch()
    first, second = quick_hooks.save("a", "b")
    wait_until(lambda: len(receiver.got) == 7)
    assert receiver.events == [first["event_id"]] * 6 + [second["event_id"]]
    assert len({got.message for got in receiver.got}) == 2
    assert len({got.body for got in receiver.got[:6]}) == 1
    wait_until(lambda: quick_hooks.get(webhook)["lag"] == 0)
    # Half an answer came over a connection that was used before: such a one is repeated at once, within the try.
    assert [(d["state"], d["tries"]) for d in quick_hooks.deliveries(webhook)] == [("delivered", 1), ("delivered", 5)]


def test_retry_after_is_honoured(quick_hooks: Hooks, receiver: Receiver, wait_until: WaitUntil) -> None:
    """No sooner than the receiver asks, whatever the pauses are."""
    receiver.answers = [status(503, Retry_After="120")]
    webhook = quick_hooks.create(receiver.url)
    quick_hooks.dispatch()
    quick_hooks.save("a")
    wait_until(lambda: quick_hooks.get(webhook)["retry_at"])
    row = row_of(quick_hooks, webhook["id"])
    assert row.retry_at is not None
    assert timedelta(seconds=110) < row.retry_at - now() <= timedelta(seconds=120)
    quick_hooks.update(webhook, url=receiver.url + "/new")
    wait_until(lambda: [got.path for got in receiver.got] == ["/hook", "/hook/new"])


def test_410_disables_at_once_and_resuming_goes_on(hooks: Hooks, receiver: Receiver, wait_until: WaitUntil) -> None:
    """With the reason, a line in the trail and a word to the owner. Nothing is lost meanwhile."""
    receiver.answers = [status(200), status(410)]
    webhook = hooks.create(receiver.url)
    hooks.dispatch()
    events = hooks.save("a", "b", "c")
    wait_until(lambda: hooks.get(webhook)["state"] == "disabled")
    state = hooks.get(webhook)
    assert (state["reason"], state["cursor"]) == ("gone", events[0]["cursor"])
    wait_until(lambda: hooks.news)
    (news,) = hooks.news
    assert (news["id"], news["user_id"], news["reason"]) == (webhook["id"], hooks.documents.user_id, "gone")
    trail = hooks.documents.db.read(lambda s: audit.read(s, 10, None, action="webhook_disabled"))["items"]
    assert [(e["user_id"], e["detail"]["reason"]) for e in trail] == [(hooks.documents.user_id, "gone")]
    events += hooks.save("d")
    hooks.look()
    eventlet.sleep(0.1)
    assert len(receiver.got) == 2
    assert hooks.update(webhook, state="active")["reason"] is None
    wait_until(lambda: len(receiver.got) == 5)
    assert receiver.events == [e["event_id"] for e in (events[0], *events[1:2], *events[1:])]


@pytest.mark.usefixtures("short_pauses")
def test_a_day_of_failures_disables(
    quick_hooks: Hooks, receiver: Receiver, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one try more."""
    monkeypatch.setattr(webhook_pauses, "GIVE_UP_AFTER", timedelta(seconds=0.4))
    receiver.default = status(500)
    webhook = quick_hooks.create(receiver.url)
    quick_hooks.dispatch()
    quick_hooks.save("a")
    wait_until(lambda: quick_hooks.get(webhook)["state"] == "disabled")
    assert quick_hooks.get(webhook)["reason"] == "failing"
    tries = len(receiver.got)
    assert tries >= 3
    eventlet.sleep(0.3)
    assert len(receiver.got) == tries


def test_a_dead_endpoint_delays_no_other(
    quick_hooks: Hooks, receiver: Receiver, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More endpoints hang than there are places of any kind, and the healthy one is as quick as ever."""
    monkeypatch.setattr(sender, "TOTAL_SECONDS", 0.5)
    monkeypatch.setattr(webhook_pauses, "PAUSES_SECONDS", (0.01,))
    monkeypatch.setattr(dispatcher, "Lanes", lambda: courier.Lanes(healthy=3, troubled=2))
    with listening() as dead:
        dead.default = hanging()
        hanging_ones = [quick_hooks.create(f"{dead.url}/{number}") for number in range(8)]
        quick_hooks.create(receiver.url)
        quick_hooks.dispatch()
        quick_hooks.save("first")
        wait_until(lambda: len(receiver.got) == 1 and all(quick_hooks.get(each)["tries"] for each in hanging_ones))
        for number in range(5):
            quick_hooks.save(f"next {number}")
            wait_until(lambda number=number: len(receiver.got) == 2 + number, 0.45)


def test_one_endpoint_is_never_sent_to_twice_at_once(
    quick_hooks: Hooks, receiver: Receiver, wait_until: WaitUntil
) -> None:
    """In order means one after the other, with two processes too."""

    def slowly(sock: Any) -> None:
        eventlet.sleep(0.01)
        status(200)(sock)

    receiver.default = slowly
    quick_hooks.create(receiver.url)
    quick_hooks.dispatch()
    quick_hooks.dispatch()
    events = quick_hooks.save(*(f"file {n}" for n in range(30)))
    wait_until(lambda: len(receiver.got) == 30)
    assert receiver.events == [e["event_id"] for e in events]
    assert receiver.most_at_once == 1


def test_another_process_takes_over_when_the_lease_ends(
    hooks: Hooks, receiver: Receiver, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that vanished between sending and recording: the next one sends that event again, under its id."""
    monkeypatch.setattr(claims, "LEASE_SECONDS", 0.5)
    monkeypatch.setattr(claims, "RENEW_SECONDS", 0.3)
    monkeypatch.setattr(claims, "_LEASE", timedelta(seconds=0.5))
    monkeypatch.setattr(dispatcher, "LOOK_SECONDS", 0.1)
    webhook = hooks.create(receiver.url)
    first = hooks.dispatch()
    first._recorder._write_waiting = lambda: None  # it never gets to write anything down
    events = hooks.save("a", "b")
    wait_until(lambda: len(receiver.got) == 2)
    first._stopped = True  # as if killed: it gives nothing back
    for one in first._couriers.values():
        one.stop()
    hooks.running.remove(first)
    hooks.dispatch()
    events += hooks.save("c")
    wait_until(lambda: hooks.get(webhook)["cursor"] == events[-1]["cursor"])
    assert receiver.events == [e["event_id"] for e in (*events[:2], *events)]
    assert len({got.message for got in receiver.got}) == 3
    first.stop()


def test_a_process_that_lost_its_lease_changes_nothing(hooks: Hooks, receiver: Receiver, wait_until: WaitUntil) -> None:
    """It was stopped for a minute while another delivered: what it still writes does not set the place back."""
    webhook = hooks.create(receiver.url)
    slow = hooks.dispatch()
    write, slow._recorder._write_waiting = slow._recorder._write_waiting, lambda: None
    events = hooks.save("a")
    wait_until(lambda: len(receiver.got) == 1)
    hooks.documents.db.write(
        lambda s: s.execute(
            update(WebhookRow).values(holder="other", event_id=7, held_until=now() + timedelta(seconds=9))
        )
    )
    write()
    row = row_of(hooks, webhook["id"])
    assert (row.holder, row.event_id) == ("other", 7)
    assert [d["event_id"] for d in hooks.deliveries(webhook)] == [events[0]["event_id"]]
    wait_until(lambda: webhook["id"] not in slow._couriers)


def test_a_database_that_is_away_delays_the_record_only(
    quick_hooks: Hooks, receiver: Receiver, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deliveries go on up to a bound, and are written down when it is back."""
    monkeypatch.setattr(recorder, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(courier, "UNRECORDED_MAX", 5)
    away = [True]
    write = recorder._write

    def failing(*arguments: Any) -> Any:
        if away:
            raise DatabaseUnavailable
        return write(*arguments)

    monkeypatch.setattr(recorder, "_write", failing)
    webhook = quick_hooks.create(receiver.url)
    quick_hooks.dispatch()
    events = quick_hooks.save(*(f"file {n}" for n in range(20)))
    wait_until(lambda: len(receiver.got) == 5)
    eventlet.sleep(0.1)
    assert len(receiver.got) == 5
    away.clear()
    wait_until(lambda: quick_hooks.get(webhook)["cursor"] == events[-1]["cursor"])
    assert receiver.events == [e["event_id"] for e in events]


def test_a_part_that_fails_ends_the_whole(
    quick_hooks: Hooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is started again then; half of it would deliver and never write anything down."""

    def broken(*_: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(recorder, "_write", broken)
    quick_hooks.create(receiver.url)
    quick_hooks.dispatch()
    quick_hooks.save("a")
    with eventlet.Timeout(10), pytest.raises(RuntimeError, match="a bug"):
        quick_hooks.threads[0].wait()


def test_an_idle_endpoint_keeps_up_with_what_is_not_for_it(
    quick_hooks: Hooks, receiver: Receiver, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lag is nought although nothing was sent."""
    monkeypatch.setattr(dispatcher, "PLACES_SECONDS", 0.1)
    webhook = quick_hooks.create(receiver.url, folder="elsewhere")
    quick_hooks.dispatch()
    quick_hooks.save("a", "b")
    wait_until(lambda: quick_hooks.get(webhook)["lag"] == 0)
    assert receiver.got == []


def test_pausing_and_resuming(quick_hooks: Hooks, receiver: Receiver, wait_until: WaitUntil) -> None:
    """Paused, nothing is sent; resumed, it goes on where it stopped."""
    webhook = quick_hooks.create(receiver.url, state="paused")
    quick_hooks.dispatch()
    quick_hooks.save("a")
    eventlet.sleep(0.1)
    assert receiver.got == []
    quick_hooks.update(webhook, state="active")
    wait_until(lambda: len(receiver.got) == 1)
    quick_hooks.update(webhook, state="paused")
    wait_until(lambda: not quick_hooks.running[0]._couriers)
    quick_hooks.save("b")
    eventlet.sleep(0.1)
    quick_hooks.update(webhook, state="active", events=["File_delete", "File_create"])
    wait_until(lambda: len(receiver.got) == 2)
    assert [got.event["name"] for got in receiver.got] == ["a", "b"]


def test_a_test_message_and_one_event_again(hooks: Hooks, receiver: Receiver, wait_until: WaitUntil) -> None:
    """Once each, whatever the state, beside the order of events, and the result can be looked at."""
    (event,) = hooks.save("a")
    webhook = hooks.create(receiver.url, state="paused")
    receiver.answers = [status(500, b"no")]
    hooks.dispatch()
    deliveries.request_test(hooks.documents.db, hooks.caller, webhook["id"])
    deliveries.request_again(hooks.documents.db, hooks.caller, webhook["id"], event)
    hooks.look()
    wait_until(lambda: [d["state"] for d in hooks.deliveries(webhook)] == ["delivered", "failed"])
    again, test = hooks.deliveries(webhook)
    assert (test["kind"], test["code"], test["answer"], test["error"], test["event_id"]) == (
        "test", 500, "no", "refused", None,
    )  # fmt: skip
    assert (again["kind"], again["event_id"], again["tries"]) == ("redelivery", event["event_id"], 1)
    assert receiver.got[0].event["type"] == "Webhook_test"
    assert receiver.got[1].event == event
    assert receiver.got[1].message == deliveries.message_id(webhook["id"], event)
    wait_until(lambda: not row_of(hooks, webhook["id"]).requests)
    assert len(receiver.got) == 2


def test_going_back_to_a_place(hooks: Hooks, receiver: Receiver, wait_until: WaitUntil) -> None:
    """Everything after it is sent again, in order, under the same ids."""
    webhook = hooks.create(receiver.url)
    hooks.dispatch()
    events = hooks.save("a", "b", "c")
    wait_until(lambda: hooks.get(webhook)["lag"] == 0)
    endpoints.move(hooks.documents.db, hooks.caller, webhook["id"], Cursor.parse(events[0]["cursor"]), hooks.head())
    hooks.look()
    wait_until(lambda: len(receiver.got) == 5 and hooks.get(webhook)["lag"] == 0)
    assert [got.event["name"] for got in receiver.got] == ["a", "b", "c", "b", "c"]
    assert len({got.message for got in receiver.got}) == 3
    assert [d["tries"] for d in hooks.deliveries(webhook)] == [2, 2, 1]


def test_a_secret_is_replaced_without_a_break(
    quick_hooks: Hooks, receiver: Receiver, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sign for a day, the newest first; then only that."""
    webhook = quick_hooks.create(receiver.url)
    quick_hooks.dispatch()
    replaced = endpoints.replace_secret(quick_hooks.documents.db, RULES, quick_hooks.caller, webhook["id"])
    quick_hooks.look()
    quick_hooks.save("a")
    wait_until(lambda: len(receiver.got) == 1)
    secrets = [replaced["secret"], webhook["secret"]]
    assert signed_by(receiver.got[0]) == [expected_signature(receiver.got[0], secret) for secret in secrets]
    ended = {"old_secret_until": now() - timedelta(seconds=1)}
    quick_hooks.documents.db.write(lambda s: s.execute(update(WebhookRow).values(**ended)))
    wait_until(lambda: quick_hooks.look() or len(endpoint_of(quick_hooks, webhook["id"]).secrets) == 1)
    quick_hooks.save("b")
    wait_until(lambda: len(receiver.got) == 2)
    assert signed_by(receiver.got[1]) == [expected_signature(receiver.got[1], replaced["secret"])]
    assert quick_hooks.get(webhook)["old_secret_until"] is None


def test_a_new_system_key_seals_secrets_anew(quick_hooks: Hooks, receiver: Receiver, wait_until: WaitUntil) -> None:
    """With the key before still there they go on signing, and do so when it is gone. Without it they are unreadable."""
    db = quick_hooks.documents.db
    old, new, other = KeyRing("s" * 48), KeyRing("n" * 48, "s" * 48), KeyRing("x" * 48)
    assert RULES.keys == old
    webhook = quick_hooks.create(receiver.url)
    endpoints.replace_secret(db, RULES, quick_hooks.caller, webhook["id"])
    ours, news = claims.take(db, new, "first")
    assert (len(ours[0].endpoint.secrets), news) == (2, [])
    sealed = row_of(quick_hooks, webhook["id"]).secret
    claims.release(db, "first")
    later, _ = claims.take(db, KeyRing("n" * 48), "second")
    assert later[0].endpoint.secrets == ours[0].endpoint.secrets
    assert row_of(quick_hooks, webhook["id"]).secret == sealed
    claims.release(db, "second")
    nothing, news = claims.take(db, other, "third")
    assert (nothing, [n["reason"] for n in news]) == ([], ["secret_unreadable"])
    assert row_of(quick_hooks, webhook["id"]).secret == sealed


def test_a_disabled_user_and_an_ended_key_hear_of_nothing(
    hooks: Hooks, receiver: Receiver, wait_until: WaitUntil
) -> None:
    """Enabled again, a user gets what was missed. A key that is over ends its webhook, until a person resumes it."""
    db, user_id = hooks.documents.db, hooks.documents.user_id
    key = keys.create_key(db, user_id, "CRM", ["events:read"], None, Actor())
    by_user = hooks.create(f"{receiver.url}/user")
    by_key = hooks.create(f"{receiver.url}/key", actor=Actor(by=user_id, key_id=key["id"]))
    hooks.dispatch()
    set_active(hooks, False)
    wait_until(lambda: not hooks.running[0]._couriers)
    hooks.save("a")
    assert hooks.get(by_user)["state"] == "active"
    set_active(hooks, True)
    wait_until(lambda: sorted(got.path for got in receiver.got) == ["/hook/key", "/hook/user"])
    keys.revoke_key(db, user_id, key["id"], Actor())
    hooks.look()
    wait_until(lambda: hooks.get(by_key)["reason"] == "key_ended")
    hooks.save("b")
    wait_until(lambda: len(receiver.got) == 3)
    hooks.update(by_key, state="active")
    wait_until(lambda: len(receiver.got) == 4)
    assert hooks.get(by_key)["key_id"] is None


def test_who_is_no_administrator_any_more_hears_of_own_changes_only(quick_hooks: Hooks, receiver: Receiver) -> None:
    """An endpoint for everybody's changes ends with the role."""
    with pytest.raises(Forbidden):
        quick_hooks.create(receiver.url, all_users=True)
    db = quick_hooks.documents.db
    db.write(lambda s: s.execute(update(UserRow).values(role="admin")))
    webhook = quick_hooks.create(receiver.url, all_users=True)
    db.write(lambda s: s.execute(update(UserRow).values(role="user")))
    ours, news = claims.take(db, RULES.keys, "one")
    assert (ours, [n["reason"] for n in news]) == ([], ["not_administrator"])
    with pytest.raises(Forbidden):
        quick_hooks.update(webhook, state="active")
    assert quick_hooks.update(webhook, description="once everybody's")["state"] == "disabled"
    assert quick_hooks.update(webhook, state="active", all_users=False)["state"] == "active"


def test_a_place_in_another_journal_disables_and_resuming_begins_now(
    quick_hooks: Hooks, receiver: Receiver, wait_until: WaitUntil
) -> None:
    """The database was restored: the receiver must reload, so it is told, not fed."""
    webhook = quick_hooks.create(receiver.url)
    quick_hooks.save("a")
    quick_hooks.documents.db.write(
        lambda s: s.execute(text("UPDATE journal_head SET epoch = :e"), {"e": "0" * 8 + "-0000-4000-8000-" + "0" * 12})
    )
    quick_hooks.dispatch()
    wait_until(lambda: quick_hooks.get(webhook)["reason"] == "cursor_expired")
    quick_hooks.save("b")
    assert quick_hooks.update(webhook, state="active")["lag"] == 0
    quick_hooks.save("c")
    wait_until(lambda: len(receiver.got) == 1)
    assert receiver.got[0].event["name"] == "c"


def test_an_endpoint_that_is_deleted_while_it_is_delivered_to(
    quick_hooks: Hooks, receiver: Receiver, wait_until: WaitUntil
) -> None:
    """Its deliveries go with it, and nothing else suffers."""
    receiver.default = status(500)
    webhook = quick_hooks.create(receiver.url)
    quick_hooks.dispatch()
    quick_hooks.save("a")
    wait_until(lambda: quick_hooks.deliveries(webhook))
    endpoints.remove(quick_hooks.documents.db, quick_hooks.caller, webhook["id"])
    quick_hooks.look()
    wait_until(lambda: not quick_hooks.running[0]._couriers)
    with pytest.raises(NotFound):
        quick_hooks.get(webhook)


def test_stopping_gives_everything_back(quick_hooks: Hooks, receiver: Receiver, wait_until: WaitUntil) -> None:
    """What was delivered is written down, and the next process need not wait."""
    webhook = quick_hooks.create(receiver.url)
    one = quick_hooks.dispatch()
    (event,) = quick_hooks.save("a")
    wait_until(lambda: len(receiver.got) == 1)
    one.stop()
    assert row_of(quick_hooks, webhook["id"]).holder is None
    assert quick_hooks.get(webhook)["cursor"] == event["cursor"]


def test_only_the_newest_deliveries_are_kept(
    hooks: Hooks, receiver: Receiver, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many of each endpoint, and none older than a month."""
    monkeypatch.setattr(deliveries, "DELIVERIES_KEPT", 3)
    webhook = hooks.create(receiver.url)
    hooks.dispatch()
    hooks.save(*"abcde")
    wait_until(lambda: len(hooks.deliveries(webhook)) == 5)
    deliveries.prune(hooks.documents.db)
    assert [d["event_id"] for d in hooks.deliveries(webhook)] == [5, 4, 3]
    monkeypatch.setattr(deliveries, "now", lambda: now() + timedelta(days=limits.DELIVERIES_DAYS + 1))
    deliveries.prune(hooks.documents.db)
    assert hooks.deliveries(webhook) == []


def test_an_account_has_a_bounded_number_of_webhooks(
    quick_hooks: Hooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more is refused; another account's count for itself."""
    monkeypatch.setattr(endpoints, "WEBHOOKS_MAX", 2)
    for _ in range(2):
        quick_hooks.create(receiver.url)
    with pytest.raises(TooManyWebhooks):
        quick_hooks.create(receiver.url)
    quick_hooks.create(receiver.url, user_id=quick_hooks.documents.new_user())


def test_what_cannot_be_an_endpoint_is_refused(quick_hooks: Hooks) -> None:
    """Each wrong field by its name, at creation and at a change."""
    wrong: dict[str, Any] = {
        "events": ["File_create", "File_create"], "folder": "/a", "labels": ["a=b"] * 6, "system": "-", "state": "gone",
        "description": "a\nb", "all_users": 1, "secret": "mine",
    }  # fmt: skip
    with pytest.raises(InvalidInput) as caught:
        quick_hooks.create("http://10.0.0.1/", rules=Rules(RULES.keys, allow_private=False), **wrong)
    assert {error["field"] for error in caught.value.errors} == {"url", *wrong}
    made = quick_hooks.create("http://10.0.0.1/")
    assert made["events"] == list(FILE_EVENT_TYPES)
    with pytest.raises(InvalidInput):
        quick_hooks.update(made, events=[])
    assert quick_hooks.update(made, events=[FILE_CREATE])["events"] == [FILE_CREATE]


def test_somebody_elses_webhook_does_not_exist(quick_hooks: Hooks) -> None:
    """A user sees their own, a key those made with it, an administrator all."""
    db, user_id = quick_hooks.documents.db, quick_hooks.documents.user_id
    key = keys.create_key(db, user_id, "CRM", ["events:read"], None, Actor())["id"]
    mine = quick_hooks.create("http://a.example/")["id"]
    by_key = quick_hooks.create("http://b.example/", actor=Actor(by=user_id, key_id=key))["id"]
    theirs = quick_hooks.create("http://c.example/", user_id=quick_hooks.documents.new_user())["id"]

    def seen(caller: Caller) -> list[int]:
        return [each["id"] for each in endpoints.page(db, caller, 1000, None, quick_hooks.head())["items"]]

    assert seen(Caller(user_id)) == [mine, by_key]
    assert seen(Caller(user_id, Actor(key_id=key))) == [by_key]
    assert seen(Caller(None)) == [mine, by_key, theirs]
    for caller, webhook_id in (
        (Caller(user_id), theirs),
        (Caller(user_id, Actor(key_id=key)), mine),
        (Caller(), 2**40),
    ):
        with pytest.raises(NotFound):
            endpoints.remove(db, caller, webhook_id)
    first = endpoints.page(db, Caller(None), 2, None, quick_hooks.head())
    assert [each["id"] for each in endpoints.page(db, Caller(None), 2, first["next"], quick_hooks.head())["items"]] == [
        theirs
    ]


def row_of(hooks: Hooks, webhook_id: int) -> WebhookRow:
    """The endpoint's row."""
    return hooks.documents.db.read(lambda s: endpoints.find(s, Caller(), webhook_id))


def readings(hooks: Hooks, webhook: NewWebhook) -> dict[str, float]:
    """What metrics say of the endpoint."""
    found = hooks.documents.db.read(lambda s: list(endpoint_readings(s)))
    return {each.gauge.name: each.value for each in found if each.labels == (str(webhook["id"]),)}


def endpoint_of(hooks: Hooks, webhook_id: int) -> claims.Endpoint:
    """The endpoint as the first process knows it."""
    return hooks.running[0]._couriers[webhook_id]._endpoint


def set_active(hooks: Hooks, active: bool) -> None:
    """Disable or enable the first account."""
    change = update(UserRow).where(UserRow.id == hooks.documents.user_id).values(active=active)
    hooks.documents.db.write(lambda s: s.execute(change))
    hooks.look()
