"""Socket.IO: nonsense is answered with an error or the end of its connection, and another client hears on."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.request
from collections.abc import Callable

import eventlet

from notifier_bridge.limits import IDENTIFY_SECONDS, MESSAGES_AT_ONCE_MAX, MESSAGES_EXCESS_MAX
from tests.integration.bad_input.place import Place
from tests.integration.bad_input.row import Input, Row
from tests.support.notifier import RawWebSocket
from tests.support.waiting import wait_until

GROWTH_BYTES_MAX = 24 * 2**20
HEARD_SECONDS = 5.0
CUT_SECONDS = 8.0

MALFORMED = [
    "", "x", "4", "4x", "49", "42", "42{}", "42[]", "42[1]", "42[null]", '42["connect",{}]', '42["disconnect"]',
    '42[["User_connect"],1]', '42"User_connect"', "4" + "[" * 30_000, "42" + "[" * 30_000, '450-["User_connect"]',
    '459999999999-["User_connect",{"_placeholder":true,"num":0}]', "43", "43[]", "437[]", "44{}", "0", "1", "5", "6",
    "7", "9", "40/other,", '42/other,["User_connect",1]', "42" + "9" * 101 + '["User_connect",1]', "b4", "b!!!!",
    '420["File_create",1e999]', '421["User_connect","\\ud800"]',
]  # fmt: skip

WRONG_TOKENS = [
    "", ",1,2,3", ",null", ",7", ",true", ",[[[]]]", ',{"token":[]}', ',{"token":{"token":"a"}}', ',{"token":null}',
    ',{"token":"a","since":{}}', ',{"token":"a","since":-1}', ',"{\\"token\\":"', ',"' + "[" * 20_000 + '"', ",NaN",
    ',"\\ud800"', ',"\\u0000"', ',"' + "a" * 60_000 + '"',
]  # fmt: skip

BODIES = [b"", b"x", b"\xff\xfe", b"4", b"42[", b"b!!", b"2", b"9", b"40\x1e42[]", b"40" + b"\x1e42[]" * 20, b"d="]


def _others_unharmed(act: Callable[[Place], None]) -> Callable[[Place], None]:
    """``act``, and then a listener still hears of the next change; the process has not grown."""

    def acted(place: Place) -> None:
        before = place.memory("notifier_bridge")
        act(place)
        heard = len(place.listener.heard)
        place.person.ask("PATCH", f"/files/{place.file['id']}", json={"name": f"{time.monotonic()}.txt"})
        wait_until(lambda: len(place.listener.heard) > heard, HEARD_SECONDS)
        assert place.memory("notifier_bridge") - before < GROWTH_BYTES_MAX
        place.keep(place.person.ask("GET", f"/files/{place.file['id']}").json())

    return acted


def _joined(place: Place) -> RawWebSocket:
    raw = RawWebSocket(place.notifier_port)
    raw.send("40")
    return raw


def _refused_or_closed(text: str, asked: str) -> Callable[[Place], None]:
    """``asked`` begins the ack that must say no, unless the connection ends instead."""

    def act(place: Place) -> None:
        raw = _joined(place)
        with contextlib.suppress(OSError):
            raw.send(text)
            raw.send('421["User_connect",null]')
        answer = raw.read_text()
        while answer is not None and not answer.startswith(asked):
            answer = raw.read_text()
        assert answer is None or '"ok":false' in answer
        raw.close()

    return act


def _unidentified(place: Place) -> None:
    """The one that was opened first of all: it ends by itself."""
    place.silent.sock.settimeout(IDENTIFY_SECONDS + CUT_SECONDS)
    place.silent.read_until_closed()
    assert time.monotonic() - place.silent_since < IDENTIFY_SECONDS * 60  # it was there until somebody looked


def _refused(place: Place) -> None:
    """The library keeps the transport of a refused CONNECT open; docsave closes it."""
    raw = RawWebSocket(place.notifier_port)
    raw.send('40{"token":"nonsense"}')
    texts = raw.read_until_closed()
    assert any(text.startswith("44") and '"unauthenticated"' in text for text in texts)


def _binary(place: Place) -> None:
    raw = _joined(place)
    raw.send(b"\xff\x00", opcode=2)
    raw.read_until_closed()


def _large_frame(place: Place) -> None:
    raw = _joined(place)
    with contextlib.suppress(OSError):
        raw.send("4" * 1_000_000)
    raw.read_until_closed()


def _endless_fragments(place: Place) -> None:
    raw = _joined(place)
    with contextlib.suppress(OSError):
        raw.send("4" * 30_000, final=False)
        for _ in range(40):
            raw.send("4" * 30_000, opcode=0, final=False)
    raw.read_until_closed()


def _flood(place: Place) -> None:
    """Another is answered meanwhile; this one is told why, then closed."""
    raw = _joined(place)
    number = MESSAGES_AT_ONCE_MAX + MESSAGES_EXCESS_MAX + 1000

    def send() -> None:
        with contextlib.suppress(OSError):
            for n in range(number):
                raw.send(f'42{n}["File_create",{{}}]')

    sending = eventlet.spawn(send)
    other = place.recorder()
    assert other.call("User_connect", place.token)["ok"]
    other.close()
    texts = raw.read_until_closed()
    sending.wait()
    assert any('"forbidden"' in text for text in texts)
    assert any('"too_many_requests"' in text for text in texts)


def _poll(url: str, body: bytes | None = None) -> bytes:
    with urllib.request.urlopen(url, data=body, timeout=20) as answer:  # noqa: S310 - the place's own address
        return bytes(answer.read())


def _polled(body: bytes) -> Callable[[Place], None]:
    def act(place: Place) -> None:
        url = f"http://127.0.0.1:{place.notifier_port}/socket.io/?EIO=4&transport=polling"
        session = json.loads(_poll(url)[1:])["sid"]
        with contextlib.suppress(OSError):  # an HTTP error is one, too
            _poll(f"{url}&sid={session}", body)
        with contextlib.suppress(OSError):
            _poll(f"{url}&sid={session}", b"41")

    return act


ROWS = [
    Row("Socket.IO: no identification", (Input("is closed", _unidentified),)),
    Row("Socket.IO: refused", (Input("is closed", _refused),)),
    Row(
        "Socket.IO: malformed packets",
        (
            *[Input(f"{text[:40]!r}", _refused_or_closed(text, "431")) for text in MALFORMED],
            *[Input(f"polled {body[:20]!r}", _polled(body)) for body in BODIES],
            Input("binary, and others hear on", _others_unharmed(_binary), keeps=True),
        ),
    ),
    Row(
        "Socket.IO: 1 MB frame",
        (
            Input("one frame", _others_unharmed(_large_frame), keeps=True),
            Input("fragments without end", _others_unharmed(_endless_fragments), keeps=True),
            Input("polled", _polled(b"4" * 1_000_000)),
        ),
    ),
    Row("Socket.IO: 200 messages/s and more", (Input("is told, then closed", _others_unharmed(_flood), keeps=True),)),
    Row(
        "Socket.IO: wrong types for the token",
        tuple(
            Input(f"{event}{payload[:30]}", _refused_or_closed(f'420["{event}"{payload}]', "430"))
            for event in ("User_connect", "Admin_connect")
            for payload in WRONG_TOKENS
        ),
    ),
]
