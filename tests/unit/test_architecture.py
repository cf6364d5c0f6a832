"""What may import what, where the import linter does not look, and what must not be written."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GATEWAY = ROOT / "gateway.py"


def imported_modules(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


def test_the_gateway_never_opens_the_database() -> None:
    """It owns nothing: what it knows it asks the services."""
    forbidden = ("docsave_services.db", "docsave_services.users", "docsave_services.files", "sqlalchemy")
    assert [name for name in imported_modules(GATEWAY) if name.startswith(forbidden)] == []


def test_every_route_is_short() -> None:
    """One short method a route, no logic."""
    classes = [node for node in ast.walk(ast.parse(GATEWAY.read_text())) if isinstance(node, ast.ClassDef)]
    methods = [node for node in classes[0].body if isinstance(node, ast.FunctionDef)]
    assert len(methods) >= 13
    assert [m.name for m in methods if (m.end_lineno or 0) - m.lineno > 8] == []


def test_flags_are_compared_so_that_an_index_is_used() -> None:
    """``column.is_(False)`` becomes ``IS false``, for which MariaDB reads the whole table."""
    sources = sorted((ROOT / "docsave_services").rglob("*.py"))
    assert [path.name for path in sources if re.search(r"\.is_\((True|False)\)", path.read_text())] == []
