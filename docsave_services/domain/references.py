"""A document as another system names it: ``crm``'s deal ``42``, there called ``offer.pdf``."""

from __future__ import annotations

from typing import Any

from docsave_services.domain.labels import label_problem
from docsave_services.domain.names import name_problem

SYSTEM_CHARACTERS_MAX = 64
KEY_CHARACTERS_MAX = 255
"""As labels, for each file saved by a reference carries it as one: ``{system: key}``."""


def system_problem(system: Any) -> str | None:
    """Why this cannot name a system; the rules are those of labels."""
    return label_problem(system)


def key_problem(key: Any) -> str | None:
    """Why this cannot be another system's key for a thing; the rules are those of file names."""
    return name_problem(key) if isinstance(key, str) else "must be a string"
