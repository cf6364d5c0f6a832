"""Errors as problems."""

import json

import pytest
from werkzeug import exceptions

from docsave_services.errors import (
    BadMultipart,
    DocsaveError,
    InvalidInput,
    RpcTimeout,
    Unauthenticated,
    error_from_code,
)
from gateway_http.problem import closing_answer, error_of, problem_response


@pytest.mark.parametrize(
    ("exc", "status", "code"),
    [
        (BadMultipart(), 400, "bad_multipart"),
        (InvalidInput.for_field("name", "is bad"), 422, "invalid_input"),
        (error_from_code("no_such_code", "x"), 500, "internal_error"),
        (exceptions.NotFound(), 404, "not_found"),
        (exceptions.RequestEntityTooLarge(), 413, "too_large"),
        (exceptions.ClientDisconnected(), 400, "bad_request"),
        (exceptions.SecurityError(), 400, "bad_request"),
        (exceptions.ImATeapot(), 500, "internal_error"),
        (exceptions.HTTPException(), 500, "internal_error"),
        (RuntimeError("secret /etc/path"), 500, "internal_error"),
        (KeyError("secret"), 500, "internal_error"),
        (OSError(28, "secret"), 500, "internal_error"),
    ],
)
def test_every_exception_has_a_code(exc: Exception, status: int, code: str) -> None:
    """The nearest base class in the table decides; what is not ours tells nothing of itself."""
    error = error_of(exc)
    assert (error.status, error.code) == (status, code)
    body = problem_response(error, "id").get_data(as_text=True)
    assert "secret" not in body
    assert type(exc).__name__ not in body


def test_a_problem_has_the_fields_of_the_contract() -> None:
    """type, title, status, detail, code, request_id, and errors where there are some."""
    error = InvalidInput.for_field("name", "must not be . or ..")
    body = json.loads(problem_response(error, "id-1").get_data())
    assert body == {
        "type": "urn:docsave:problem:invalid_input",
        "title": "Invalid input",
        "status": 422,
        "detail": "name: must not be . or ..",
        "code": "invalid_input",
        "request_id": "id-1",
        "errors": [{"field": "name", "message": "must not be . or .."}],
    }


def test_the_status_brings_its_headers() -> None:
    """401 asks for a Bearer token, 503 says when to try again."""
    assert problem_response(Unauthenticated(), "x").headers["WWW-Authenticate"] == "Bearer"
    assert problem_response(RpcTimeout(), "x").headers["Retry-After"] == "2"


def test_text_of_the_client_cannot_become_a_header() -> None:
    """A detail with line ends stays inside the JSON body."""
    answer = closing_answer(DocsaveError("a\r\nX-Evil: 1"), "id")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"X-Evil" not in head
    assert json.loads(body)["detail"] == "a\r\nX-Evil: 1"
