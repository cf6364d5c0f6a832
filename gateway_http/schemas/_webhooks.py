"""What requests about webhooks may contain. What a value means is the webhooks service's business."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from docsave_services.contracts import FILE_EVENT_TYPES
from docsave_services.domain.filters import LABEL_FILTERS_MAX
from docsave_services.domain.references import system_problem
from docsave_services.domain.webhook_targets import URL_CHARACTERS_MAX
from gateway_http.schemas import _shapes as shapes
from gateway_http.schemas._kinds import FileId, FolderPath, LabelFilter, Limit, good, whole_number
from gateway_http.schemas._reading import STRICT, SomeChange, Strict

EventTypes = Annotated[
    list[Literal["File_create", "File_update", "File_delete"]],
    Field(min_length=1, max_length=len(FILE_EVENT_TYPES)),
    shapes.EACH_ONCE,
]
LabelFilters = Annotated[list[LabelFilter], Field(max_length=LABEL_FILTERS_MAX)]
Url = Annotated[str, Field(min_length=1, max_length=URL_CHARACTERS_MAX)]
Description = Annotated[str, Field(max_length=255), shapes.LINE]
System = Annotated[str, good(system_problem), shapes.LABEL] | None


class _Fields(Strict):
    """What may be set of a webhook. ``labels`` are filters such as ``crm.deal=42``."""

    description: Description = ""
    events: EventTypes = ["File_create", "File_update", "File_delete"]
    folder: FolderPath = ""
    labels: LabelFilters = []
    system: System = None
    all_users: bool = False
    state: Literal["active", "paused"] = "active"


class NewWebhook(_Fields):
    """``POST /webhooks``. ``since`` is a cursor: what came after it is delivered first."""

    url: Url
    since: Annotated[str, Field(max_length=100), shapes.CURSOR] | None = None


class WebhookPatch(_Fields, SomeChange):
    """``PATCH /webhooks/{id}``: what is not sent stays as it is. ``state`` pauses and resumes."""

    url: Url = ""


class WebhookListQuery(Strict):
    """``GET /webhooks``. ``user_id`` is for administrators: another account's id, or ``all``."""

    limit: Limit = 100
    after: Annotated[str, Field(max_length=100)] | None = None
    user_id: Literal["all"] | Annotated[FileId, BeforeValidator(whole_number)] | None = None


class DeliveryListQuery(Strict):
    """``GET /webhooks/{id}/deliveries``: newest first."""

    limit: Limit = 100
    after: Annotated[str, Field(max_length=100)] | None = None


class Redelivery(Strict):
    """``POST /webhooks/{id}/redeliver``: one event once more, or everything after a cursor."""

    model_config = STRICT | ConfigDict(json_schema_extra={"anyOf": shapes.one_of("event_id", "since")})

    event_id: Annotated[int, Field(ge=1, lt=10**18)] | None = None
    since: Annotated[str, Field(max_length=100), shapes.CURSOR] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.event_id is None) == (self.since is None):
            raise ValueError("must have event_id or since, and not both")
        return self
