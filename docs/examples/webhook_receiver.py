"""Receives docsave's webhooks, checks them, and saves each change once. Only the standard library.

    WEBHOOK_SECRET=whsec_… python3 docs/examples/webhook_receiver.py 9000

Changes go into the table ``change`` of ``webhook_receiver.sqlite3``. A repeat is recognised by its id, also after a
restart.
"""

import base64
import hashlib
import hmac
import json
import os
import sqlite3
import sys
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE_SECONDS = 300
BODY_BYTES_MAX = 1_000_000
DATABASE = "webhook_receiver.sqlite3"


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> None:
    """``ValueError`` unless whoever knows the secret sent exactly this, a short while ago."""
    message, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        raise ValueError("too old, or from the future")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{message}.{timestamp}.".encode() + body, hashlib.sha256)
    expected = "v1," + base64.b64encode(digest).decode()
    # Two signatures come while the secret is being replaced; one of them must fit.
    if not any(hmac.compare_digest(expected, each) for each in headers["webhook-signature"].split()):
        raise ValueError("the signature does not fit")


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 once a change is handled, so that docsave sends it again if we die before."""

    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        """One connection, with many changes. That it breaks is nothing: docsave makes another."""
        with suppress(ConnectionError), closing(sqlite3.connect(DATABASE, timeout=10)) as self.database:
            super().handle()

    def do_POST(self) -> None:
        try:
            body = self.rfile.read(min(int(self.headers["Content-Length"]), BODY_BYTES_MAX))
            verify(os.environ["WEBHOOK_SECRET"], self.headers, body)
        except (ValueError, TypeError, AttributeError):
            return self.answer(400)
        with self.database:  # commits at its end
            save_once(self.database, self.headers["webhook-id"], json.loads(body))
        return self.answer(204)

    def answer(self, status: int) -> None:
        """Answer without a body."""
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def save_once(database: sqlite3.Connection, message: str, event: dict[str, object]) -> None:
    """Here your program does its work, in one transaction with the row that says so."""
    row = (message, event.get("event_id"), json.dumps(event))
    database.execute("INSERT OR IGNORE INTO change VALUES (?, ?, ?)", row)


if __name__ == "__main__":
    with closing(sqlite3.connect(DATABASE)) as database:
        database.execute("PRAGMA journal_mode=WAL")  # one fsync a commit instead of three
        database.execute("CREATE TABLE IF NOT EXISTS change (id TEXT PRIMARY KEY, event_id INTEGER, event TEXT)")
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
