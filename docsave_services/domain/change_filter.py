"""Which changes of the feed somebody wants to hear of: by type, folder and labels, as they are after the change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from docsave_services.domain.folders import ROOT

TERMS_MAX = 32
"""Most labels, and most types, of one filter."""


@dataclass(frozen=True, slots=True)
class ChangeFilter:
    """All that is given must fit: one of ``types``, ``folder`` or one below it, each of ``labels``.

    A label's value None means any value. The database applies the same rules to the journal (``db.journal``).
    """

    types: tuple[str, ...] = ()
    folder: str = ROOT
    labels: tuple[tuple[str, str | None], ...] = ()

    def __bool__(self) -> bool:
        """Whether it keeps anything out."""
        return bool(self.types or self.folder or self.labels)

    def passes(self, event: Mapping[str, Any]) -> bool:
        """Whether this change is wanted."""
        if self.types and event["type"] not in self.types:
            return False
        if self.folder and not f"{event['folder']}/".startswith(f"{self.folder}/"):
            return False
        has: Mapping[str, str] = event["labels"]
        return all(label in has and value in (None, has[label]) for label, value in self.labels)
