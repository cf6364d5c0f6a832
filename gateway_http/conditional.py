"""Preconditions of a download (RFC 9110, section 13): what the client has already, or relies on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from werkzeug.datastructures import Headers
from werkzeug.http import parse_date, parse_etags

from docsave_services.errors import PreconditionFailed
from gateway_http.preconditions import ANY, tags_in


@dataclass(frozen=True, slots=True)
class Validators:
    """What identifies a content: its hash, which is its strong entity tag, its version, and when it was changed."""

    sha256: str
    version: int
    modified: datetime

    @property
    def etag(self) -> str:
        """The entity tag, quoted."""
        return f'"{self.sha256}"'

    @property
    def _second(self) -> datetime:
        """Dates in HTTP have no fractions."""
        return self.modified.astimezone(UTC).replace(microsecond=0)

    def check(self, headers: Headers) -> None:
        """``PreconditionFailed`` when the client wants only a version that this one is not. A date counts only without
        tags. ``BadRequest`` for tags that cannot be read."""
        tags = headers.get("If-Match")
        if tags is not None:
            holds = not {ANY, self.sha256, f"v{self.version}"}.isdisjoint(tags_in(tags))
        else:
            until = _date(headers.get("If-Unmodified-Since"))
            holds = until is None or self._second <= until
        if not holds:
            raise PreconditionFailed

    def not_modified(self, headers: Headers) -> bool:
        """Whether a GET or HEAD is to be answered 304. Tags are compared weakly; a date counts only without tags."""
        tags = headers.get("If-None-Match")
        if tags is not None:
            return parse_etags(tags.strip()).contains_weak(self.sha256)
        since = _date(headers.get("If-Modified-Since"))
        return since is not None and self._second <= since

    def range_applies(self, headers: Headers) -> bool:
        """Whether ``If-Range``, where it is given, names exactly this content, so that a part of it is of use.

        A weak tag never does. A date must be the very one sent as ``Last-Modified``; it cannot tell two changes
        within one second apart, a tag can.
        """
        condition = headers.get("If-Range")
        if condition is None:
            return True
        condition = condition.strip()
        return condition == self.etag or _date(condition) == self._second


def _date(text: str | None) -> datetime | None:
    try:
        return parse_date(text)
    except (ValueError, OverflowError):  # a date that no calendar has
        return None
