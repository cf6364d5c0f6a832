"""``Upload-Metadata``: what a client says of a document before its bytes come (tus, extension creation).

``filename`` is needed; ``folder`` and ``labels`` (JSON) are what they are elsewhere. Other keys, such as ``filetype``,
are given back with the upload and have no meaning here.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from docsave_services.domain.folders import folder_problem
from docsave_services.domain.labels import labels_problem
from docsave_services.domain.names import name_problem
from docsave_services.errors import BadJson, BadRequest, InvalidInput
from gateway_http.strict_json import parse_json

_KEY = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Announced:
    """The file that an upload is to become; None for what was not said."""

    name: str
    folder: str | None
    labels: dict[str, str] | None


def announced_in(header: str) -> Announced:
    """What ``header`` says. ``BadRequest`` when it cannot be read, ``InvalidInput`` for a name no file can have."""
    fields = _fields(header)
    name = _text(fields, "filename")
    if name is None:
        raise InvalidInput.for_field("filename", "is needed in Upload-Metadata")
    _refuse("filename", name_problem(name))
    folder = _text(fields, "folder")
    if folder is not None:
        _refuse("folder", folder_problem(folder))
    return Announced(name, folder, _labels(fields))


def _labels(fields: Mapping[str, bytes]) -> dict[str, str] | None:
    if "labels" not in fields:
        return None
    try:
        labels: Any = parse_json(fields["labels"])
    except BadJson as exc:
        raise InvalidInput.for_field("labels", "is not readable JSON") from exc
    if not isinstance(labels, dict):
        raise InvalidInput.for_field("labels", "must be a JSON object")
    _refuse("labels", labels_problem(labels))
    return labels


def _refuse(field: str, problem: str | None) -> None:
    if problem:
        raise InvalidInput.for_field(field, problem)


def _text(fields: Mapping[str, bytes], key: str) -> str | None:
    try:
        return fields[key].decode("utf-8") if key in fields else None
    except UnicodeDecodeError as exc:
        raise InvalidInput.for_field(key, "is not UTF-8") from exc


def _fields(header: str) -> dict[str, bytes]:
    fields: dict[str, bytes] = {}
    for pair in header.split(",") if header.strip() else ():
        key, _, value = pair.strip().partition(" ")
        if not _KEY.fullmatch(key) or key in fields:
            raise BadRequest("Upload-Metadata must have keys of ASCII characters, each once")
        try:
            fields[key] = base64.b64decode(value.strip(), validate=True)
        except (binascii.Error, ValueError) as exc:
            raise BadRequest(f"Upload-Metadata: the value of {key} is not base64") from exc
    return fields
