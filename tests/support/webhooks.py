"""Webhooks on a database, without a bus: dispatchers that read the journal directly."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import eventlet

from docsave_services.contracts import Delivery, FileEvent, NewWebhook, Webhook, WebhookNews
from docsave_services.db import journal
from docsave_services.db.audit import Actor
from docsave_services.domain.cursor import Cursor
from docsave_services.files.validation import checked_filter
from docsave_services.tokens import KeyRing
from docsave_services.webhooks import deliveries, endpoints
from docsave_services.webhooks.dispatcher import Dispatcher
from docsave_services.webhooks.endpoints import Caller, Rules
from docsave_services.webhooks.sender import Resolve, resolve
from tests.support.documents import Documents

RULES = Rules(KeyRing("s" * 48), allow_private=True)


class Hooks:
    """Endpoints of the first account of ``documents``, and the dispatchers of some processes."""

    def __init__(self, documents: Documents) -> None:
        self.documents = documents
        self.news: list[WebhookNews] = []
        self.running: list[Dispatcher] = []
        self.threads: list[Any] = []
        self.caller = Caller(documents.user_id)

    def files(self, method: str, /, **arguments: Any) -> Any:
        """What the files service answers."""
        if method == "head":
            return {"cursor": str(self.head())}
        wanted = checked_filter(arguments.get("types", []), arguments.get("folder", ""), arguments.get("labels", []))
        since, limit, user_id = arguments["since"], arguments["limit"], arguments.get("user_id")
        return self.documents.db.read(lambda s: journal.read(s, since, limit, user_id, wanted))

    def head(self) -> Cursor:
        """The newest place in the journal."""
        return self.documents.db.read(journal.head)

    def dispatch(self, rules: Rules = RULES, find: Resolve = resolve) -> Dispatcher:
        """Another process that delivers."""
        holder = f"test-{uuid.uuid4().hex[:12]}"
        dispatcher = Dispatcher(self.documents.db, rules, self.files, self.news.extend, holder, find)
        self.running.append(dispatcher)
        self.threads.append(eventlet.spawn(dispatcher.run))
        return dispatcher

    def create(self, url: str, start: Cursor | None = None, **fields: Any) -> NewWebhook:
        """An endpoint."""
        actor = fields.pop("actor", Actor(by=self.documents.user_id))
        user_id = fields.pop("user_id", self.documents.user_id)
        rules = fields.pop("rules", RULES)
        made = endpoints.create(self.documents.db, rules, user_id, {"url": url, **fields}, start or self.head(), actor)
        self.look()
        return made

    def update(self, webhook: Webhook | NewWebhook, **fields: Any) -> Webhook:
        """Change it, and tell the dispatchers."""
        changed = endpoints.update(self.documents.db, RULES, self.caller, webhook["id"], fields, self.head)
        self.look()
        return changed

    def get(self, webhook: Webhook | NewWebhook) -> Webhook:
        """How it is doing."""
        return endpoints.get(self.documents.db, Caller(), webhook["id"], self.head())

    def deliveries(self, webhook: Webhook | NewWebhook) -> list[Delivery]:
        """What was sent to it, newest first."""
        return deliveries.page(self.documents.db, Caller(), webhook["id"], 1000, None)["items"]

    def save(self, *names: str, user_id: int | None = None, **fields: Any) -> list[FileEvent]:
        """New files; the bus tells every dispatcher."""
        changes = [{**self.documents.create(name, user_id=user_id), **fields} for name in names]
        events = self.documents.apply(*changes).events  # type: ignore[arg-type]
        for dispatcher in self.running:
            for event in events:
                dispatcher.offer(event)
        return events

    def look(self) -> None:
        """What a word on the bus does."""
        for dispatcher in self.running:
            dispatcher.look()

    def stop(self) -> None:
        """End all dispatchers."""
        for dispatcher in self.running:
            dispatcher.stop()


def hanging(seconds: float = 60.0) -> Callable[[Any], None]:
    """An answer that does not come."""
    return lambda _sock: eventlet.sleep(seconds)
