"""The rules for file names."""

import pytest

from docsave_services.domain.names import name_problem


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "report.pdf",
        "CON",
        ".htaccess",
        "-rf",
        "$(id)",
        "<script>.html",
        'a"; filename=evil.exe',
        "😀.txt",
        "é" * 255,
        "e\u0301.txt",
        "...",
        " leading and trailing ",
        "\u200f.txt",
    ],
)
def test_unusual_names_are_data(name: str) -> None:
    """A name that is odd but harmless is accepted."""
    assert name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "255 characters"),
        ("a" * 256, "255 characters"),
        ("a/b", "/ or"),
        ("a\\b", "/ or"),
        (".", ". or .."),
        ("..", ". or .."),
        ("   ", "spaces"),
        ("\u3000\u00a0", "spaces"),
        ("a\x00b", "control"),
        ("a\nb", "control"),
        ("a\rb", "control"),
        ("a\x7f", "control"),
        ("a\x85", "control"),
        ("\ud800", "Unicode"),
        *[(f"a{chr(c)}b", "bidirectional") for c in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))],
    ],
)
def test_dangerous_names_are_refused_with_the_reason(name: str, reason: str) -> None:
    """A name that could be a path, a header or a disguise is refused, and the text says why."""
    problem = name_problem(name)
    assert problem is not None
    assert reason in problem
