"""The web console in headless Chromium, in front of the live system: what each step of the walk proves."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid

import pytest
import requests

from tests.e2e.console.walk import PASSWORD, STEPS
from tests.support.programs import ROOT
from tests.support.system import System

pytestmark = pytest.mark.process

WALK_SECONDS = 400


@pytest.fixture(scope="module")
def results(system: System, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """How each step went: None, or its traceback."""
    directory = tmp_path_factory.mktemp("console")
    login = f"anna-{uuid.uuid4().hex[:8]}"
    answer = requests.post(f"{system.base_url}/users", json={"login": login, "password": PASSWORD}, timeout=60)
    assert answer.status_code == 201, answer.text
    settings = {
        "base_url": system.base_url,
        "socket_url": system.socket_url,
        "login": login,
        "admin_password": system.admin_password,
    }
    (directory / "settings.json").write_text(json.dumps(settings))
    results = directory / "results.json"
    walk = [sys.executable, "-m", "tests.e2e.console.walk", str(directory / "settings.json"), str(results)]
    ran = subprocess.run(walk, cwd=ROOT, capture_output=True, text=True, timeout=WALK_SECONDS, check=False)
    assert ran.returncode == 0, ran.stderr[-4000:]
    found: dict[str, str | None] = json.loads(results.read_text())
    return found


@pytest.mark.parametrize("name", [step.__name__ for step in STEPS])
def test_step(results: dict[str, str | None], name: str) -> None:
    """The step's docstring says what it proves."""
    failed = results[name]
    assert failed is None, failed
