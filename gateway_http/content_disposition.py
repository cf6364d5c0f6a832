"""File names in ``Content-Disposition``: reading them as browsers and curl write them, writing them safely."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

from docsave_services.errors import BadRequest

_PARAMETER = re.compile(r';[ \t]*([A-Za-z0-9_-]+\*?)[ \t]*=[ \t]*("(?:\\"|\\\\|[^"])*"|[^;"\s]*)[ \t]*')
_EXTENDED = re.compile(r"(?i:(utf-8|iso-8859-1))'[A-Za-z0-9-]*'((?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-Fa-f]{2})*)")
_UNSAFE = re.compile(r"[^A-Za-z0-9 ._()+,@-]")
_UNRESERVED_IN_EXTENDED = "!#$&+-.^_`|~"
"""attr-char of RFC 8187, section 3.2.1, beside letters and digits."""


def parameters_of(header: str) -> tuple[str, dict[str, str]]:
    """The disposition and its parameters, as sent: a path in a name is the caller's to refuse, never ours to strip.

    ``BadRequest`` for what cannot be read and for a parameter given twice.
    """
    kind, _, _ = header.partition(";")
    rest = header[len(kind) :].rstrip(" \t;")
    parameters: dict[str, str] = {}
    place = 0
    while place < len(rest):
        match = _PARAMETER.match(rest, place)
        if match is None or match[1].lower() in parameters:
            raise BadRequest("Content-Disposition cannot be read")
        name = match[1].lower()
        parameters[name] = _extended(match[2]) if name.endswith("*") else _plain(match[2])
        place = match.end()
    return kind.strip(" \t").lower(), parameters


def file_name_in(parameters: dict[str, str]) -> str | None:
    """``filename*`` where there is one (RFC 6266, section 4.3), else ``filename``."""
    return parameters.get("filename*", parameters.get("filename"))


def _plain(value: str) -> str:
    """Undo the quoting of curl (backslash) and of browsers (percent; WHATWG HTML, multipart/form-data encoding)."""
    if not value.startswith('"'):
        return value
    text = re.sub(r'\\(["\\])', r"\1", value[1:-1])
    return text.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")


def _extended(value: str) -> str:
    match = _EXTENDED.fullmatch(value)
    if match is None:
        raise BadRequest("An extended parameter of Content-Disposition cannot be read")
    try:
        return unquote_to_bytes(match[2]).decode(match[1])
    except UnicodeDecodeError as exc:
        raise BadRequest("An extended parameter of Content-Disposition cannot be read") from exc


def attachment(name: str) -> str:
    """The header that makes any client save the content as ``name`` (RFC 6266): a plain ASCII name that needs no
    escapes, and the exact one in ``filename*`` where they differ."""
    plain = _UNSAFE.sub("_", name)
    header = f'attachment; filename="{plain}"'
    if plain != name:
        header += f"; filename*=UTF-8''{quote(name, safe=_UNRESERVED_IN_EXTENDED)}"
    return header
