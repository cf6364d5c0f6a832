"""Tables of the webhooks service: endpoints, and what became of their deliveries."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from docsave_services.db.models import FOLDER_CHARACTERS, NEVER_REUSE_IDS, Base, BigId, UtcDateTime
from docsave_services.domain.references import SYSTEM_CHARACTERS_MAX
from docsave_services.domain.webhook_targets import URL_CHARACTERS_MAX

ANSWER_CHARACTERS = 255
DESCRIPTION_CHARACTERS = 255


class WebhookRow(Base):
    """An endpoint, its place in the journal, and the process that delivers to it.

    ``secret`` and ``old_secret`` are sealed (``webhooks.sealed``). ``events`` and ``labels`` are JSON lists.
    ``epoch`` and ``event_id`` are the cursor; ``moves`` counts how often somebody set it by hand, so that a delivery
    that was under way cannot set it back. ``requests`` says that single deliveries wait to be made. ``last_*`` tell of
    the last try, ``failed_*`` of the last one that failed.
    """

    __tablename__ = "webhook"
    __table_args__ = (Index("ix_webhook_user_id", "user_id", "id"), NEVER_REUSE_IDS)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    user_id: Mapped[int] = mapped_column(Integer, ForeignKey("user.id"))
    key_id: Mapped[int | None] = mapped_column(Integer, ForeignKey("api_key.id"), index=True)
    url: Mapped[str] = mapped_column(String(URL_CHARACTERS_MAX))
    description: Mapped[str] = mapped_column(String(DESCRIPTION_CHARACTERS))
    events: Mapped[str] = mapped_column(String(255))
    folder: Mapped[str] = mapped_column(String(FOLDER_CHARACTERS))
    labels: Mapped[str] = mapped_column(Text)
    system: Mapped[str | None] = mapped_column(String(SYSTEM_CHARACTERS_MAX))
    all_users: Mapped[bool] = mapped_column(Boolean)
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(32))
    secret: Mapped[str] = mapped_column(String(255))
    old_secret: Mapped[str | None] = mapped_column(String(255))
    old_secret_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    epoch: Mapped[str] = mapped_column(String(36))
    event_id: Mapped[int] = mapped_column(BigInteger)
    moves: Mapped[int] = mapped_column(Integer)
    requests: Mapped[bool] = mapped_column(Boolean)
    tries: Mapped[int] = mapped_column(Integer)
    failing_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    retry_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_code: Mapped[int | None] = mapped_column(Integer)
    last_error: Mapped[str | None] = mapped_column(String(32))
    failed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    failed_code: Mapped[int | None] = mapped_column(Integer)
    failed_error: Mapped[str | None] = mapped_column(String(32))
    holder: Mapped[str | None] = mapped_column(String(64))
    held_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class DeliveryRow(Base):
    """One message for one endpoint and how it went; only the newest are kept."""

    __tablename__ = "delivery"
    __table_args__ = (
        Index("ix_delivery_webhook_id", "webhook_id", "id"),
        Index("ix_delivery_message_id", "webhook_id", "message_id"),
        Index("ix_delivery_state", "webhook_id", "state"),
        NEVER_REUSE_IDS,
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    webhook_id: Mapped[int] = mapped_column(Integer, ForeignKey("webhook.id"))
    message_id: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    type: Mapped[str] = mapped_column(String(32))
    epoch: Mapped[str | None] = mapped_column(String(36))
    event_id: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(16))
    tries: Mapped[int] = mapped_column(Integer)
    code: Mapped[int | None] = mapped_column(Integer)
    answer: Mapped[str | None] = mapped_column(String(ANSWER_CHARACTERS))
    error: Mapped[str | None] = mapped_column(String(32))
    milliseconds: Mapped[int | None] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
