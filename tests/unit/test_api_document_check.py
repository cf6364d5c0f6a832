"""The checks that integration tests make of every answer do find what the document does not tell of."""

import json

import jsonschema
import pytest
import requests

from gateway_http.openapi.examples import EXAMPLES
from tests.support.api_document import check_body, check_status, operation_of


def _answer(
    status: int, body: object, path: str = "/files/1", method: str = "GET", **headers: str
) -> requests.Response:
    answer = requests.Response()
    answer.status_code = status
    answer._content = json.dumps(body).encode()
    answer.headers.update({"Content-Type": "application/json", **headers})
    answer.request = requests.Request(method, f"http://127.0.0.1:1{path}?at=x").prepare()
    return answer


def test_what_is_told_of_passes():
    """A status with its body; a path that is no route."""
    check_status(_answer(200, {}))
    check_body(_answer(200, EXAMPLES["File"]))
    check_status(_answer(418, {}, "/nowhere"))
    assert operation_of(_answer(200, {}, "/files/archive"))["operationId"] == "get_archive"


def test_an_untold_status_or_code_is_found():
    """201 for a GET, and a problem with a code of another call."""
    with pytest.raises(AssertionError, match="get_file: 201 is not documented"):
        check_status(_answer(201, {}))
    with pytest.raises(AssertionError, match="version_thinned"):
        check_status(_answer(404, {"code": "version_thinned"}, **{"Content-Type": "application/problem+json"}))


@pytest.mark.parametrize(
    "change", [{"more": 1}, {"size": "15"}, {"backup": {"state": "pending", "version": 0, "x": 1}}]
)
def test_another_body_is_found(change):
    """A field too much, also inside, and one of another type."""
    with pytest.raises(jsonschema.ValidationError):
        check_body(_answer(200, {**EXAMPLES["File"], **change}))
