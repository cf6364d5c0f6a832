"""The webhooks service as routes use it: whose webhooks they are, and who asks."""

from __future__ import annotations

from typing import Any

from werkzeug.wrappers import Response

from docsave_services.contracts import WEBHOOKS
from docsave_services.errors import Forbidden
from docsave_services.nameko_ext import DeadlineRpc, RpcCaller
from docsave_services.tokens import Identity
from gateway_http.request import GatewayRequest
from gateway_http.responses import json_response
from gateway_http.schemas import NewWebhook, Redelivery, WebhookListQuery, WebhookPatch


class Webhooks:
    """The caller's webhooks. A key has those that were made with it, an administrator may see everybody's."""

    def __init__(self, call: RpcCaller) -> None:
        self._call = call

    def create(self, request: GatewayRequest, new: NewWebhook) -> Response:
        """201 with the secret, this once."""
        fields = new.model_dump(exclude_unset=True, exclude={"since"})
        made = self._call("create", user_id=request.identity.user_id, fields=fields, since=new.since, **request.actor)
        return json_response(made, 201, {"Location": f"/webhooks/{made['id']}"})

    def page(self, request: GatewayRequest, query: WebhookListQuery) -> Any:
        """One page: the caller's own, or whose an administrator asks for."""
        owner = _owner_asked_for(request.identity, query.user_id)
        return self._call("list", owner=owner, limit=query.limit, after=query.after, **request.actor)

    def update(self, request: GatewayRequest, webhook_id: int, patch: WebhookPatch) -> Any:
        """Change what is sent."""
        return self.ask("update", request, webhook_id, fields=patch.model_dump(exclude_unset=True))

    def redeliver(self, request: GatewayRequest, webhook_id: int, wanted: Redelivery) -> Response:
        """202: one event is sent once more, or the place was set back and delivery goes on from there."""
        if wanted.event_id is not None:
            return accepted(self.ask("redeliver", request, webhook_id, event_id=wanted.event_id))
        return accepted(self.ask("move", request, webhook_id, since=wanted.since))

    def ask(self, method: str, request: GatewayRequest, webhook_id: int, **arguments: Any) -> Any:
        """Anything about one webhook; ``NotFound`` for one that the caller may not see."""
        owner = None if request.identity.is_admin else request.identity.user_id
        return self._call(method, webhook_id=webhook_id, owner=owner, **arguments, **request.actor)


def accepted(value: Any) -> Response:
    """202: it will be done in a moment."""
    return json_response(value, 202)


def _owner_asked_for(identity: Identity, user_id: int | str | None) -> int | None:
    if user_id is None or user_id == identity.user_id:
        return identity.user_id
    if not identity.is_admin:
        raise Forbidden("Only an administrator may list the webhooks of others")
    return None if user_id == "all" else int(user_id)


class WebhooksProvider(DeadlineRpc):
    """Injects ``Webhooks``."""

    def __init__(self) -> None:
        super().__init__(WEBHOOKS)

    def get_dependency(self, worker_ctx: Any) -> Webhooks:  # type: ignore[override] # what routes use it for
        return Webhooks(super().get_dependency(worker_ctx))
