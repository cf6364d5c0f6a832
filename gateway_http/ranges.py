"""Which part of a content a request wants (RFC 9110, section 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)
"""18 digits are 64 bits: nginx, which may send the part in our place, reads no larger numbers."""


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes from ``start`` up to ``stop`` (exclusive), at least one, of a content of ``size`` bytes."""

    start: int
    stop: int
    size: int

    @property
    def content_range(self) -> str:
        """The header that says which part this is."""
        return f"bytes {self.start}-{self.stop - 1}/{self.size}"


class Unsatisfiable(Exception):
    """A range that is well formed but has no byte of the content in it."""


def part_wanted(header: str | None, size: int) -> Part | None:
    """The part that a ``Range`` header asks for of ``size`` bytes; None for all of it.

    All of it also for what cannot be read, for other units and for several ranges at once: a server may ignore the
    header, and several may overlap and repeat each other. Raises ``Unsatisfiable`` for 416.

    Werkzeug's parser would refuse a suffix longer than the content, which is all of it, and take ``bytes=-0`` for
    unreadable (section 14.1.2).
    """
    match = _ONE_RANGE.fullmatch(header.strip(" \t")) if header else None
    if match is None or match[0].endswith("=-"):
        return None
    first, last = match.groups()
    if not first:
        return _part(max(size - int(last), 0), size, size)
    if not last:
        return _part(int(first), size, size)
    if int(last) < int(first):
        return None  # not a range: the whole header is ignored
    return _part(int(first), int(last) + 1, size)


def _part(start: int, stop: int, size: int) -> Part:
    if start >= size:
        raise Unsatisfiable
    return Part(start, min(stop, size), size)
