"""What can be asked for on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

EXIT_CODES = """exit codes:
  0  done                            4  there is no such document or version
  1  the server refused              5  not logged in, or not any more
  2  wrong usage                     6  the bytes are not those that were saved
  3  the server cannot be reached    7  a local file cannot be read or written
"""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="docsave",
        description="Documents in docsave: save, fetch, list, follow.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--json", action="store_true", help="one JSON object a line, for programs; errors too")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _login(commands)
    commands.add_parser("logout", help="end the session and forget it")
    _put(commands)
    _get(commands)
    _ls(commands)
    _rm(commands)
    _history(commands)
    _restore(commands)
    _verify_proof(commands)
    _watch(commands)
    return top


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _login(commands: Commands) -> None:
    login = commands.add_parser("login", help="log in; asks for the password or key, or reads it from standard input")
    login.add_argument("url", help="address of the HTTP API, such as http://127.0.0.1:8000")
    login.add_argument("--notifier", metavar="URL", help="address of Socket.IO, if it is not the usual one")
    who = login.add_mutually_exclusive_group(required=True)
    who.add_argument("--login", metavar="NAME", help="log in with a password")
    who.add_argument("--key", action="store_true", help="use an API key")


def _put(commands: Commands) -> None:
    put = commands.add_parser("put", help="save files; a large one that broke off goes on where it was")
    put.add_argument("files", nargs="+", type=Path, metavar="FILE")
    put.add_argument("--name", help="what it is called, if not like the file")
    put.add_argument("--folder", default="", help="where it is filed, such as clients/acme")
    put.add_argument("--label", action="append", default=[], type=_label, metavar="KEY=VALUE")
    put.add_argument("--to", type=_id, metavar="ID", help="as a new version of this document")
    put.add_argument("--if-match", metavar="VERSION", help="with --to: only if it is this version still, such as v3")


def _get(commands: Commands) -> None:
    get = commands.add_parser("get", help="fetch a document; one that broke off goes on where it was")
    get.add_argument("id", type=_id)
    get.add_argument("-o", "--output", type=Path, metavar="PATH", help="a file or a directory")
    get.add_argument("--version", type=_id, metavar="N", help="an earlier version")
    get.add_argument("--force", action="store_true", help="replace a file that is there")


def _ls(commands: Commands) -> None:
    ls = commands.add_parser("ls", help="list documents")
    ls.add_argument("query", nargs="?", help="a part of the name")
    ls.add_argument("--folder", help="in this folder")
    ls.add_argument("--recursive", action="store_true", help="and in those below it")
    ls.add_argument("--label", action="append", default=[], metavar="KEY[=VALUE]")
    ls.add_argument("--sort", help="name, size, created_at, updated_at; -size for descending")
    ls.add_argument("--deleted", action="store_true", help="those in the trash")
    ls.add_argument("--user", help="administrators: whose; an id, or all")


def _rm(commands: Commands) -> None:
    rm = commands.add_parser("rm", help="put documents into the trash")
    rm.add_argument("ids", nargs="+", type=_id, metavar="ID")
    rm.add_argument("--if-match", metavar="VERSION", help="only if it is this version still, such as v3")


def _history(commands: Commands) -> None:
    history = commands.add_parser("history", help="list the versions of a document, newest first")
    history.add_argument("id", type=_id)


def _restore(commands: Commands) -> None:
    restore = commands.add_parser(
        "restore", help="out of the trash; make an earlier version the current one; or all as it was at a moment"
    )
    restore.add_argument("id", type=_id, nargs="?")
    restore.add_argument("--version", type=_id, metavar="N")
    restore.add_argument("--if-match", metavar="VERSION", help="only if it is this version still, such as v3")
    past = restore.add_argument_group("as of a moment, as new versions", "of the document, or of what these name")
    past.add_argument("--at", metavar="MOMENT", help="such as 2026-11-24T10:00Z; or the cursor of a change")
    past.add_argument("--folder", help="what lay in this folder, and below it")
    past.add_argument("--user", type=_whose, help="administrators: whose; an id, or all")
    past.add_argument("--dry-run", action="store_true", help="only show what would be done")
    past.add_argument("--trash-newer", action="store_true", help="put what came since into the trash")


def _verify_proof(commands: Commands) -> None:
    verify = commands.add_parser("verify-proof", help="check, without the server, that a file is a saved version")
    verify.add_argument("file", type=Path, metavar="FILE")
    verify.add_argument("proof", type=Path, metavar="PROOF", help="what GET /files/ID/versions/N/proof answered")
    verify.add_argument("--head", metavar="SIZE:ROOT", help="a head of the history that you know from elsewhere")


def _watch(commands: Commands) -> None:
    watch = commands.add_parser("watch", help="show changes while they happen; or mirror all versions to a directory")
    watch.add_argument("--admin", action="store_true", help="administrators: everybody's changes")
    watch.add_argument("--since", metavar="CURSOR", help="begin after this change")
    watch.add_argument("--cursor-file", type=Path, metavar="FILE", help="keep the place here and go on from it")
    watch.add_argument("--mirror", type=Path, metavar="DIR", help="with --admin: keep every version in DIR")
    watch.add_argument("--once", action="store_true", help="with --mirror: end when everything is there")
    watch.add_argument(
        "--patience", type=float, default=600.0, metavar="SECONDS", help="end when nothing answered for so long"
    )


def _whose(text: str) -> int | str:
    return "all" if text == "all" else _id(text)


def _id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**31):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def usage_problem(given: argparse.Namespace) -> str | None:
    """What does not go together."""
    if given.command == "put":
        if len(given.files) > 1 and (given.name or given.to):
            return "--name and --to are for one file"
        if given.to and (given.name or given.folder or given.label):
            return "--name, --folder and --label are not for a new version of a document"
        if given.if_match and not given.to:
            return "--if-match is for --to"
    if given.command == "watch":
        if given.mirror and not given.admin:
            return "--mirror needs --admin"
        if given.mirror and (given.since or given.cursor_file):
            return "--mirror keeps its place in the directory"
        if given.once and not given.mirror:
            return "--once is for --mirror"
    return _restore_problem(given) if given.command == "restore" else None


def _restore_problem(given: argparse.Namespace) -> str | None:
    many = given.folder is not None or given.user is not None
    if given.at is None:
        if many or given.dry_run or given.trash_newer:
            return "--at is missing"
        return None if given.id else "the id of a document is missing"
    if given.version or given.if_match:
        return "--version and --if-match are not for --at"
    if many == (given.id is not None):
        return "--at is for the id of one document, or for --folder and --user"
    return "--folder is of one account" if given.user == "all" and given.folder is not None else None
