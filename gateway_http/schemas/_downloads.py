"""Downloads that a browser makes by itself, with a ticket in the address."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway_http.limits import DOWNLOAD_PATH_CHARACTERS_MAX, TICKET_CHARACTERS_MAX
from gateway_http.schemas._history import PastFileQuery
from gateway_http.schemas._reading import Strict

DOWNLOAD_PATH = (
    r"^/files/(?:[1-9][0-9]{0,18}(?:/versions/[1-9][0-9]{0,18})?/content|archive)"
    r"(?:\?[!$%&'()*+,./0-9:;=?@A-Z_a-z~-]*)?$"
)
"""What a ticket can be for; its query is encoded as in a URL, so the answer is an address and nothing more."""


class TakesTicket(Strict):
    """What can be downloaded. ``ticket`` stands for the header ``Authorization``, and comes last."""

    ticket: Annotated[str, Field(max_length=TICKET_CHARACTERS_MAX)] | None = None


class ContentQuery(PastFileQuery, TakesTicket):
    """``GET /files/{id}/content``: as of when."""


class VersionContentQuery(TakesTicket):
    """``GET /files/{id}/versions/{n}/content``."""


class DownloadWanted(Strict):
    """``POST /download-tickets``: what will be downloaded, with its query."""

    path: Annotated[str, Field(max_length=DOWNLOAD_PATH_CHARACTERS_MAX, pattern=DOWNLOAD_PATH)]
