"""One request to a stranger, on real sockets: whatever the stranger does, it ends in time and says how."""

import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import eventlet
import pytest

from docsave_services.webhooks import sender
from docsave_services.webhooks.limits import ANSWER_BYTES_MAX
from docsave_services.webhooks.sender import Line
from tests.support.receiver import OK, Receiver, listening, status
from tests.support.webhooks import hanging

WaitUntil = Callable[..., Any]
MIB = 1024 * 1024


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less patience than in life."""
    monkeypatch.setattr(sender, "TOTAL_SECONDS", 0.5)


def line(receiver: Receiver, **kwargs: Any) -> Line:
    return Line(receiver.url, allow_private=True, **kwargs)


def test_the_request_is_a_plain_post(receiver: Receiver) -> None:
    """Body, path with its query, Host and the headers given; nothing that tells of the sender's own network."""
    answer = Line(receiver.url + "?token=1", True).post(b'{"a":1}', {"webhook-id": "msg_1", "User-Agent": "docsave"})
    assert (answer.code, answer.error, answer.delivered) == (200, None, True)
    (got,) = receiver.got
    assert (got.path, got.body) == ("/hook?token=1", b'{"a":1}')
    assert set(got.headers) == {"host", "webhook-id", "user-agent", "content-length", "accept-encoding"}
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"


def test_proxies_of_the_environment_are_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would look the name up again."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    assert line(receiver).post(b"{}", {}).delivered


def test_a_connection_is_used_again_until_it_is_old(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that the other side closed meanwhile costs no try."""
    wire = line(receiver)
    assert all(wire.post(b"{}", {}).delivered for _ in range(3))
    assert receiver.connections == 1
    receiver.stop()
    receiver.start()
    assert wire.post(b"{}", {}).delivered
    assert receiver.connections == 2
    monkeypatch.setattr(sender, "CONNECTION_SECONDS", 0.0)
    assert wire.post(b"{}", {}).delivered
    assert receiver.connections == 3


def test_a_receiver_that_is_down(receiver: Receiver) -> None:
    """No connection."""
    receiver.stop()
    answer = line(receiver).post(b"{}", {})
    assert (answer.code, answer.error) == (None, "connection_failed")


def test_an_answer_that_is_no_success(receiver: Receiver) -> None:
    """The code, how the answer begins without control characters, and when to come back."""
    receiver.answers = [
        status(503, b"busy\x00\x1b[31m\r\n" + b"\xff" + b"x" * 1000, Retry_After="7"),
        status(500, Retry_After="Wed, 21 Oct 2037 07:28:00 GMT"),
        status(429, Retry_After="soon"),
    ]
    answers = [line(receiver).post(b"{}", {}) for _ in range(3)]
    assert [(a.code, a.error) for a in answers] == [(503, "refused"), (500, "refused"), (429, "refused")]
    assert answers[0].text is not None
    assert answers[0].text.startswith("busy  [31m  \ufffdxxx")
    assert len(answers[0].text) == 255
    assert answers[0].retry_after == 7
    assert (answers[1].retry_after or 0) > 10**8
    assert answers[2].retry_after is None


@pytest.mark.usefixtures("quick")
def test_a_receiver_that_hangs(receiver: Receiver) -> None:
    """Before an answer, and in the middle of one that drips."""

    def drip(sock: Any) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            sock.sendall(b"x")
            eventlet.sleep(0.05)

    receiver.answers = [hanging(), drip]
    for _ in range(2):
        begun = time.monotonic()
        assert line(receiver).post(b"{}", {}).error == "timeout"
        assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    "said",
    [
        b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf", b"HTTP/1.1 2", b"220 smtp.example ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
    ],
)  # fmt: skip
def test_an_answer_that_is_not_whole(receiver: Receiver, said: bytes) -> None:
    """Closed half way, or no HTTP: who knows what the other side has done. It is sent again."""

    def answer(sock: Any) -> None:
        sock.sendall(said)
        sock.shutdown(2)

    receiver.default = answer
    assert line(receiver).post(b"{}", {}).error == "answer_incomplete"


def test_fifty_megabytes_are_not_read(receiver: Receiver) -> None:
    """The status counts; after 64 KiB the connection is closed."""
    sent = []

    def flood(sock: Any) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n")
        for _ in range(50):
            sock.sendall(b"x" * MIB)
            sent.append(MIB)

    receiver.answers = [flood]
    answer = line(receiver).post(b"{}", {})
    assert (answer.delivered, len(answer.text or "")) == (True, 255)
    eventlet.sleep(0)
    assert ANSWER_BYTES_MAX < 40 * MIB
    assert sum(sent) < 40 * MIB


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    """Not to loopback, not anywhere."""
    with listening() as other:
        receiver.answers = [status(code, Location=other.url) for code in (301, 302, 307, 308)]
        answers = [line(receiver).post(b"{}", {}) for _ in range(4)]
        assert [(a.code, a.error) for a in answers] == [(c, "redirect") for c in (301, 302, 307, 308)]
        assert other.connections == 0


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://localhost:{}/", "address_not_allowed"), ("http://localhost.:{}/", "address_not_allowed"),
        ("http://[::ffff:127.0.0.1]:{}/", "address_not_allowed"), ("http://nowhere.invalid:{}/", "name_not_found"),
    ],
)  # fmt: skip
def test_a_name_that_leads_inside_is_not_connected_to(receiver: Receiver, url: str, word: str) -> None:
    """The address decides, whatever it is called."""
    assert Line(url.format(receiver.port), allow_private=False).post(b"{}", {}).error == word
    assert receiver.connections == 0


def test_one_address_inside_spoils_the_name(receiver: Receiver) -> None:
    """Also when the first one is public."""
    wire = Line(f"http://crm.example:{receiver.port}/", False, lambda *_: ["1.1.1.1", "127.0.0.1"])
    assert wire.post(b"{}", {}).error == "address_not_allowed"


def test_a_name_that_changes_its_address_after_the_check(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked up once; the connection goes to the address that was checked (no DNS rebinding)."""
    asked: list[str] = []

    def find(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.2"] if len(asked) == 1 else ["127.0.0.1"]

    monkeypatch.setattr(sender, "address_is_allowed", lambda address, _: address == "127.0.0.2")
    checked = Receiver("127.0.0.2", port=receiver.port)
    checked.start()
    try:
        wire = Line(f"http://rebinding.example:{receiver.port}/", False, find)
        assert wire.post(b"{}", {}).delivered
        assert (asked, checked.connections, receiver.connections) == (["rebinding.example"], 1, 0)
        assert checked.got[0].headers["host"] == f"rebinding.example:{receiver.port}"
        wire.close()
        assert wire.post(b"{}", {}).error == "address_not_allowed"
        assert receiver.connections == 0
    finally:
        checked.stop()


@pytest.mark.usefixtures("quick")
def test_name_servers_that_do_not_answer(receiver: Receiver) -> None:
    """They cost the same time as a receiver that hangs, and stop nobody else meanwhile."""
    ticks = []

    def tick() -> None:
        while True:
            eventlet.sleep(0.02)
            ticks.append(1)

    ticking = eventlet.spawn(tick)
    wire = Line(f"http://slow.example:{receiver.port}/", True, lambda *_: eventlet.sleep(60) or [])
    assert wire.post(b"{}", {}).error == "timeout"
    ticking.kill()
    assert len(ticks) > 5


def test_the_next_address_of_a_name_is_tried(receiver: Receiver) -> None:
    """One that nobody listens on costs no try."""
    wire = Line(f"http://two.example:{receiver.port}/", True, lambda *_: ["127.0.0.9", "127.0.0.1"])
    assert wire.post(b"{}", {}).delivered


def test_the_certificate_must_be_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS goes to the address and asks for the name: its certificate is good, another name's is not."""
    certificate = self_signed(tmp_path, "crm.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    receiver = Receiver()
    receiver.start(lambda sock: context.wrap_socket(sock, server_side=True))
    try:
        wire, other = (
            Line(f"https://{n}.example:{receiver.port}/", True, lambda *_: ["127.0.0.1"]) for n in ("crm", "x")
        )
        assert wire.post(b"{}", {}).error == "tls_failed"  # nobody vouches for it yet
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        receiver.answers = [OK]
        assert wire.post(b"{}", {}).delivered
        assert other.post(b"{}", {}).error == "tls_failed"
        assert len(receiver.got) == 1
    finally:
        receiver.stop()


def self_signed(directory: Path, name: str) -> Path:
    """Key and certificate of ``name`` in one file."""
    openssl = shutil.which("openssl")
    assert openssl, "openssl is not installed"
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-days", "2"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    certificate.write_text(certificate.read_text() + key.read_text())
    return certificate
