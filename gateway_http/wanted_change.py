"""A change of a file as a request asks for it."""

from __future__ import annotations

import uuid

from docsave_services import tracing
from docsave_services.contracts import Change, ChangeOp, Outcome, error_of
from docsave_services.errors import InternalError
from gateway_http.idempotency import named
from gateway_http.media_types import sniff
from gateway_http.request import GatewayRequest
from gateway_http.responses import Saved
from gateway_http.upload import Upload


def change_of(
    request: GatewayRequest, op: ChangeOp, file_id: int | None = None, if_match: list[str] | None = None
) -> Change:
    """What every change says: who acts, with what and from where, whose files it may touch, and a key so that a repeat
    is applied once."""
    identity = request.identity
    change: Change = {
        "op": op,
        "by": identity.user_id,
        "address": request.client_address,
        "session_id": identity.session_id,
        "key_id": identity.key_id,
        "owner": None if identity.is_admin else identity.user_id,
        "change_key": uuid.uuid4().hex,
        "request_id": request.request_id,
    }
    if traceparent := tracing.current():
        change["traceparent"] = traceparent
    if file_id is not None:
        change["file_id"] = file_id
    if if_match is not None:
        change["if_match"] = if_match
    return change


def with_upload(change: Change, upload: Upload) -> Change:
    """``change`` with the content that came, and what came with it."""
    change["path"] = upload.blob.key
    change["media_type"] = sniff(upload.head, upload.name)
    if upload.fields.folder is not None:
        change["folder"] = upload.fields.folder
    if upload.fields.labels is not None:
        # These are all labels from now on, and the reference's own must be among them.
        own = {change["ref"]["system"]: change["ref"]["key"]} if "ref" in change else {}
        change["labels"] = {**upload.fields.labels, **own}
    return change


def under_key(key: str | None, change: Change) -> Change:
    """``change`` under the ``Idempotency-Key`` of its request, if there is one: the last thing that is added to it."""
    if key is not None:
        change["idempotency"] = named(key, change)
    return change


def saved_by(change: Change, outcome: Outcome) -> Saved:
    """What became of ``change``; raises its coded error when it was refused."""
    if not outcome["ok"]:
        raise error_of(outcome)
    if "file" not in outcome:
        raise InternalError
    return Saved(
        outcome["file"],
        created=outcome.get("created", False),
        replayed="idempotency" in change and outcome.get("replayed", False),
    )
