"""What logins, names and passwords may be."""

import pytest

from docsave_services.domain.accounts import login_key, login_problem, name_problem, password_problem


@pytest.mark.parametrize("login", ["ann", "ann@example.com", "Ærøskøbing", "a" * 190, "张伟先生"])
def test_good_logins(login: str) -> None:
    """Letters of any script are welcome."""
    assert login_problem(login) is None


@pytest.mark.parametrize("login", ["", "ab", "a" * 191, "ann\n", "a\x00b", "a\ud800b"])
def test_bad_logins(login: str) -> None:
    """Too short, too long, control characters, broken Unicode."""
    assert login_problem(login)


@pytest.mark.parametrize(("one", "other"), [("Ann", " ANN "), ("STRASSE", "straße"), ("e\u0301va", "Éva")])
def test_logins_compare_without_case(one: str, other: str) -> None:
    """Two spellings of one login are the same account."""
    assert login_key(one) == login_key(other)


@pytest.mark.parametrize("password", ["81264357", "x" * 128, "🔑" * 128, "with\x00nul!", "  spaces  "])
def test_good_passwords(password: str) -> None:
    """8 to 128 characters, any Unicode."""
    assert password_problem(password, "ann") is None


@pytest.mark.parametrize("password", ["", "1234567", "x" * 129, "ANN@EXAMPLE.com", "a\ud800bcdefgh"])
def test_bad_passwords(password: str) -> None:
    """Too short, too long, the login itself, broken Unicode."""
    assert password_problem(password, "ann@example.com")


def test_names_have_bounds() -> None:
    """A person's name is 1 to 255 characters without control characters."""
    assert name_problem("Ann") is None
    assert name_problem("")
    assert name_problem("x" * 256)
    assert name_problem("a\rb")
