"""``multipart/form-data`` as a stream: the one part ``file`` goes on as it arrives, wherever the other fields stand."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser
from werkzeug.http import parse_options_header

from docsave_services.errors import BadMultipart, BadRequest, InvalidInput, TooLarge
from gateway_http.content_disposition import file_name_in, parameters_of
from gateway_http.limits import (
    MULTIPART_HEADER_BYTES_MAX,
    MULTIPART_OVERHEAD_BYTES,
    MULTIPART_PARTS_MAX,
    MULTIPART_TEXT_BYTES_MAX,
)

_BOUNDARY_CHARACTERS_MAX = 70
"""RFC 2046, section 5.1.1."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """What the headers of the part ``file`` say: its name as sent, and the digest of its content."""

    name: str | None
    digest: str | None


def boundary_of(content_type: str) -> str:
    """The boundary in a multipart ``Content-Type``; ``BadMultipart`` without a usable one."""
    boundary = parse_options_header(content_type)[1].get("boundary", "")
    if not 1 <= len(boundary) <= _BOUNDARY_CHARACTERS_MAX or not boundary.isascii() or not boundary.isprintable():
        raise BadMultipart("The Content-Type names no usable boundary")
    return boundary


def read_form(
    boundary: str,
    pieces: Iterable[bytes],
    begin: Callable[[FilePart], None],
    write: Callable[[bytes], None],
    wanted: Container[str] = (),
) -> dict[str, str]:
    """Hand the part ``file`` to ``begin`` (once, before its content) and its bytes to ``write``. The ``wanted`` ones of
    the other fields; fields with other names are read past.

    Raises ``BadMultipart`` for a body that cannot be read, ``InvalidInput`` unless there is exactly one such part and
    for a field given twice, ``TooLarge`` for too many parts or too much text. The last bytes come before the end of the
    body is known: what was written counts only when this returns.
    """
    form = _Form(begin, write, wanted)
    for event in _events(boundary, pieces):
        if isinstance(event, MultipartSegment):
            form.start(event)
        elif event is not None:
            form.take(event)
    return form.fields()


class _Form:
    """Where the bytes of each part go."""

    def __init__(
        self, begin: Callable[[FilePart], None], write: Callable[[bytes], None], wanted: Container[str]
    ) -> None:
        self._begin = begin
        self._write = write
        self._wanted = wanted
        self._found = False
        self._take: Callable[[bytes], Any] | None = None
        self._texts: dict[str, bytearray] = {}

    def start(self, segment: MultipartSegment) -> None:
        """The next part begins."""
        parameters = _parameters(segment)
        name = parameters.get("name", "")
        self._take = None
        if name == "file":
            if self._found:
                raise InvalidInput.for_field("file", "is there twice; send one file a request")
            self._found = True
            self._take = self._write
            self._begin(FilePart(file_name_in(parameters), segment.header("Content-Digest")))
        elif name in self._wanted:
            if name in self._texts:
                raise InvalidInput.for_field(name, "is given twice")
            self._texts[name] = bytearray()
            self._take = self._texts[name].extend

    def take(self, data: bytes) -> None:
        """Bytes of that part."""
        if self._take is not None:
            self._take(data)

    def fields(self) -> dict[str, str]:
        """The texts of the wanted fields, once the form has ended."""
        if not self._found:
            raise InvalidInput.for_field("file", "is missing; send the content as the part named file")
        try:
            return {name: text.decode("utf-8") for name, text in self._texts.items()}
        except UnicodeDecodeError as exc:
            raise BadMultipart("A field of the form is not UTF-8") from exc


def _events(boundary: str, pieces: Iterable[bytes]) -> Iterator[Any]:
    """The parser's events, its errors as ours, everything that is not the file bounded."""
    parser = PushMultipartParser(
        boundary, max_header_size=MULTIPART_HEADER_BYTES_MAX, max_segment_count=MULTIPART_PARTS_MAX
    )
    try:
        with parser:
            beside_files = 0
            text_bytes = 0
            for piece in pieces:
                beside_files += len(piece)
                for event in parser.parse(piece):
                    if isinstance(event, MultipartSegment):
                        is_file = _parameters(event).get("name") == "file"
                        text_bytes = 0
                    elif event is not None and is_file:
                        beside_files -= len(event)
                    elif event is not None:
                        text_bytes += len(event)
                        if text_bytes > MULTIPART_TEXT_BYTES_MAX:
                            raise TooLarge(f"A part beside file may have {MULTIPART_TEXT_BYTES_MAX} bytes")
                    yield event
                # Some bytes of the file may still wait in the parser: they are fewer than one delimiter.
                if beside_files > MULTIPART_OVERHEAD_BYTES:
                    raise TooLarge(f"The body has more than {MULTIPART_OVERHEAD_BYTES} bytes beside the file")
    except ParserLimitReached as exc:
        raise TooLarge("The multipart body has too many parts or too long headers") from exc
    except MultipartError as exc:
        raise BadMultipart from exc


def _parameters(segment: MultipartSegment) -> dict[str, str]:
    try:
        return parameters_of(segment.header("Content-Disposition", "") or "")[1]
    except BadRequest as exc:
        raise BadMultipart(exc.detail) from exc
