"""The webhooks service on the bus."""

from __future__ import annotations

import dataclasses
from typing import Any

from nameko.timer import timer

from docsave_services.contracts import (
    FILE_CREATE,
    FILE_DELETE,
    FILE_UPDATE,
    FILES,
    REVOKED,
    USERS,
    WEBHOOK_CHANGED,
    WEBHOOKS,
    Delivery,
    DeliveryPage,
    FileEvent,
    NewSecret,
    NewWebhook,
    Webhook,
    WebhookPage,
)
from docsave_services.db.audit import Actor
from docsave_services.db.provider import Database, check_database
from docsave_services.db.transactions import Transactions
from docsave_services.domain.ids import id_problem
from docsave_services.errors import InvalidInput
from docsave_services.metrics.provider import Metrics
from docsave_services.nameko_ext import CalmCollector, DeadlineRpc, PromptStop, RequestContext, RpcCaller, hint, rpc
from docsave_services.settings import Settings, SettingsProvider
from docsave_services.webhooks import deliveries, endpoints
from docsave_services.webhooks.dispatcher import Dispatcher
from docsave_services.webhooks.endpoints import Caller, Rules
from docsave_services.webhooks.extensions import Deliveries
from docsave_services.webhooks.limits import PAGE_MAX, PRUNE_SECONDS
from docsave_services.webhooks.news import Announce, News
from docsave_services.webhooks.places import head_of, place_of
from docsave_services.webhooks.requests import event_for
from docsave_services.webhooks.watch import WebhooksWatch

Fields = dict[str, Any]


class WebhooksService:
    """Endpoints of other software, and the deliveries to them.

    ``owner`` restricts a call to that user's endpoints; without it (an administrator, the operator's shell) any may
    be seen and changed. ``by``, ``address``, ``session_id`` and ``key_id`` say who calls; a key sees only its own.
    """

    name = WEBHOOKS

    db: Transactions = Database()
    settings: Settings = SettingsProvider("secret_key")
    request_id: str | None = RequestContext()
    prompt_stop = PromptStop()
    calm_collector = CalmCollector()
    metrics = Metrics()
    files: RpcCaller = DeadlineRpc(FILES)
    announce: Announce = News()
    dispatcher: Dispatcher = Deliveries()
    watch = WebhooksWatch()

    @hint(FILES, FILE_CREATE)
    @hint(FILES, FILE_UPDATE)
    @hint(FILES, FILE_DELETE)
    def file_changed(self, event: FileEvent) -> None:
        """A hint from the bus; what it says is read from the journal when it does not fit."""
        self.dispatcher.offer(event)

    @hint(WEBHOOKS, WEBHOOK_CHANGED)
    def webhook_changed(self, _news: Any) -> None:
        """Somebody changed an endpoint, perhaps in another process."""
        self.dispatcher.look()

    @hint(USERS, REVOKED)
    def revoked(self, _item: Any) -> None:
        """A key is over, or a user was disabled: their endpoints may be, too."""
        self.dispatcher.look()

    @rpc
    def create(
        self,
        user_id: int,
        fields: Fields,
        since: str | None = None,
        by: int | None = None,
        address: str | None = None,
        session_id: str | None = None,
        key_id: int | None = None,
    ) -> NewWebhook:
        """A new endpoint; its secret is shown this once. It hears of what comes after ``since``, or from now on."""
        start = place_of(self.files, since)
        actor = Actor(by, address, session_id, key_id)
        made = endpoints.create(self.db, self._rules, user_id, fields, start, actor)
        self.announce(made["id"])
        return made

    @rpc
    def get(self, webhook_id: int, owner: int | None = None, **who: Any) -> Webhook:
        """One endpoint."""
        return endpoints.get(self.db, _caller(owner, who), webhook_id, head_of(self.files))

    @rpc
    def list(
        self, owner: int | None = None, limit: int = PAGE_MAX, after: str | None = None, **who: Any
    ) -> WebhookPage:
        """A page of endpoints, oldest first."""
        return endpoints.page(self.db, _caller(owner, who), limit, after, head_of(self.files))

    @rpc
    def update(self, webhook_id: int, fields: Fields, owner: int | None = None, **who: Any) -> Webhook:
        """Change what is given; ``state`` pauses and resumes."""
        caller = _caller(owner, who)
        changed = endpoints.update(self.db, self._rules, caller, webhook_id, fields, lambda: head_of(self.files))
        self.announce(webhook_id)
        return changed

    @rpc
    def delete(self, webhook_id: int, owner: int | None = None, **who: Any) -> None:
        """End an endpoint."""
        endpoints.remove(self.db, _caller(owner, who), webhook_id)
        self.announce(webhook_id)

    @rpc
    def replace_secret(self, webhook_id: int, owner: int | None = None, **who: Any) -> NewSecret:
        """Another secret, shown this once; the old one also signs for a day."""
        replaced = endpoints.replace_secret(self.db, self._rules, _caller(owner, who), webhook_id)
        self.announce(webhook_id)
        return replaced

    @rpc
    def deliveries(
        self, webhook_id: int, owner: int | None = None, limit: int = 100, after: str | None = None, **who: Any
    ) -> DeliveryPage:
        """A page of what was sent, newest first."""
        return deliveries.page(self.db, _caller(owner, who), webhook_id, limit, after)

    @rpc
    def test(self, webhook_id: int, owner: int | None = None, **who: Any) -> Delivery:
        """Have a test message sent."""
        asked = deliveries.request_test(self.db, _caller(owner, who), webhook_id)
        self.announce(webhook_id)
        return asked

    @rpc
    def redeliver(self, webhook_id: int, event_id: int, owner: int | None = None, **who: Any) -> Delivery:
        """Have one event sent once more."""
        caller = _caller(owner, who)
        event = event_for(self.db, self.files, caller, webhook_id, event_id)
        asked = deliveries.request_again(self.db, caller, webhook_id, event)
        self.announce(webhook_id)
        return asked

    @rpc
    def move(self, webhook_id: int, since: str, owner: int | None = None, **who: Any) -> Webhook:
        """Deliver everything after ``since``, again if need be."""
        place, caller = place_of(self.files, since), _caller(owner, who)
        moved = endpoints.move(self.db, caller, webhook_id, place, head_of(self.files))
        self.announce(webhook_id)
        return moved

    @rpc
    def health(self) -> dict[str, str]:
        """Whether the database answers, and whether the journal is followed."""
        return {**check_database(self.db), "journal": "ok" if self.dispatcher.head else "unknown"}

    @timer(interval=PRUNE_SECONDS)
    def prune(self) -> None:
        """Forget old deliveries."""
        deliveries.prune(self.db)

    @property
    def _rules(self) -> Rules:
        return Rules(self.settings.keys, self.settings.webhook_allow_private)


def _caller(owner: int | None, who: dict[str, Any]) -> Caller:
    """Who asks, from words that any peer on the bus may have chosen; ``InvalidInput`` for one that is none of ours."""
    problem = id_problem(owner) if owner is not None else None
    if problem:
        raise InvalidInput.for_field("owner", problem)
    unknown = who.keys() - {field.name for field in dataclasses.fields(Actor)}
    if unknown:
        raise InvalidInput.for_field(min(unknown), "is not a known field")
    return Caller(owner, Actor(**who))
