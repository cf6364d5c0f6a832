"""What an account's login, name and password may be."""

from __future__ import annotations

import unicodedata

from docsave_services.domain.common_passwords import is_common

LOGIN_CHARACTERS = (3, 190)
NAME_CHARACTERS = (1, 255)
PASSWORD_CHARACTERS = (8, 128)

FOLDINGS_MAX = 4
"""One folding makes the key, the next finds nothing to change; no text is known that needs more."""


def login_problem(login: str) -> str | None:
    """Why ``login`` (already trimmed) cannot be one, or None."""
    return _length_problem(login, LOGIN_CHARACTERS) or _control_problem(login)


def name_problem(name: str) -> str | None:
    """Why a person cannot be called ``name`` here, or None."""
    return _length_problem(name, NAME_CHARACTERS) or _control_problem(name)


def password_problem(password: str, login: str) -> str | None:
    """Why ``password`` is refused for the account of ``login``, or None. Any Unicode is welcome, nothing is required
    of its composition; only the login itself and common passwords are refused."""
    if login_key(password) == login_key(login):
        return "must not be the login"
    problem = _length_problem(password, PASSWORD_CHARACTERS) or _surrogate_problem(password)
    if problem is None and is_common(password):
        return "is one of the passwords that are tried first"
    return problem


def login_key(login: str) -> str:
    """The form in which logins are compared: equal for all spellings that differ in case or in canonical composition
    only (Unicode's canonical caseless match, definition D145). The key of a key is that key."""
    key = login.strip()
    for _ in range(FOLDINGS_MAX):
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFD", key).casefold())
        if folded == key:
            break
        key = folded
    return key


def _length_problem(text: str, bounds: tuple[int, int]) -> str | None:
    least, most = bounds
    return None if least <= len(text) <= most else f"must have {least} to {most} characters"


def _surrogate_problem(text: str) -> str | None:
    return "must be valid Unicode" if any(0xD800 <= ord(c) <= 0xDFFF for c in text) else None


def _control_problem(text: str) -> str | None:
    if any(unicodedata.category(c) == "Cc" for c in text):
        return "must not contain control characters"
    return _surrogate_problem(text)
