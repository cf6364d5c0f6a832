"""Another system's name for a document, as it stands in a URL."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from docsave_services.contracts import Reference
from docsave_services.domain.names import name_problem
from docsave_services.domain.references import key_problem, system_problem
from docsave_services.errors import BadRequest, FieldError, InvalidInput

_HIDDEN_SLASH = "\\"
"""``%2F`` in a segment is no end of it. It becomes a character that is refused wherever a slash is, for that reason."""


def routable_path(raw: str) -> str:
    """The path of a request as routes see it, from what the client sent; ``BadRequest`` unless it is UTF-8."""
    segments = [unquote_to_bytes(segment.encode("latin-1")) for segment in raw.split("/")]
    try:
        return "/".join(segment.decode("utf-8").replace("/", _HIDDEN_SLASH) for segment in segments)
    except UnicodeDecodeError as exc:
        raise BadRequest("The path is not UTF-8") from exc


def checked_reference(system: str, key: str, name: str) -> Reference:
    """The reference; ``InvalidInput`` that names each part that cannot be one."""
    _refuse({"system": system_problem(system), "key": key_problem(key), "name": name_problem(name)})
    return {"system": system, "key": key, "name": name}


def checked_label(system: str, key: str) -> str:
    """The label that each file saved by a reference carries, as a filter of lists; ``InvalidInput`` as above."""
    _refuse({"system": system_problem(system), "key": key_problem(key)})
    return f"{system}={key}"


def _refuse(problems: Mapping[str, str | None]) -> None:
    errors: list[FieldError] = [{"field": part, "message": why} for part, why in problems.items() if why is not None]
    if errors:
        raise InvalidInput("; ".join(f"{error['field']}: {error['message']}" for error in errors), errors)
