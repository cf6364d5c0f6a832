"""JSON that means one thing only (RFC 8259, RFC 7493): anything two parsers could read differently is refused."""

from __future__ import annotations

import json
import math
from typing import Any

from docsave_services.errors import BadJson

_EXACT_MAX = 2.0**53
"""Up to here a float has every whole number."""


def parse_json(body: bytes) -> Any:
    """The value in ``body``; ``BadJson`` for bad UTF-8, duplicate names, NaN, lone surrogates, too deep nesting."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise BadJson("The body is not valid UTF-8") from exc
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite_float)
        # A \uD800 escape parses, but the string it makes cannot be encoded, stored or answered.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as exc:
        raise BadJson("The body contains half a surrogate pair") from exc
    except RecursionError as exc:
        raise BadJson("The body is nested too deeply") from exc
    except ValueError as exc:
        raise BadJson from exc
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise BadJson("The body repeats a member of an object")
    return members


def _refuse_constant(name: str) -> Any:
    raise BadJson(f"{name} is not JSON")


def _finite_float(digits: str) -> float | int:
    number = float(digits)
    if not math.isfinite(number):
        raise BadJson("The body contains a number that is too large")
    # JSON has numbers, not kinds of them: 7.0 is the 7 that some programs write so.
    return int(number) if number.is_integer() and abs(number) <= _EXACT_MAX else number
