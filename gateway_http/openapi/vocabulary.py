"""The words in which the tables of this package tell what the declarations of routes do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from docsave_services.errors import DocsaveError

JSON = "application/json"
BYTES = "application/octet-stream"

Problems = tuple[type[DocsaveError], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """One way in which a request succeeds. ``body`` is the type whose JSON it is, or the media types of content."""

    status: int
    text: str
    body: Any = None
    headers: tuple[str, ...] = ()


class Takes(Enum):
    """What a request that is not JSON brings."""

    NOTHING = "nothing"
    NEW_FILE = "a file: as a form with its name and fields, or its content alone"
    FILE_WITH_FIELDS = "content, as a form with fields, or alone"
    CONTENT = "content, as a form or alone"
    PIECE = "a piece of a resumable upload"
    FIRST_PIECE = "a piece of a resumable upload, or nothing"


@dataclass(frozen=True, slots=True)
class Told:
    """What a route's declaration does not tell of it: how it succeeds and fails, which headers it looks at.

    ``also`` are problems beside those that follow from the declaration. ``head`` tells of HEAD too.
    """

    answers: tuple[Answer, ...]
    also: Problems = ()
    headers: tuple[str, ...] = ()
    takes: Takes = Takes.NOTHING
    head: bool = False
    asks_services: bool = True
    more: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """Routes that belong together, by the names of their methods."""

    name: str
    text: str
    routes: Mapping[str, Told]
