"""The Prefer header (RFC 7240). A preference is never an error: what cannot be understood is left out."""

from __future__ import annotations

from werkzeug.http import parse_list_header

from gateway_http.limits import WAIT_SECONDS_MAX

PREFER_CHARACTERS_MAX = 1024


def preferred_wait(header: str | None) -> int:
    """The seconds of the first ``wait=``, at most ``WAIT_SECONDS_MAX``; 0 when the client does not ask for that."""
    if not header or len(header) > PREFER_CHARACTERS_MAX:
        return 0
    for item in parse_list_header(header):
        name, _, value = item.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            digits = value.strip().strip('"')
            return min(int(digits), WAIT_SECONDS_MAX) if digits.isascii() and digits.isdigit() else 0
    return 0
