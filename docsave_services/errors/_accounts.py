"""Who asks, and what that person or program may do."""

from __future__ import annotations

from docsave_services.errors._base import DocsaveError


class Unauthenticated(DocsaveError):
    """A valid access token is required."""

    code = "unauthenticated"
    status = 401
    title = "Authentication required"


class BadCredentials(DocsaveError):
    """Login or password is wrong."""

    code = "bad_credentials"
    status = 401
    title = "Authentication required"


class Forbidden(DocsaveError):
    """Your account may not do this."""

    code = "forbidden"
    status = 403
    title = "Forbidden"


class InsufficientScope(DocsaveError):
    """This API key does not have the scope that the call needs."""

    code = "insufficient_scope"
    status = 403
    title = "Forbidden"


class WrongPassword(DocsaveError):
    """The current password is wrong."""

    code = "wrong_password"
    status = 403
    title = "Forbidden"


class LoginTaken(DocsaveError):
    """Another account has this login."""

    code = "login_taken"
    status = 409
    title = "Conflict"


class LastAdministrator(DocsaveError):
    """This is the last active administrator; make another one first."""

    code = "last_administrator"
    status = 409
    title = "Conflict"


class TooManyKeys(DocsaveError):
    """This account has as many API keys as one may have; revoke one first."""

    code = "too_many_keys"
    status = 409
    title = "Conflict"


class TooManySockets(DocsaveError):
    """This account or address has as many sockets open as one may have; close some first."""

    code = "too_many_sockets"
    status = 429
    title = "Too many requests"


RETRY_AFTER = "retry_after"
"""The field in which ``TooManyRequests`` carries its seconds over the bus; it is no field of the input."""


class TooManyRequests(DocsaveError):
    """Too many attempts; try again after the pause."""

    code = "too_many_requests"
    status = 429
    title = "Too many requests"

    @classmethod
    def after(cls, seconds: int) -> TooManyRequests:
        """The error for a pause of so many seconds; they travel in ``errors``, as the field ``retry_after``."""
        return cls(f"Too many attempts; try again in {seconds} s.", [{"field": RETRY_AFTER, "message": str(seconds)}])

    @property
    def retry_after(self) -> int | None:
        """Seconds until the next attempt may succeed; None when the service did not say."""
        said = next((e["message"] for e in self.errors if e["field"] == RETRY_AFTER), "")
        return int(said) if said.isascii() and said.isdigit() else None
