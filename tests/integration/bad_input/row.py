"""What a row of the table is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.integration.bad_input.place import Place


@dataclass(frozen=True, slots=True)
class Answer:
    """Of HTTP, or of what can be seen as such. Header names are small."""

    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def read(cls, received: bytes) -> Answer:
        """The first answer of what came on a connection."""
        head, _, body = received.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = dict(field.lower().split(": ", 1) for field in fields)
        return cls(int(line.split(" ")[1]), headers, body[: int(headers.get("content-length", len(body)))])

    @property
    def problem(self) -> dict[str, Any]:
        """The problem in it."""
        assert self.headers.get("content-type") == "application/problem+json", self
        found: dict[str, Any] = json.loads(self.body)
        assert {"type", "title", "status", "detail", "code", "request_id"} <= found.keys(), found
        assert (found["status"], found["request_id"]) == (self.status, self.headers["x-request-id"])
        return found


@dataclass(frozen=True, slots=True)
class Input:
    """``act`` sends it. A refusal is known by status and code; ``field`` is what it calls wrong, ``says`` part of its
    text. Where ``act`` looks at the outcome itself it gives no answer back. ``keeps``: it is no refusal, something
    stays; ``closes``: the connection ends with the answer."""

    label: str
    act: Callable[[Place], Answer | None]
    status: int = 0
    code: str = ""
    field: str = ""
    says: str = ""
    keeps: bool = False
    closes: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One entry of the list of bad input, in its words."""

    entry: str
    inputs: tuple[Input, ...]


def refused(status: int, code: str, *inputs: tuple[str, Callable[[Place], Answer]], **more: Any) -> tuple[Input, ...]:
    """Inputs that are all answered in the same way."""
    return tuple(Input(label, act, status, code, **more) for label, act in inputs)
