"""From the command line to an exit code. No traceback for anything that can be expected to happen."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from docsave_client.cli.arguments import parser, usage_problem
from docsave_client.cli.commands import COMMANDS
from docsave_client.cli.output import Output
from docsave_client.errors import ClientError, Damaged, NotFound, NotLoggedIn, NotReachable, Refused, StoppedByCaller

OK, REFUSED, USAGE, NOT_REACHABLE, NOT_FOUND, NOT_LOGGED_IN, DAMAGED, LOCAL_FILE = range(8)
INTERRUPTED = 130

_CODES: dict[type[Exception], tuple[int, str]] = {
    NotFound: (NOT_FOUND, ""),
    NotLoggedIn: (NOT_LOGGED_IN, ""),
    Refused: (REFUSED, ""),
    NotReachable: (NOT_REACHABLE, "not_reachable"),
    Damaged: (DAMAGED, "damaged"),
    ClientError: (REFUSED, "client_error"),
    OSError: (LOCAL_FILE, "local_file"),
}
"""The exit code and, where the server gives none, the word for programs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    commands = parser()
    given = commands.parse_args(arguments)
    problem = usage_problem(given)
    if problem:
        commands.error(problem)
    output = Output(given.json)
    try:
        COMMANDS[given.command](given, output)
    except StoppedByCaller:
        return OK
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our lines has enough; the interpreter must not complain about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except (ClientError, OSError) as exc:
        return _tell(output, exc)
    return OK


def _tell(output: Output, exc: Exception) -> int:
    status, code = next(_CODES[kind] for kind in type(exc).__mro__ if kind in _CODES)
    if isinstance(exc, Refused):
        fields = "; ".join(f"{each['field']}: {each['message']}" for each in exc.errors)
        text = exc.detail if not fields or fields in exc.detail else f"{exc.detail} ({fields})"
        output.error(exc.code, text, status=exc.status, errors=exc.errors, request_id=exc.request_id)
    else:
        output.error(code, _text_of(exc))
    return status


def _text_of(exc: Exception) -> str:
    if isinstance(exc, OSError) and exc.strerror:
        return f"{exc.filename}: {exc.strerror}" if exc.filename else exc.strerror
    return str(exc)
