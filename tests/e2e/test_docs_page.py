"""The page of the API in a real browser: it shows every call, asks nobody else, and tries a call with a token."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.accounts import new_account
from tests.support.programs import ROOT
from tests.support.system import System

pytestmark = pytest.mark.process

BROWSE = ROOT / "tests/e2e/browse_docs.py"


def test_the_page_tries_a_call_with_a_token(system: System, tmp_path: Path) -> None:
    """All operations are there, no error in the console, no request to another origin; GET /users/me answers 200."""
    account = new_account(system.base_url, "ann")
    screenshot = tmp_path / "docs.png"
    # In a process of its own: Playwright's event loop and the tests' green threads do not go together.
    command = [sys.executable, str(BROWSE), system.base_url, account.token, str(screenshot)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    assert seen["problems"] == []
    assert seen["origins"] == [system.base_url]
    assert seen["operations"] > 50
    assert (seen["status"], json.loads(seen["answer"])["id"]) == ("200", account.id)
    assert screenshot.stat().st_size > 10_000
