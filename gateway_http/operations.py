"""``POST /batch``: many changes of metadata in one transaction, with a result for each."""

from __future__ import annotations

from typing import Any

from werkzeug.wrappers import Response

from docsave_services.contracts import Change, Outcome, error_of
from docsave_services.errors import DocsaveError, InvalidInput, PreconditionRequired
from gateway_http.documents import Documents
from gateway_http.idempotency import item_key
from gateway_http.request import GatewayRequest
from gateway_http.responses import json_response, public_file, replayed_header
from gateway_http.schemas import OPERATIONS, Operations, validated
from gateway_http.wanted_change import change_of, under_key

Result = dict[str, Any]


def run_operations(request: GatewayRequest, documents: Documents, operations: Operations) -> Response:
    """Apply all that can be. One that is refused, or not valid in itself, leaves the others alone.

    A repeated batch applies only what was refused the first time: each operation has the key of its place.
    """
    wanted = [_change_or_refusal(request, number, item) for number, item in enumerate(operations.operations)]
    outcomes = iter(documents.apply_all([change for change in wanted if not isinstance(change, DocsaveError)]))
    answers = [change if isinstance(change, DocsaveError) else next(outcomes) for change in wanted]
    replayed = all(not isinstance(answer, DocsaveError) and answer.get("replayed", False) for answer in answers)
    results = [_refused(answer) if isinstance(answer, DocsaveError) else _result(answer) for answer in answers]
    return json_response({"results": results}, headers=replayed_header(replayed))


def _change_or_refusal(request: GatewayRequest, number: int, item: dict[str, Any]) -> Change | DocsaveError:
    try:
        return _change(request, number, item)
    except DocsaveError as exc:
        return exc


def _change(request: GatewayRequest, number: int, item: dict[str, Any]) -> Change:
    model, op = OPERATIONS.get(str(item.get("op")), (None, None))
    if model is None or op is None:
        raise InvalidInput.for_field("op", "must be one of " + ", ".join(OPERATIONS))
    wanted = validated(model, item).model_dump(exclude={"op"}, exclude_unset=True)
    tag: str | None = wanted.pop("if_match", None)
    if tag is None and request.settings.require_if_match:
        raise PreconditionRequired
    change = change_of(request, op, wanted.pop("id"), None if tag is None else [tag])
    change.update(wanted)  # type: ignore[typeddict-item] # what is left are fields of a change
    key = request.idempotency_key
    return under_key(None if key is None else item_key(key, number), change)


def _result(outcome: Outcome) -> Result:
    if not outcome["ok"]:
        return _refused(error_of(outcome))
    return {"status": 200, "file": public_file(outcome["file"])}


def _refused(error: DocsaveError) -> Result:
    result: Result = {"status": error.status, "code": error.code, "detail": error.detail}
    return {**result, "errors": error.errors} if error.errors else result
