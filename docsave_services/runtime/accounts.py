"""``python -m docsave_services.runtime.accounts …``: accounts and sessions, for the operator on the machine.

It works on the database alone, so it also helps when nobody can log in or the services are down. Running services
learn within seconds what it ended, because they ask for revocations regularly. A password is never an argument:
it is asked for, read from standard input, or generated and printed once.
"""

from __future__ import annotations

import argparse
import getpass
import secrets
import sys
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from docsave_services.db.audit import OPERATOR
from docsave_services.db.engine import make_engine
from docsave_services.db.models import UserRow
from docsave_services.db.transactions import Transactions
from docsave_services.errors import DocsaveError, NotFound
from docsave_services.runtime import environment as env
from docsave_services.runtime.service import database_uri
from docsave_services.times import to_text
from docsave_services.users import handlers, sessions

GENERATED_BYTES = 18

Command = Callable[[Transactions, argparse.Namespace], None]


def main(arguments: list[str]) -> None:
    """Ends with status 0 when it is done, otherwise with one line that says why not."""
    options = _parser().parse_args(arguments)
    try:
        engine = make_engine(database_uri(env.current()))
        try:
            options.command(Transactions(engine), options)
        finally:
            engine.dispose()
    except (env.EnvironmentProblem, SQLAlchemyError, DocsaveError, OSError) as exc:
        sys.exit(f"accounts: {' '.join(str(exc).split())}")


def create_admin(transactions: Transactions, options: argparse.Namespace) -> None:
    """Create an administrator."""
    user = handlers.create_user(transactions, options.login, _password(options), None, "admin")
    print(f"created the administrator {user['login']}, id {user['id']}")


def reset_password(transactions: Transactions, options: argparse.Namespace) -> None:
    """Give an account a new password; all its sessions end."""
    row = _account(transactions, options.login)
    handlers.update_user(transactions, row.id, {"password": _password(options)}, None, False)
    print(f"{row.login} has a new password; every session of the account has ended")


def list_sessions(transactions: Transactions, options: argparse.Namespace) -> None:
    """List live sessions, newest first, of one account or of all."""
    user_id = None if options.login is None else _account(transactions, options.login).id
    for row in transactions.read(lambda s: sessions.live_sessions(s, user_id)):
        used, address, agent = to_text(row.last_used_at), row.address or "-", row.agent or "-"
        print(f"{row.id}  user {row.user_id}  since {to_text(row.created_at)}  used {used}  {address}  {agent}")


def revoke_session(transactions: Transactions, options: argparse.Namespace) -> None:
    """End one session."""
    if transactions.write(lambda s: sessions.end_session(s, options.session, OPERATOR)) is None:
        raise NotFound(f"there is no live session {options.session}")
    print(f"session {options.session} has ended")


def revoke_sessions(transactions: Transactions, options: argparse.Namespace) -> None:
    """End every session of an account."""
    row = _account(transactions, options.login)
    count = handlers.end_sessions(transactions, row.id, OPERATOR)
    print(f"{count} sessions of {row.login} have ended")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="accounts", description="Accounts and sessions, for the operator.")
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(name: str, command: Command) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=command.__doc__, description=command.__doc__)
        one.set_defaults(command=command)
        return one

    for name, command in (("create-admin", create_admin), ("reset-password", reset_password)):
        one = add(name, command)
        one.add_argument("login")
        one.add_argument("--generate", action="store_true", help="make a password and print it, once")
    add("sessions", list_sessions).add_argument("login", nargs="?")
    add("revoke-session", revoke_session).add_argument("session")
    add("revoke-sessions", revoke_sessions).add_argument("login")
    return parser


def _account(transactions: Transactions, login: str) -> UserRow:
    row = transactions.read(lambda s: handlers.find_login(s, login))
    if row is None:
        raise NotFound(f"there is no account {login}")
    return row


def _password(options: argparse.Namespace) -> str:
    if options.generate:
        password = secrets.token_urlsafe(GENERATED_BYTES)
        print(f"password: {password}")
        return password
    if sys.stdin.isatty():
        return getpass.getpass("New password: ")
    return sys.stdin.readline().rstrip("\r\n")


if __name__ == "__main__":
    main(sys.argv[1:])
