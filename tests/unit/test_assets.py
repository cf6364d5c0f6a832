"""What pages load from npm packages is in the repository, exactly as the locked packages have it."""

import json
from pathlib import Path

import pytest

from gateway_http.static_files import STATIC_DIRECTORY
from tests.support.programs import ROOT

VENDOR = STATIC_DIRECTORY / "vendor"
PACKAGES = sorted(VENDOR.iterdir())


def _original(package: Path, name: str) -> bytes:
    """The file of the installed package; ``LICENSE.txt`` was called ``LICENSE`` there."""
    installed = ROOT / "node_modules" / package.name
    places = [installed / folder / each for folder in ("", "dist") for each in (name, name.removesuffix(".txt"))]
    return next(place for place in places if place.exists()).read_bytes()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_vendored_files_are_those_of_the_locked_package(package):
    """`make assets` brings them up to date; each has its licence and its version beside it."""
    locked = json.loads((ROOT / "package-lock.json").read_text())["packages"][f"node_modules/{package.name}"]
    assert (package / "VERSION.txt").read_text().strip() == locked["version"]
    names = {path.name for path in package.iterdir()} - {"VERSION.txt"}
    assert "LICENSE.txt" in names
    for name in names:
        assert (package / name).read_bytes() == _original(package, name), name


def test_there_is_something_to_compare():
    """The page of the API document at least."""
    assert "swagger-ui-dist" in [package.name for package in PACKAGES]
