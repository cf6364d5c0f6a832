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
    issue_access_token,
    verify_access_token,
)

KEY = "k" * 48


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "7", "role": "user", "typ": "access",
        "iat": now, "nbf": now, "exp": now + 60, "jti": "x",
    }  # fmt: skip
    return {key: value for key, value in {**good, **changes}.items() if value is not None}


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
        {"jti": None}, {"iat": None}, {"typ": "refresh"}, {"typ": None}, {"role": "root"}, {"role": None},
    ],
)  # fmt: skip
def test_a_token_with_a_wrong_claim_is_refused(changes: dict[str, Any]) -> None:
    """Each claim is checked, and each must be there."""
    with pytest.raises(Unauthenticated, match=r"^A valid access token is required\.$"):
        verify_access_token(KEY, jwt.encode(claims(**changes), KEY, algorithm=ALGORITHM))


def test_the_unchanged_claims_of_these_tests_are_good() -> None:
    """The refusals above come from the change, not from the rest."""
    assert verify_access_token(KEY, jwt.encode(claims(), KEY, algorithm=ALGORITHM)).user_id == 7


@pytest.mark.parametrize(
    "token",
    [
        "", "x", "a.b.c", "x" * 1_000_000, "é.é.é",
        jwt.encode(claims(), "o" * 48, algorithm=ALGORITHM),
        jwt.encode(claims(), "k" * 64, algorithm="HS512"),
        jwt.encode(claims(), None, algorithm="none"),
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
