"""What requests about webhooks may contain. What a value means is the webhooks service's business."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from docsave_services.contracts import FILE_EVENT_TYPES
from docsave_services.domain.filters import LABEL_FILTERS_MAX, label_filter_problem
from docsave_services.domain.references import system_problem
from docsave_services.domain.webhook_targets import URL_CHARACTERS_MAX
from gateway_http.schemas import STRICT, FileId, FolderPath, good, whole_number

EventTypes = Annotated[
    list[Literal["File_create", "File_update", "File_delete"]], Field(min_length=1, max_length=len(FILE_EVENT_TYPES))
]
LabelFilters = Annotated[list[Annotated[str, good(label_filter_problem)]], Field(max_length=LABEL_FILTERS_MAX)]
Url = Annotated[str, Field(min_length=1, max_length=URL_CHARACTERS_MAX)]
Description = Annotated[str, Field(max_length=255)]
System = Annotated[str, good(system_problem)] | None


class _Fields(BaseModel):
    """What may be set of a webhook. ``labels`` are filters such as ``crm.deal=42``."""

    model_config = STRICT

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
    since: Annotated[str, Field(max_length=100)] | None = None


class WebhookPatch(_Fields):
    """``PATCH /webhooks/{id}``: what is not sent stays as it is. ``state`` pauses and resumes."""

    url: Url = ""

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("must have at least one field to change")
        return self


class WebhookListQuery(BaseModel):
    """``GET /webhooks``. ``user_id`` is for administrators: another account's id, or ``all``."""

    model_config = STRICT

    limit: Annotated[int, BeforeValidator(whole_number), Field(ge=1, le=1000)] = 100
    after: Annotated[str, Field(max_length=100)] | None = None
    user_id: Literal["all"] | Annotated[FileId, BeforeValidator(whole_number)] | None = None


class DeliveryListQuery(BaseModel):
    """``GET /webhooks/{id}/deliveries``: newest first."""

    model_config = STRICT

    limit: Annotated[int, BeforeValidator(whole_number), Field(ge=1, le=1000)] = 100
    after: Annotated[str, Field(max_length=100)] | None = None


class Redelivery(BaseModel):
    """``POST /webhooks/{id}/redeliver``: one event once more, or everything after a cursor."""

    model_config = STRICT

    event_id: Annotated[int, Field(ge=1, lt=2**63)] | None = None
    since: Annotated[str, Field(max_length=100)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.event_id is None) == (self.since is None):
            raise ValueError("must have event_id or since, and not both")
        return self
