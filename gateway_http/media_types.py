"""What kind of content a file has, as far as its sender or its name tells. Never from the content itself."""

from __future__ import annotations

import mimetypes
import re

DEFAULT = "application/octet-stream"

_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_VALUE = r'(?:[A-Za-z0-9!#$&^_.+-]+|"[\x20\x21\x23-\x5b\x5d-\x7e]*")'
_MEDIA_TYPE = re.compile(rf"({_NAME}/{_NAME})((?:[ \t]*;[ \t]*{_NAME}={_VALUE})*)")
"""RFC 6838, section 4.2, with parameters as in RFC 9110, section 8.3.1."""

_CHARACTERS_MAX = 255

_TYPES = mimetypes.MimeTypes()
"""Python's own table; the machine's would make the answer depend on where the gateway runs."""


def media_type_of(text: str) -> str | None:
    """``text`` as a media type, type and subtype in lower case; None when it is not one."""
    match = _MEDIA_TYPE.fullmatch(text.strip())
    if match is None or len(text) > _CHARACTERS_MAX:
        return None
    return match[1].lower() + match[2].replace("\t", " ")


def guess_media_type(name: str) -> str:
    """The media type that the end of ``name`` suggests, ``application/octet-stream`` when it suggests none."""
    kind, coding = _TYPES.guess_type("x" + name.rpartition("/")[2].replace(":", "_"))
    if coding == "gzip":
        return "application/gzip"
    return kind if kind is not None and coding is None else DEFAULT
