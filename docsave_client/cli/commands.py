"""The commands: each takes what was given and shows what became of it."""

from __future__ import annotations

import argparse
import getpass
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from docsave_client import proof
from docsave_client.backoff import Backoff
from docsave_client.cli.logins import Login, login_file
from docsave_client.cli.output import Output, size_of
from docsave_client.client import Client, notifier_url_for
from docsave_client.errors import ClientError, Damaged, NotLoggedIn
from docsave_client.mirror import Mirror
from docsave_client.session import Fixed, log_in, log_out
from docsave_client.transport import Call, Transport
from docsave_client.types import Event, File, RestoreStep, Version

Command = Callable[[argparse.Namespace, Output], None]


def login(given: argparse.Namespace, output: Output) -> None:
    """Open a session, or check a key, and remember it."""
    url = given.url.rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise ClientError("the address must begin with http:// or https://")
    transport = Transport(url, Backoff(tries=3))  # somebody waits, and may have mistyped the address
    notifier = given.notifier or notifier_url_for(url)
    if given.key:
        key = _secret("API key: ")
        transport.credential = Fixed(key)
        transport.send(Call("GET", "/files", [("limit", "1")]))
        known = Login(url, notifier, key=key)
    else:
        known = Login(url, notifier, tokens=log_in(transport, given.login, _secret("Password: ")))
    login_file().write(known)
    output.show({"url": url, "notifier_url": notifier}, lambda: f"logged in at {url}")


def logout(given: argparse.Namespace, output: Output) -> None:
    """End the session, and forget it whatever the server says."""
    file = login_file()
    known = file.read()
    file.forget()
    if known.tokens is not None:
        log_out(Transport(known.url), known.tokens["refresh_token"])
    output.show({"url": known.url}, lambda: f"logged out at {known.url}")


def put(given: argparse.Namespace, output: Output) -> None:
    """Save each file."""
    client = _client()
    for path in given.files:
        with output.progress(path.name) as progress:
            if given.to:
                saved = client.replace(given.to, path, if_match=_tag(given.if_match), progress=progress)
            else:
                labels = dict(given.label)
                saved = client.upload(path, given.name, folder=given.folder, labels=labels, progress=progress)
        _show_file(output, saved)


def get(given: argparse.Namespace, output: Output) -> None:
    """Fetch a document."""
    client = _client()
    described: Any = client.file(given.id) if given.version is None else client.version(given.id, given.version)
    target = given.output or Path()
    if target.is_dir():
        target /= described["name"]
    if target.exists() and not given.force:
        raise FileExistsError(f"{target} is there already; --force replaces it")
    with output.progress(target.name) as progress:
        client.download(given.id, target, version=given.version, progress=progress)
    output.show(
        {"id": given.id, "path": str(target), "size": described["size"], "sha256": described["sha256"]},
        lambda: f"{target}  {size_of(described['size'])}",
    )


def ls(given: argparse.Namespace, output: Output) -> None:
    """List documents, as they come."""
    files = _client().files(
        given.query,
        folder=given.folder,
        recursive=given.recursive,
        labels=given.label,
        sort=given.sort,
        deleted=given.deleted,
        user_id=given.user,
    )
    for file in files:
        _show_file(output, file)


def rm(given: argparse.Namespace, output: Output) -> None:
    """Put documents into the trash."""
    client = _client()
    for file_id in given.ids:
        client.delete(file_id, if_match=_tag(given.if_match))
        output.show({"id": file_id, "deleted": True}, partial("{} is in the trash".format, file_id))


def history(given: argparse.Namespace, output: Output) -> None:
    """List versions."""
    for version in _client().versions(given.id):
        output.show(version, partial(_version_line, version))


def restore(given: argparse.Namespace, output: Output) -> None:
    """Out of the trash, an earlier version, or all as it was."""
    client, tag = _client(), _tag(given.if_match)
    if given.at is not None:
        _restore_as_of(client, given, output)
    elif given.version is None:
        _show_file(output, client.restore(given.id, if_match=tag))
    else:
        _show_file(output, client.restore_version(given.id, given.version, if_match=tag))


def _restore_as_of(client: Client, given: argparse.Namespace, output: Output) -> None:
    named = {"file": given.id, "folder": given.folder, "user": given.user}
    chosen = {key: value for key, value in named.items() if value is not None}
    steps = client.restore_as_of(
        given.at, "all" if given.user == "all" else chosen, dry_run=given.dry_run, trash_newer=given.trash_newer
    )
    failed = 0
    for step in steps:
        output.show(step, partial(_step_line, step))
        failed += step["action"] == "failed"
    if given.dry_run:
        output.note("nothing was changed: this was a dry run")
    if failed:
        raise ClientError(f"{failed} documents could not be restored; the others are")


def verify_proof(given: argparse.Namespace, output: Output) -> None:
    """Check a file against its proof; no server is asked."""
    proven = proof.verify_proof(given.file, given.proof)
    head = f"{proven.size}:{proven.root}"
    if given.head and given.head != head:
        raise Damaged(f"the head of the history is not the one you know but {head}")
    entry = proven.entry
    output.show(
        {"entry": entry, "store_id": proven.store_id, "head": head},
        lambda: f"{given.file} is version {entry['version']} of file {entry['id']}, {entry['name']}; head {head}",
    )


def watch(given: argparse.Namespace, output: Output) -> None:
    """Show changes, or mirror them, until it is stopped."""
    client = _client()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, partial(_stop, client.stop))
    if given.mirror:
        with Mirror(client, given.mirror, output.note) as mirror:
            mirror.run(once=given.once, patience=given.patience)
        output.show({"mirrored": mirror.mirrored}, lambda: f"{mirror.mirrored} versions mirrored")
        return
    client.follow(
        lambda event: output.show(event, lambda: _event_line(event)),
        since=given.since,
        cursor_file=given.cursor_file,
        admin=given.admin,
        reload=lambda: output.note("the server has another journal (its database was restored): list anew"),
        notice=output.note,
        patience=given.patience,
    )


COMMANDS: dict[str, Command] = {
    "login": login,
    "logout": logout,
    "put": put,
    "get": get,
    "ls": ls,
    "rm": rm,
    "history": history,
    "restore": restore,
    "verify-proof": verify_proof,
    "watch": watch,
}


def _stop(stop: threading.Event, *_signal: object) -> None:
    """End in order; at the second time, at once."""
    if stop.is_set():
        raise KeyboardInterrupt
    stop.set()


def _client() -> Client:
    file = login_file()
    known = file.read()
    return Client(known.url, known.notifier_url, credential=file.credential(known))


def _secret(prompt: str) -> str:
    """From the terminal, or the first line of standard input; never from the command line, which others can see."""
    secret = getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if not secret:
        raise NotLoggedIn("bad_credentials", 401, "nothing was given for " + prompt.rstrip(": ").lower())
    return secret


def _tag(version: str | None) -> str | None:
    return None if version is None else f'"{version.strip(chr(34))}"'


def _show_file(output: Output, file: File) -> None:
    where = f"{file['folder']}/" if file["folder"] else ""
    output.show(
        file,
        lambda: (
            f"{file['id']:>6}  {size_of(file['size']):>9}  {file['updated_at'][:19]}  v{file['version']:<3} "
            f"{where}{file['name']}"
        ),
    )


def _step_line(step: RestoreStep) -> str:
    where = f"{step['folder']}/" if step["folder"] else ""
    more = ", ".join(step.get("differs", ())) or step.get("error", {}).get("detail", "")
    heir = f" as {step['new_id']}" if "new_id" in step else ""
    return f"{step['action']:<9}  {step['id']:>6}{heir}  {where}{step['name']}{f'  ({more})' if more else ''}"


def _version_line(version: Version) -> str:
    size = "" if version["event"] == "File_delete" else size_of(version["size"])
    return f"v{version['version']:<4} {version['at'][:19]}  {version['event']:<12} {size:>9}  {version['name']}"


def _event_line(event: Event) -> str:
    mark = " (relayed)" if event.get("relayed") else ""
    return (
        f"{event['at'][:19]}  {event['type']:<12} user {event['user_id']}  file {event['id']}  v{event['version']}  "
        f"{event['name']}{mark}"
    )
