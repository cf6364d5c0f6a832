"""A Nameko service of your own that hears of every change: it keeps an audit file with one line a change.

Run it where docsave's packages are installed, with the same broker:

    . data/env && .venv/bin/nameko run --config config.yml docs.examples.audit_listener:AuditListener

The bus delivers at least once and promises no order, so a listener recognises a repeat by ``event_id``. A handler
that raises is tried again after a pause; after ten tries the event lies in the queue whose name ends in ``.dead``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from docsave_services.contracts import FILE_CREATE, FILE_DELETE, FILE_UPDATE, FILES, FileEvent
from docsave_services.nameko_ext import durable_event_handler

AUDIT_FILE = Path(os.environ.get("AUDIT_FILE", "audit.jsonl"))


class AuditListener:
    """Appends each event to ``AUDIT_FILE``, once."""

    name = "audit_listener"

    @durable_event_handler(FILES, FILE_CREATE)
    @durable_event_handler(FILES, FILE_UPDATE)
    @durable_event_handler(FILES, FILE_DELETE)
    def on_change(self, event: FileEvent) -> None:
        """Write the event down unless it is there."""
        with AUDIT_FILE.open("a+", encoding="utf-8") as audit:
            audit.seek(0)
            if event["event_id"] not in (json.loads(line)["event_id"] for line in audit):
                audit.write(json.dumps(event) + "\n")
