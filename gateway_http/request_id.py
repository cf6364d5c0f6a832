"""The id that ties a request's answer to the log lines of every service it touched."""

from __future__ import annotations

import re
import uuid

_SANE = re.compile(r"[A-Za-z0-9._-]{1,128}")


def request_id_from(header: str | None) -> str:
    """The caller's own id when it is sane (it goes into logs and AMQP headers), else a new one."""
    return header if header is not None and _SANE.fullmatch(header) else uuid.uuid4().hex
