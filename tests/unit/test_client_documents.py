"""What the documents say of the client is what it does."""

import re
import shlex
from pathlib import Path

import pytest

from docsave_client.cli import main
from docsave_client.cli.arguments import EXIT_CODES, parser, usage_problem
from docsave_client.cli.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "client.md"


def commands_in(document: Path) -> list[str]:
    """The lines of code blocks that call the client, without comments and redirections."""
    blocks = re.findall(r"^```sh\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("docsave ")]
    return [re.split(r" +[#<]", line)[0] for line in lines]


@pytest.mark.parametrize("line", [*commands_in(ROOT / "README.md"), *commands_in(PAGE)])
def test_the_examples_can_be_typed(line: str) -> None:
    """Every command of the documents is one."""
    assert usage_problem(parser().parse_args(shlex.split(line)[1:])) is None


def test_every_command_is_described() -> None:
    """In the table of the page."""
    described = set(re.findall(r"^\| `docsave ([\w-]+)", PAGE.read_text(), re.MULTILINE))
    assert described == set(COMMANDS)


def test_every_exit_code_is_described() -> None:
    """On the page and in the help text."""
    rows = re.findall(r"^\| (\d) \|", PAGE.read_text(), re.MULTILINE)
    codes = [
        main.OK, main.REFUSED, main.USAGE, main.NOT_REACHABLE,
        main.NOT_FOUND, main.NOT_LOGGED_IN, main.DAMAGED, main.LOCAL_FILE,
    ]  # fmt: skip
    assert [int(row) for row in rows] == codes
    assert sorted(map(int, re.findall(r"(?:^|  )(\d)  ", EXIT_CODES, re.MULTILINE))) == codes
