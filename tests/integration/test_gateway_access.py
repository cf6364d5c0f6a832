"""Every route of the gateway, found in its code: who shows too little gets nowhere, and unknown fields are named.

A route that is added tomorrow is tested here without a change.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from docsave_services.contracts import SCOPES
from gateway import Gateway
from gateway_http.auth import Access
from gateway_http.route import HttpRoute
from tests.integration.bad_input.identity_rows import signed
from tests.integration.gateway_process import (
    Desk,
    GatewayProcess,
    bearer,
    problem_of,
    stand_ins,
    stop_all,
    token,
)
from tests.support.rabbitmq import Broker
from tests.support.waiting import wait_until

DESK = Desk()
ROUTES = [
    entrypoint
    for method in vars(Gateway).values()
    for entrypoint in getattr(method, "nameko_entrypoints", ())
    if isinstance(entrypoint, HttpRoute)
]
SAMPLES = {"id": "1", "n": "1", "upload": "0" * 32, "session": "0" * 32}


@pytest.fixture(scope="module")
def gateway(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    services = stand_ins(broker.amqp_uri, DESK)
    gateway = GatewayProcess(broker.amqp_uri, tmp_path_factory.mktemp("gateway"))
    wait_until(lambda: gateway.get("/files/1", headers=bearer()).status_code == 404, 20)
    yield gateway
    gateway.stop()
    stop_all(services)


@pytest.fixture(autouse=True)
def desk(gateway: GatewayProcess) -> Desk:
    DESK.clear()
    return DESK


def path_of(route: HttpRoute) -> str:
    """The route's path with something that could be there in each variable's place."""
    return re.sub(r"<(\w+):\w+>", lambda match: SAMPLES.get(match[1], "x"), route.url)


def name_of(route: HttpRoute) -> str:
    return f"{route.method} {route.url}"


def ask(gateway: GatewayProcess, route: HttpRoute, headers: dict[str, str], **kwargs: Any) -> requests.Response:
    return gateway.request(route.method, path_of(route), headers=headers, **kwargs)


def key_with(scopes: list[str], role: str = "user") -> dict[str, str]:
    """The headers of a program whose key has these scopes; each key is new to the gateway."""
    number = 1000 + len(KEYS)
    KEYS.append(number)
    key = f"dsk_{number:040}"
    DESK.keys[key] = {
        "key_id": number, "user_id": 1, "role": role, "version": 0, "scopes": scopes, "expires_at": None,
    }  # fmt: skip
    return {"Authorization": f"Bearer {key}"}


KEYS: list[int] = []


def test_what_is_open_to_all_is_known() -> None:
    """A route that becomes public has to be written down here too."""
    assert len(ROUTES) > 20
    assert {name_of(route) for route in ROUTES if route.access is Access.PUBLIC} == {
        "POST /login", "POST /token/refresh", "POST /logout", "GET /health/live", "GET /health/ready", "GET /metrics",
        "GET /openapi.json", "GET /docs", "GET /console", "GET /console/settings", "GET /static/<path:path>",
    }  # fmt: skip
    assert [name_of(route) for route in ROUTES if route.access is Access.REGISTRATION] == ["POST /users"]


CLOSED = [route for route in ROUTES if route.access not in (Access.PUBLIC, Access.REGISTRATION)]


@pytest.mark.parametrize("route", CLOSED, ids=name_of)
def test_who_shows_too_little_is_refused(gateway: GatewayProcess, route: HttpRoute) -> None:
    """401 without a token, whatever else is wrong; 403 with all scopes but the one, or as a user where an administrator
    is needed (422 where the body is wrong as well); and nobody is asked anything but who that is."""
    assert ask(gateway, route, {}).status_code == 401
    lacking = [key_with([scope for scope in SCOPES if scope != route.access.value], "admin")]
    if route.access is Access.ADMIN:
        lacking.append(bearer())
    for headers in lacking:
        body = {} if route.body is None else {"json": {}}
        allowed = {403} if route.body is None and route.query is None else {403, 422}
        assert ask(gateway, route, headers, **body).status_code in allowed
    assert {name for name, _ in DESK.calls} <= {"verify_key"}
    assert DESK.batches == []


@pytest.mark.parametrize("route", [route for route in ROUTES if route.body is not None], ids=name_of)
def test_an_unknown_field_is_named_on_every_route(gateway: GatewayProcess, route: HttpRoute) -> None:
    """Fields that a caller would like to set are 422 and named wherever they are not part of the request."""
    assert route.body is not None
    for field in {"id", "user_id", "role", "active", "version", "path", "is_admin"} - set(route.body.model_fields):
        answer = ask(gateway, route, bearer(9, "admin"), json={field: 1})
        errors = problem_of(answer, 422, "invalid_input")["errors"]
        assert {"field": field, "message": "is not a known field"} in errors
    assert DESK.calls == []


def test_a_token_says_nothing_else_than_who(gateway: GatewayProcess) -> None:
    """A claim that is not ours, such as scopes or is_admin, makes nobody more than the role says."""
    more = signed(scopes=["admin"], is_admin=True, user_id=9)
    assert gateway.get("/users", headers={"Authorization": f"Bearer {more}"}).status_code == 403
    assert gateway.get("/users", headers={"Authorization": f"Bearer {token(9, 'admin')}"}).ok
