"""What people and programs see: lines on standard output, notes and errors on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from docsave_client.sending import Progress as Report
from docsave_client.sending import no_progress


class Output:
    """Lines for people, or with ``as_json`` one object a line."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def show(self, value: Mapping[str, Any], line: Callable[[], str]) -> None:
        """One result: the whole of it for programs, ``line()`` for people."""
        text = json.dumps(value, ensure_ascii=False) if self._as_json else harmless(line())
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Something by the way."""
        if not self._as_json:
            sys.stderr.write(f"docsave: {harmless(text)}\n")

    def error(self, code: str, text: str, **more: Any) -> None:
        """Why it did not work: one line."""
        if self._as_json:
            told = {key: value for key, value in more.items() if value}
            sys.stderr.write(json.dumps({"error": {"code": code, "detail": text, **told}}, ensure_ascii=False) + "\n")
        else:
            sys.stderr.write(f"docsave: {harmless(text)}\n")

    @contextmanager
    def progress(self, label: str) -> Iterator[Report]:
        """A bar on a terminal, nothing anywhere else."""
        if self._as_json or not sys.stderr.isatty():
            yield no_progress
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(harmless(label), total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)


def harmless(text: str) -> str:
    """``text`` on one line and without what a terminal would obey: names come from other people."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def size_of(count: int) -> str:
    """``12.3 MB``."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
