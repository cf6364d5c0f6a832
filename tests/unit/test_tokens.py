"""Access tokens: only ours, only whole, only in time."""

import time
from typing import Any

import jwt
import pytest

from docsave_services.errors import Unauthenticated
from docsave_services.tokens import (
    ACCESS_TOKEN_SECONDS,
    ALGORITHM,
    AUDIENCE,
    ISSUER,
    KeyRing,
    issue_access_token,
    key_id,
    verify_access_token,
)

KEY = "k" * 48


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "7", "role": "user", "typ": "access",
        "iat": now, "nbf": now, "exp": now + 60, "jti": "x", "sid": "5" * 32, "ver": 3,
    }  # fmt: skip
    return {key: value for key, value in {**good, **changes}.items() if value is not None}


def signed(payload: dict[str, Any], key: str | None = KEY, algorithm: str = ALGORITHM, kid: str | None = None) -> str:
    return jwt.encode(payload, key, algorithm=algorithm, headers={"kid": kid or key_id(KEY)})


def test_a_token_says_who_and_until_when() -> None:
    """The identity comes from the token alone."""
    identity = verify_access_token(KEY, issue_access_token(KEY, 7, "admin"))
    assert (identity.user_id, identity.role, identity.is_admin) == (7, "admin", True)
    assert identity.expires_at == pytest.approx(time.time() + ACCESS_TOKEN_SECONDS, abs=2)


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": int(time.time()) - 3600}, {"exp": None}, {"nbf": int(time.time()) + 3600}, {"nbf": None},
        {"iss": "other"}, {"iss": None}, {"aud": "other"}, {"aud": None}, {"sub": None}, {"sub": "seven"},
        {"jti": None}, {"iat": None}, {"sid": None}, {"sid": 5}, {"ver": None}, {"ver": "3"},
        {"typ": "refresh"}, {"typ": None}, {"role": "root"}, {"role": None},
    ],
)  # fmt: skip
def test_a_token_with_a_wrong_claim_is_refused(changes: dict[str, Any]) -> None:
    """Each claim is checked, and each must be there."""
    with pytest.raises(Unauthenticated, match=r"^A valid access token is required\.$"):
        verify_access_token(KEY, signed(claims(**changes)))


def test_the_unchanged_claims_of_these_tests_are_good() -> None:
    """The refusals above come from the change, not from the rest."""
    identity = verify_access_token(KEY, signed(claims()))
    assert (identity.user_id, identity.session_id, identity.version) == (7, "5" * 32, 3)
    assert (identity.scopes, identity.key_id) == (None, None)


@pytest.mark.parametrize(
    "token",
    [
        "", "x", "a.b.c", "x" * 1_000_000, "é.é.é",
        signed(claims(), "o" * 48), signed(claims(), "o" * 48, kid=key_id("o" * 48)),
        signed(claims(), KEY, "HS512"), signed(claims(), None, "none"),
        signed(claims(), kid="00000000"), jwt.encode(claims(), KEY, algorithm=ALGORITHM),
    ],
)  # fmt: skip
def test_a_token_not_signed_by_us_is_refused(token: str) -> None:
    """Another key, another algorithm, none at all, or no token."""
    with pytest.raises(Unauthenticated):
        verify_access_token(KEY, token)


def test_a_changed_payload_is_refused() -> None:
    """The signature covers the payload."""
    head, payload, signature = issue_access_token(KEY, 7, "user").split(".")
    other = issue_access_token(KEY, 8, "admin").split(".")[1]
    assert payload != other
    with pytest.raises(Unauthenticated):
        verify_access_token(KEY, ".".join([head, other, signature]))


def test_a_key_is_replaced_without_logging_anybody_out() -> None:
    """Tokens of the previous key stay good while it is configured; new ones carry the new key; then the old is dead."""
    old, new = "o" * 48, "n" * 48
    before = issue_access_token(old, 7, "user")
    both = KeyRing(new, old)
    assert verify_access_token(both, before).user_id == 7
    after = issue_access_token(both, 7, "user")
    assert verify_access_token(KeyRing(new), after).user_id == 7
    for ring, token in ((KeyRing(new), before), (KeyRing(old), after)):
        with pytest.raises(Unauthenticated):
            verify_access_token(ring, token)


def test_the_name_of_a_key_does_not_choose_the_algorithm_or_the_key() -> None:
    """A token signed with the previous key under the current one's name is refused."""
    with pytest.raises(Unauthenticated):
        verify_access_token(KeyRing(KEY, "o" * 48), signed(claims(), "o" * 48))


def test_keys_do_not_show_in_a_repr() -> None:
    """A log line with a key ring in it gives nothing away."""
    assert KEY not in repr(KeyRing(KEY, KEY))
