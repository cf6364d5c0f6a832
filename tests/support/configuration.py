"""config.yml as ``nameko run --config`` reads it."""

from __future__ import annotations

import os
from typing import Any

import pytest
import yaml
from nameko.cli.main import setup_yaml_parser

from tests.support.programs import ROOT


def load_config(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> dict[str, Any]:
    """With ``settings`` in the environment under their names, without ``DOCSAVE_``; all others have their defaults."""
    for name in [name for name in os.environ if name.startswith("DOCSAVE_")]:
        monkeypatch.delenv(name)
    for name, value in settings.items():
        monkeypatch.setenv(f"DOCSAVE_{name}", str(value))
    setup_yaml_parser()
    config: dict[str, Any] = yaml.safe_load((ROOT / "config.yml").read_text())
    return config
