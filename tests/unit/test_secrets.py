"""No secret is in the repository."""

from __future__ import annotations

import re
import subprocess

import pytest

from docsave_services.runtime.environment import ROOT

SHAPES = {
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "token": r"eyJ[\w-]{10,}\.[\w-]{20,}\.[\w-]{20,}",
    "API key": r"\bdsk_[\w-]{40,}",
    "refresh token": r"\bdsr_[\w-]{40,}",
    "webhook secret": r"\bwhsec_[A-Za-z0-9+/]{30,}={0,2}",
    "cloud key": r"\bAKIA[0-9A-Z]{16}\b",
    "password in an address": r"\b(?:amqps?|mysql\+pymysql|https?)://[\w.-]+:(?!\$|\{|%|PASSWORD)[^\s:@/{}$]{12,}@",
}
"""What our secrets and well-known others look like. Those of tests are short, or made when they run."""


def _tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=60)
    return [name for name in listed.stdout.decode().split("\0") if name]


@pytest.mark.parametrize("kind", SHAPES)
def test_nothing_in_the_repository_looks_like_a_secret(kind: str) -> None:
    """No tracked file holds what has a secret's shape."""
    shape = re.compile(SHAPES[kind])
    found = []
    for name in _tracked():
        path = ROOT / name
        if path.is_file() and path.suffix not in (".png", ".json") and shape.search(path.read_text(errors="replace")):
            found.append(name)
    assert found == []


def test_the_shapes_are_those_of_secrets() -> None:
    """Each pattern finds one of its kind, so that the test above can fail."""
    examples = {
        "private key": "-----BEGIN RSA PRIVATE " + "KEY-----",
        "token": "eyJ" + "a" * 20 + "." + "b" * 30 + "." + "c" * 43,
        "API key": "dsk_" + "a" * 43,
        "refresh token": "dsr_" + "a" * 43,
        "webhook secret": "whsec_" + "a" * 32,
        "cloud key": "AKIA" + "A" * 16,
        "password in an address": "amqp://docsave:" + "a" * 40 + "@broker",
    }
    assert set(examples) == set(SHAPES)
    assert all(re.search(SHAPES[kind], example) for kind, example in examples.items())
