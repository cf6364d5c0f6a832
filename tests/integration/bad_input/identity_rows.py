"""Tokens that are none, passwords that nearly are one."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import jwt

from docsave_services.tokens import ALGORITHM, AUDIENCE, ISSUER, key_id
from tests.integration.bad_input.place import Place
from tests.integration.bad_input.row import Answer, Input, Row
from tests.integration.gateway_process import SECRET_KEY


def signed(key: str = SECRET_KEY, algorithm: str = ALGORITHM, user_id: int = 1, **changes: Any) -> str:
    """A token like ours, but for the changes; None takes a claim away."""
    now = int(time.time())
    claims = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": str(user_id), "role": "user", "typ": "access",
        "iat": now, "nbf": now, "exp": now + 60, "jti": "x", "sid": "5" * 32, "ver": 0,
    }  # fmt: skip
    claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": key_id(SECRET_KEY)})


def with_payload_of_another() -> str:
    """The signature belongs to a user's token, the payload says administrator."""
    head, payload, signature = signed().split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    changed = base64.urlsafe_b64encode(json.dumps({**claims, "role": "admin"}).encode()).decode().rstrip("=")
    return f"{head}.{changed}.{signature}"


BAD_TOKENS: dict[str, Callable[[], str]] = {
    "alg none": lambda: signed("", "none"),
    "another key": lambda: signed("o" * 48),
    "other algorithm": lambda: signed(algorithm="HS512"),
    "changed payload": with_payload_of_another,
    "expired": lambda: signed(exp=int(time.time()) - 60),
    "no exp": lambda: signed(exp=None),
    "refresh token": lambda: "dsr_" + "A" * 43,
    "type refresh": lambda: signed(typ="refresh"),
    "60 KB long": lambda: signed() + "A" * 60_000,
    "unknown key": lambda: "dsk_" + "A" * 43,
    "none": lambda: "",
}


def _with(made: Callable[[], str], path: str) -> Callable[[Place], Answer]:
    def act(place: Place) -> Answer:
        answer = place.anonymous("GET", path, headers={"Authorization": f"Bearer {made()}"})
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "errors" not in answer.problem
        return answer

    return act


def _too_long(place: Place) -> Answer:
    return place.anonymous("GET", "/files", headers={"Authorization": f"Bearer {signed()}{'A' * 1_000_000}"})


def _good(place: Place) -> None:
    """What the bad ones are made of lets its owner in, so that each is refused for what was done to it."""
    headers = {"Authorization": f"Bearer {signed(user_id=place.person.id)}"}
    assert place.anonymous("GET", "/files", headers=headers).status == 200


def _log_in(place: Place, login: str, password: str) -> Answer:
    """From an address of its own: guessing is slowed down, which is not the question here."""
    number = uuid.uuid4().int
    address = f"203.{number % 250}.{number // 250 % 250}.{number // 62500 % 250}"
    body = {"login": login, "password": password}
    return place.anonymous("POST", "/login", json=body, headers={"X-Forwarded-For": address})


def _sign_up(place: Place, password: str) -> str:
    login = f"login-{uuid.uuid4().hex[:10]}"
    assert place.anonymous("POST", "/users", json={"login": login, "password": password}).status == 201
    return login


def _alike(place: Place) -> None:
    """Status, code, words and headers; that both take as long is tested where bcrypt is not disturbed."""
    known = _sign_up(place, "correct horse 1")
    answers = [_log_in(place, login, "wrong horse 1") for login in (known, "nobody-at-all")]
    said = [{k: v for k, v in answer.problem.items() if k != "request_id"} for answer in answers]
    assert said[0] == said[1]
    assert (said[0]["status"], said[0]["code"]) == (401, "bad_credentials")
    assert answers[0].headers.keys() == answers[1].headers.keys()


def _exact(right: str, wrong: str) -> Callable[[Place], None]:
    def act(place: Place) -> None:
        login = _sign_up(place, right)
        assert _log_in(place, login, wrong).problem["code"] == "bad_credentials"
        assert _log_in(place, login, right).status == 200

    return act


_SENTENCE = "A valid access token is required."

ROWS = [
    Row(
        "JWT that is not ours",
        (
            *[
                Input(f"{kind} at {path}", _with(made, path), 401, "unauthenticated", says=_SENTENCE)
                for kind, made in BAD_TOKENS.items()
                for path in ("/files", "/users/me")
            ],
            Input("1 MB long", _too_long, 431, "headers_too_large"),
            Input("unchanged it lets in", _good),
        ),
    ),
    Row("unknown login against wrong password", (Input("answered alike", _alike, keeps=True),)),
    Row(
        "passwords",
        (
            Input("sharing 72 bytes", _exact("x" * 72 + "A1", "x" * 72 + "B2"), keeps=True),
            Input("NUL inside", _exact("nul\0one more", "nul\0two more"), keeps=True),
            Input("128 emoji", _exact("🔑" * 128, "🔑" * 127), keeps=True),
        ),
    ),
]  # fmt: skip
