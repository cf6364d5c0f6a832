"""Sockets end with what let them in: sessions, API keys, and the accounts behind both."""
# ruff: noqa: F401, F811 - fixtures shared with the neighbouring module

from __future__ import annotations

import time

import pytest

from tests.integration.test_notifier import accounts, bridge, join, journal
from tests.support.notifier import Recorder, token
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

READ = ["events:read"]
KEY = "dsk_" + "k" * 40
EXPIRED = ("Session_expired", {})


def ended(client: Recorder) -> bool:
    return client.closed and client.heard[-1:] == [EXPIRED]


@pytest.mark.parametrize("told", [True, False], ids=["event", "pull"])
def test_a_revoked_session_ends_its_sockets(journal, accounts, join, told):
    """Within 5 s of the revocation, also when the bus lost the event; other sessions of the user stay."""
    session = f"{told}".ljust(32, "0")
    gone = join("User_connect", token(31, session_id=session))
    stays = join("User_connect", token(31))
    assert [gone.ack["ok"], stays.ack["ok"]] == [True, True]
    accounts.revoke("session", session, told=told)
    wait_until(lambda: ended(gone), 5)
    event = journal.add(31)
    wait_until(lambda: stays.heard)
    assert stays.heard == [("Notify_File_create", event)]
    assert gone.heard == [EXPIRED]
    again = join("User_connect", token(31, session_id=session))
    assert again.ack["code"] == "unauthenticated"


def test_a_changed_account_ends_older_tokens(accounts, join):
    """After a new password, a lowered role or a disabled account the tokens from before are over, newer ones work."""
    old, admin = join("User_connect", token(32, version=1)), join("Admin_connect", token(33, "admin"))
    accounts.revoke("user", 32, min_version=2)
    accounts.revoke("user", 33, min_version=1)
    wait_until(lambda: ended(old) and ended(admin), 5)
    assert join("User_connect", token(32, version=1)).ack["code"] == "unauthenticated"
    assert join("User_connect", token(32, version=2)).ack["ok"]


def test_a_key_connects_and_ends_with_its_revocation(journal, accounts, join):
    """``User_connect`` with an API key hears its owner's changes until the key is revoked."""
    key = f"{KEY}1"
    row = accounts.add_key(key, 34, READ)
    client = join("User_connect", {"token": key})
    assert (client.ack["ok"], client.ack["user_id"]) == (True, 34)
    event = journal.add(34)
    wait_until(lambda: client.heard)
    assert client.heard == [("Notify_File_create", event)]
    del accounts.keys[key]
    accounts.revoke("key", row["key_id"])
    wait_until(lambda: ended(client), 5)
    assert join("User_connect", key).ack["code"] == "unauthenticated"


def test_a_key_in_the_handshake(accounts, join):
    """The handshake's auth takes a key like a token."""
    accounts.add_key(f"{KEY}2", 35, READ)
    client = join(auth={"token": f"{KEY}2"})
    assert not client.closed


def test_scopes_on_the_socket(accounts, join):
    """``events:read`` to listen, an administrator's key for all changes, ``files:write`` besides to relay events."""
    accounts.add_key(f"{KEY}3", 36, ["files:read", "files:write"])
    accounts.add_key(f"{KEY}4", 36, READ)
    accounts.add_key(f"{KEY}5", 37, READ, role="admin")
    accounts.add_key(f"{KEY}6", 37, [*READ, "files:write"], role="admin")
    deaf = join("User_connect", f"{KEY}3")
    assert deaf.ack["code"] == "insufficient_scope"
    wait_until(lambda: deaf.closed, 3)
    assert join("Admin_connect", f"{KEY}4").ack["code"] == "forbidden"
    listener, speaker = join("Admin_connect", f"{KEY}5"), join("Admin_connect", f"{KEY}6")
    assert [listener.ack["ok"], speaker.ack["ok"]] == [True, True]
    event = {"id": 1, "user_id": 36}
    assert listener.call("File_create", event)["code"] == "insufficient_scope"
    assert speaker.call("File_create", event) == {"ok": True}


@pytest.mark.parametrize("key", ["dsk_", "dsk_short", "dsk_" + "x" * 300, "dsk_" + "é" * 40])
def test_what_cannot_be_a_key_is_refused_without_a_call(accounts, join, key):
    """Nobody is asked about it."""
    before = len(accounts.asked)
    assert join("User_connect", key).ack["code"] == "unauthenticated"
    assert len(accounts.asked) == before


def test_an_owners_new_password_leaves_keys_and_a_disabled_owner_ends_them(accounts, join):
    """Something happened to the account: the key is asked about again, and its socket stays or ends by the answer."""
    key = f"{KEY}7"
    row = accounts.add_key(key, 38, READ)
    client = join("User_connect", key)
    row["version"] = 1
    asked = len(accounts.asked)
    accounts.revoke("user", 38, min_version=1)
    wait_until(lambda: len(accounts.asked) > asked, 5)
    assert client.call("User_connect", key)["ok"]
    assert not client.closed
    del accounts.keys[key]
    accounts.revoke("user", 38, min_version=2)
    wait_until(lambda: ended(client), 5)


def test_an_administrators_key_falls_with_the_role(accounts, join):
    """A socket that gets everybody's changes by a key ends when the owner is no administrator any more."""
    key = f"{KEY}8"
    row = accounts.add_key(key, 39, READ, role="admin")
    everything, own = join("Admin_connect", key), join("User_connect", key)
    row.update(role="user", version=1)
    accounts.revoke("user", 39, min_version=1)
    wait_until(lambda: ended(everything), 5)
    assert own.call("User_connect", key)["ok"]


def test_a_key_ends_at_its_time(accounts, join):
    """A socket is closed when its key expires."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    accounts.add_key(f"{KEY}9", 40, READ, expires_at=moment)
    client = join("User_connect", f"{KEY}9")
    assert client.ack["ok"]
    wait_until(lambda: ended(client), 6)
