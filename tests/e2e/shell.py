"""``nameko shell`` as an operator uses it, through a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.programs import ROOT
from tests.support.waiting import wait_until

ANSWER_SECONDS = 30.0

_MARK = "docsave-answer:"

# Typed into the shell once. An error would end a shell that reads from a pipe, so it is printed like a result.
_DEFINITION = f"""\
def answer(call):
    import json
    try:
        said = {{"result": call()}}
    except Exception as exc:
        said = {{"error": getattr(exc, "exc_type", type(exc).__name__), "text": str(exc)}}
    print("\\n{_MARK}" + json.dumps(said), flush=True)

"""


class RpcFailed(Exception):
    """What a call raised in the shell: ``name`` is the class of the service's error."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


class NamekoShell:
    """One running shell; calls are typed into it one after the other."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        command = [str(Path(sys.executable).with_name("nameko")), "shell", "--config", "config.yml"]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._type(_DEFINITION)

    def call(self, method: str, /, **arguments: Any) -> Any:
        """Type ``n.rpc.<method>(…)`` and return what it returns; ``RpcFailed`` with what it raises."""
        before = len(self._answers())
        typed = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        self._type(f"answer(lambda: n.rpc.{method}({typed}))\n")
        said = json.loads(wait_until(lambda: self._answers()[before:], ANSWER_SECONDS)[0])
        if "error" in said:
            raise RpcFailed(said["error"], said["text"])
        return said["result"]

    def close(self) -> int:
        """Type the end of the input; the exit status."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            return self._process.wait(ANSWER_SECONDS)
        finally:
            self._process.kill()
            self._process.wait(ANSWER_SECONDS)

    def output(self) -> str:
        """Everything the shell has printed."""
        return "".join(self._lines)

    def _type(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text)
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)

    def _answers(self) -> list[str]:
        marked = (line.partition(_MARK) for line in list(self._lines))
        return [text for _, mark, text in marked if mark]
