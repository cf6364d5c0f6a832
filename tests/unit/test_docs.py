"""The documents say what the code says: settings, error codes, routes and links are compared."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from docsave_services.errors import DocsaveError

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

_VARIABLE = re.compile(r"DOCSAVE_[A-Z0-9_]*[A-Z]")
_SECRET_FILE = "_FILE"


def _settings_of_the_code() -> set[str]:
    return set(re.findall(r"\$\{(DOCSAVE_[A-Z0-9_]+)", (ROOT / "config.yml").read_text()))


def _default_of_the_code(variable: str) -> str | None:
    match = re.search(rf"\$\{{{variable}(?::([^}}]*))?\}}", (ROOT / "config.yml").read_text())
    return match[1] if match else None


def _settings_table() -> dict[str, str]:
    """Variable and default of each row of the README's settings table."""
    section = README.read_text().partition("\n## Settings\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(DOCSAVE_[A-Z0-9_]+)` \| (.*?) \|", section, re.MULTILINE)
    return dict(rows)


def _errors(base: type[DocsaveError] = DocsaveError) -> Iterator[type[DocsaveError]]:
    for error in base.__subclasses__():
        if error.__module__.startswith("docsave_services.errors"):
            yield error
            yield from _errors(error)


def _routes() -> Iterator[str]:
    """``GET /files/{id}`` for each ``@route`` of the gateway."""
    for node in ast.walk(ast.parse((ROOT / "gateway.py").read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "route":
            method, path = (ast.literal_eval(argument) for argument in node.args[:2])
            path_as_documented = re.sub(r"<(\w+):[^>]+>", lambda match: "{" + match[1] + "}", path)
            yield f"{method} {path_as_documented}"


def test_every_setting_is_in_the_readme_and_the_other_way_round():
    """The README's table has exactly the variables of config.yml."""
    assert set(_settings_table()) == _settings_of_the_code()


def test_the_readme_gives_the_defaults_of_config_yml():
    """A default in config.yml stands in the README's row as it is."""
    for variable, default in _settings_table().items():
        expected = _default_of_the_code(variable)
        if expected:
            assert f"`{expected}`" in default, variable


def test_documents_name_only_variables_that_exist():
    """A DOCSAVE_ variable in any document is one that config.yml or the runtime reads."""
    runtime = "".join(path.read_text() for path in (ROOT / "docsave_services/runtime").glob("*.py"))
    known = _settings_of_the_code() | set(_VARIABLE.findall(runtime))
    known |= {name + _SECRET_FILE for name in known}
    for document in DOCUMENTS:
        named = set(_VARIABLE.findall(document.read_text()))
        assert named <= known, f"{document.name}: {sorted(named - known)}"


def test_every_error_code_is_explained_for_operators():
    """docs/operations.md has a row with code, status and meaning of each error class, and no other."""
    text = (ROOT / "docs/operations.md").read_text().partition("\n## Error codes\n")[2]
    documented = set(re.findall(r"^\| `\w+` \| \d+ \| .* \|$", text, re.MULTILINE))
    assert documented == {f"| `{e.code}` | {e.status} | {(e.__doc__ or '').splitlines()[0]} |" for e in _errors()}


def test_every_route_is_documented():
    """Each route of the gateway appears, method and path, in the README or a document."""
    text = "".join(document.read_text() for document in DOCUMENTS)
    routes = list(_routes())
    assert len(routes) > 10
    assert [route for route in routes if f"`{route}`" not in text] == []


def test_every_dependency_has_its_reason():
    """Each package of pyproject.toml has a place in the README's table of dependencies."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    names = {re.split(r"[\[<>=;~! ]", requirement)[0].lower() for requirement in wanted}
    section = README.read_text().partition("\n## Dependencies\n")[2].partition("\n## ")[0]
    explained = {
        name
        for row in re.findall(r"^\| (.*?) \|", section, re.MULTILINE)
        for name in re.split(r"[, ()]+", re.sub(r"\[.*?\]", "", row))
    }
    assert {name for name in names if not name.startswith("types-")} <= explained


def _anchors(document: Path) -> set[str]:
    """The anchors GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _leads_nowhere(document: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    destination = document.parent / path if path else document
    return not destination.exists() or bool(anchor and anchor not in _anchors(destination))


def test_relative_links_lead_somewhere():
    """Every relative link of a Markdown file names a file that exists, and a heading in it when it names one."""
    links = [(document, target) for document in DOCUMENTS for target in _links(document)]
    assert [f"{d.relative_to(ROOT)}: {target}" for d, target in links if _leads_nowhere(d, target)] == []


def _links(document: Path) -> list[str]:
    targets = re.findall(r"\]\(([^)\s]+)\)", document.read_text())
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def test_every_promise_names_tests_that_exist():
    """docs/promises.md has a test and a figure for each promise, the README too; each test that a document names is
    there."""
    written = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    tests = set(re.findall(r"def (test_\w+)\(", written))
    promises = re.findall(r"^\| \d+\. .*$", (ROOT / "docs" / "promises.md").read_text(), re.MULTILINE)
    assert len(promises) == 14
    for row in promises:
        _, _, tests_of_it, figure = row.strip("| ").split(" | ")
        assert "`test_" in tests_of_it, row
        assert re.search(r"\d", figure), row
    said = README.read_text().partition("\n## Promises\n")[2].partition("\n## ")[0]
    assert len(re.findall(r"^\d+\. ", said, re.MULTILINE)) == 14
    assert len(re.findall(r"^ +\*\([^\n]*\d[^\n]*: `test_\w+`\)\*$", said, re.MULTILINE)) == 14
    for document in DOCUMENTS:
        named = set(re.findall(r"`(test_\w+)`", document.read_text()))
        assert named <= tests, f"{document.name}: {sorted(named - tests)}"


def test_the_readme_verifies_webhooks_as_the_tested_receivers_do():
    """Its code in Python and JavaScript is theirs, word for word."""
    section = README.read_text().partition("\n## Webhooks\n")[2].partition("\n## ")[0]
    for language, name in (("python", "webhook_receiver.py"), ("js", "webhook_receiver.mjs")):
        (code,) = re.findall(rf"```{language}\n(.+?)```", section, re.DOTALL)
        assert "webhook-signature" in code
        assert code in (ROOT / "docs" / "examples" / name).read_text(), name


def test_the_map_for_contributors_names_what_is_there():
    """Each path in CONTRIBUTING.md exists, and so does each target of make."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = set(re.findall(r"`([\w./-]*(?:/|\.py|\.yml|\.toml|\.md))[`\s]", text))
    assert len(paths) > 30
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets


def test_each_target_of_make_has_its_line_in_the_help():
    """``make help`` names every target but those that others are made of."""
    makefile = (ROOT / "Makefile").read_text()
    parts = {"requirements", "broker-program", "test-programs", "node_modules"}
    unsaid = set(re.findall(r"^([a-z][a-z-]*):(?!.* ## \w)", makefile, re.MULTILINE))
    assert {name for name in unsaid if not name.startswith("test-")} <= parts
