"""If-Match: a change is meant for the version of a file that its sender has seen, or not at all (RFC 9110, 13.1.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from docsave_services.contracts import File
from docsave_services.errors import BadRequest, PreconditionFailed, PreconditionRequired
from gateway_http.limits import IF_MATCH_TAGS_MAX
from gateway_http.request import GatewayRequest

ANY = "*"
NEVER = ""
"""Stands for a tag that no file can have. A list of such tags is a condition; an empty list would look like none."""

_ELEMENT = re.compile(r'[ \t]*(?:(W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*)?(?:,|$)')
_OURS = re.compile(r"[0-9a-f]{64}|v[1-9][0-9]{0,9}")


def if_match_of(request: GatewayRequest) -> list[str] | None:
    """The tags of ``If-Match`` without their quotes: a sha256, ``v3`` or ``*``. Never an empty list.

    ``BadRequest`` for a header that cannot be read; without one None, or ``PreconditionRequired`` where the operator
    demands it (``DOCSAVE_REQUIRE_IF_MATCH``).
    """
    tags = optional_if_match_of(request)
    if tags is None and request.settings.require_if_match:
        raise PreconditionRequired
    return tags


def optional_if_match_of(request: GatewayRequest) -> list[str] | None:
    """The same for a change that may be about no file yet: nobody demands it there."""
    header = request.environ.get("HTTP_IF_MATCH")
    return None if header is None else tags_in(header)


def check_if_match(tags: Sequence[str] | None, file: File) -> None:
    """``PreconditionFailed`` unless one of ``tags`` fits; None is no condition.

    A look ahead that spares the transfer of a body: what counts is the same check in the transaction.
    """
    if tags is not None and not {ANY, file["sha256"], f"v{file['version']}"}.intersection(tags):
        raise PreconditionFailed


def tags_in(header: str) -> list[str]:
    """The entity tags of a header's value. A weak tag never fits (RFC 9110, 8.8.3.2), nor does one that is not ours."""
    if header.strip(" \t") == ANY:
        return [ANY]
    tags: list[str] = []
    place = 0
    while place < len(header):
        match = _ELEMENT.match(header, place)
        if match is None:
            raise BadRequest('If-Match must be * or tags in quotation marks, such as "v3"')
        if match[2] is not None:
            tags.append(match[2] if match[1] is None and _OURS.fullmatch(match[2]) else NEVER)
        place = match.end()
    if not tags:
        raise BadRequest("If-Match is empty")
    if len(tags) > IF_MATCH_TAGS_MAX:
        raise BadRequest(f"If-Match has more than {IF_MATCH_TAGS_MAX} tags")
    return tags
