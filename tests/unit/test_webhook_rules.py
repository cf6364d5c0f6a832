"""The rules of webhooks: where they may go, how they are signed, how secrets are kept, when trying goes on."""

import base64
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from docsave_services.domain.webhook_pauses import GIVE_UP_AFTER, PAUSES_SECONDS, is_over, pause_seconds
from docsave_services.domain.webhook_signature import new_secret, shown, signature
from docsave_services.domain.webhook_targets import URL_CHARACTERS_MAX, address_is_allowed, target_of, url_problem
from docsave_services.tokens import KeyRing
from docsave_services.webhooks.sealed import Unreadable, is_current, seal, unseal

OLD, NEW = "o" * 40, "n" * 40


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.9.10", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",  # noqa: S104
        "169.254.169.254", "169.254.1.1", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192",
        "198.18.0.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "192.0.2.1", "203.0.113.9",
        "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2001::1", "2001:db8::1",
        "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "2606:4700::1%lo", "fec0::1", "ff02::1",
        "not an address", "",
    ],
)  # fmt: skip
def test_no_address_inside_is_allowed(address: str) -> None:
    """Loopback, private, link-local, shared, metadata, multicast, reserved, and these inside IPv6."""
    assert not address_is_allowed(address, allow_private=False)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::1.1.1.1"]
)
def test_public_addresses_are_allowed(address: str) -> None:
    """The neighbours of refused networks too."""
    assert address_is_allowed(address, allow_private=False)


def test_the_operators_switch_allows_what_is_private_and_nothing_that_is_nobody() -> None:
    """Loopback, private and link-local become good; multicast, broadcast and "no address" never."""
    assert all(address_is_allowed(a, True) for a in ("127.0.0.1", "10.1.1.1", "::1", "fd00::1", "::ffff:127.0.0.1"))
    refused = ("0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::1", "::ffff:224.0.0.1")  # noqa: S104
    assert not any(address_is_allowed(a, True) for a in refused)


@pytest.mark.parametrize(
    "url",
    [
        "", "crm.example.com", "ftp://crm.example.com/", "file:///etc/passwd", "//crm.example.com", "http://",
        "https://user:password@crm.example.com/", "https://crm.example.com/#part", "https://crm.example.com:0/",
        "https://crm.example.com:65536/", "https://crm.example.com:x/", "https://crm example.com/",
        "https://crm.example.com/\r\nX: y", "https://crm.example.com/\\@evil", "https://bücher.example/",
        "http://2130706433/", "http://0x7f000001/", "http://127.1/", "http://0177.0.0.1/", "http://[::1/",
        "http://[fe80::1%25eth0]/", "http://-a-.example/", "http://a..b/", "http://127.0.0.1:8000/", "http://[::1]/",
        "http://169.254.169.254/latest/meta-data", "https://crm.example.com/" + "a" * URL_CHARACTERS_MAX,
    ],
)  # fmt: skip
def test_what_is_no_good_url_is_refused(url: str) -> None:
    """Other schemes, credentials, control characters, addresses in disguise or inside."""
    assert url_problem(url, allow_private=False)


def test_a_url_is_taken_apart() -> None:
    """Host, port, path with its query, and the value of Host."""
    assert url_problem("https://crm.example.com./a/b?c=d&e=%20", allow_private=False) is None
    target = target_of("http://CRM.example.com:8080?x=1")
    assert (target.host, target.port, target.path, target.authority) == (
        "crm.example.com", 8080, "/?x=1", "crm.example.com:8080",
    )  # fmt: skip
    assert target_of("https://[2606:4700::1]:443/a").authority == "[2606:4700::1]"


def test_the_signature_is_that_of_the_scheme() -> None:
    """The example that the libraries of the scheme test themselves with."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = signature([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_two_secrets_give_two_signatures() -> None:
    """The newest first, with a space between."""
    one, two = new_secret(), new_secret()
    both = signature([one, two], "msg_1", 1, b"{}")
    assert both == f"{signature([one], 'msg_1', 1, b'{}')} {signature([two], 'msg_1', 1, b'{}')}"
    assert base64.b64decode(shown(one).removeprefix("whsec_")) == one


def test_a_sealed_secret_opens_with_its_key_only() -> None:
    """The present key or the one before; no other, and not after a change of any byte."""
    secret = new_secret()
    text = seal(KeyRing(OLD), secret)
    assert unseal(KeyRing(OLD), text) == unseal(KeyRing(NEW, OLD), text) == secret
    with pytest.raises(Unreadable):
        unseal(KeyRing(NEW), text)
    head, parts = text.split(".")[:2], [base64.urlsafe_b64decode(part) for part in text.split(".")[2:]]
    for number, part in enumerate(parts):
        for place in range(len(part)):
            changed = [
                *parts[:number],
                part[:place] + bytes([part[place] ^ 1]) + part[place + 1 :],
                *parts[number + 1 :],
            ]
            with pytest.raises(Unreadable):
                unseal(KeyRing(OLD), ".".join([*head, *(base64.urlsafe_b64encode(p).decode() for p in changed)]))


def test_what_is_stored_says_nothing_of_the_secret() -> None:
    """Neither it nor its base64 is in there, and the same secret looks different each time."""
    secret = new_secret()
    first, second = seal(KeyRing(NEW), secret), seal(KeyRing(NEW), secret)
    assert first != second
    assert base64.urlsafe_b64encode(secret).decode().rstrip("=") not in first
    assert is_current(KeyRing(NEW, OLD), first)
    assert not is_current(KeyRing(OLD, NEW), first)


@pytest.mark.parametrize("text", ["", "1", "1.x.y.z", "2.00000000.a.b.c", "1....", "1.a.b.c.d.e.f"])
def test_what_is_no_sealed_secret_is_unreadable(text: str) -> None:
    """Nothing else is raised."""
    with pytest.raises(Unreadable):
        unseal(KeyRing(NEW), text)


def test_pauses_grow_with_jitter_to_an_hour() -> None:
    """Each within a fifth of its base; the last repeats."""
    for tries, base in enumerate(PAUSES_SECONDS, 1):
        assert pause_seconds(tries, 0.0, None) == pytest.approx(base * 0.8)
        assert pause_seconds(tries, 1.0, None) == pytest.approx(base * 1.2)
    assert all(later <= 3 * sooner for sooner, later in pairwise(PAUSES_SECONDS)), "nobody waits long for a short break"
    assert pause_seconds(500, 0.5, None) == PAUSES_SECONDS[-1] == 3600


def test_retry_after_makes_pauses_longer_never_shorter() -> None:
    """And none is longer than trying goes on."""
    assert pause_seconds(1, 0.5, 90.0) == 90
    assert pause_seconds(12, 0.5, 1.0) == 3600
    assert pause_seconds(1, 0.5, 10.0**9) == GIVE_UP_AFTER.total_seconds()


def test_trying_ends_after_a_day() -> None:
    """Counted from the first failure of the event."""
    begun = datetime(2026, 11, 24, tzinfo=UTC)
    assert not is_over(begun, begun + timedelta(hours=23, minutes=59))
    assert is_over(begun, begun + timedelta(days=1))
