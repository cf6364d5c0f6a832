"""Download tickets: for one path, for a minute, for reading, and only as long as their session."""

import time
from types import SimpleNamespace

import pytest
from werkzeug.wrappers import Request

from docsave_services.errors import Unauthenticated
from docsave_services.tokens import Identity, KeyRing, issue_access_token, verify_access_token
from gateway_http.limits import TICKET_SECONDS
from gateway_http.tickets import has_ticket, holder_of_ticket, issue_ticket

KEYS = KeyRing("k" * 48)
ANNA = Identity(7, "user", time.time() + 900, "5" * 32, 3)
PATH = "/files/4/content?at=2026-11-24T10:00:00Z"


class _Ended(Exception):
    pass


def _revoked(identity: Identity) -> None:
    raise _Ended


def _asked(address: str, check=lambda identity: None):
    path, _, query = address.partition("?")
    environ = {"RAW_PATH_INFO": path, "QUERY_STRING": query}
    request = SimpleNamespace(environ=environ, settings=SimpleNamespace(keys=KEYS))
    assert has_ticket(request)
    return holder_of_ticket(request, SimpleNamespace(revocations=SimpleNamespace(check=check)))


def test_a_ticket_is_its_owner_reading():
    """Who asked for it, in that session, and with no right but to read."""
    for path in (PATH, "/files/4/content"):
        joint = "&" if "?" in path else "?"
        identity = _asked(f"{path}{joint}ticket={issue_ticket(KEYS, ANNA, path)}")
        assert (identity.user_id, identity.role, identity.session_id, identity.version) == (7, "user", "5" * 32, 3)
        assert identity.scopes == {"files:read"}


@pytest.mark.parametrize(
    "address",
    ["/files/5/content?at=2026-11-24T10:00:00Z", "/files/4/content", "/files/4/content?at=2026-11-24T11:00:00Z",
     "/files/4/versions/1/content"],
)  # fmt: skip
def test_a_ticket_opens_nothing_else(address):
    """Another file, another moment, another version: 401."""
    joint = "&" if "?" in address else "?"
    with pytest.raises(Unauthenticated):
        _asked(f"{address}{joint}ticket={issue_ticket(KEYS, ANNA, PATH)}")


def test_a_ticket_runs_out():
    """After a minute it begins nothing."""
    _asked(f"{PATH}&ticket={issue_ticket(KEYS, ANNA, PATH, time.time() - TICKET_SECONDS + 5)}")
    with pytest.raises(Unauthenticated):
        _asked(f"{PATH}&ticket={issue_ticket(KEYS, ANNA, PATH, time.time() - TICKET_SECONDS - 1)}")


def test_the_end_of_the_session_is_the_end_of_its_tickets():
    """The same look at revocations as for an access token."""
    with pytest.raises(_Ended):
        _asked(f"{PATH}&ticket={issue_ticket(KEYS, ANNA, PATH)}", _revoked)


def test_neither_token_passes_for_the_other():
    """An access token is no ticket, a ticket no access token; what is neither is refused alike."""
    for wrong in (issue_access_token(KEYS, 7, "user"), issue_ticket(KeyRing("x" * 48), ANNA, PATH), "", "a.b.c", "é"):
        with pytest.raises(Unauthenticated):
            _asked(f"{PATH}&ticket={wrong}")
    with pytest.raises(Unauthenticated):
        verify_access_token(KEYS, issue_ticket(KEYS, ANNA, PATH))


def test_a_header_comes_first():
    """Who sends both is asked by the header: the ticket is not looked at."""
    environ = {"HTTP_AUTHORIZATION": "Bearer x", "QUERY_STRING": "ticket=y"}
    assert not has_ticket(Request(environ))
