"""The console's own files: they parse, compute right, make no markup of data, and everybody can read them."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway_http.static_files import STATIC_DIRECTORY

CONSOLE = STATIC_DIRECTORY / "console"
MODULES = sorted(CONSOLE.rglob("*.js"))
TESTS = Path(__file__).parent / "console"
DOCS = Path(__file__).parents[2] / "docs"

_MARKUP = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|setHTML|srcdoc")
_CODE = re.compile(r"\beval\(|\bnew Function\b|javascript:")


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """A copy that Node takes for modules, with the tests beside them."""
    directory = tmp_path_factory.mktemp("console")
    shutil.copytree(CONSOLE, directory, dirs_exist_ok=True)
    shutil.copytree(TESTS, directory, dirs_exist_ok=True)
    (directory / "package.json").write_text(json.dumps({"type": "module"}))
    return directory


def _node(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["node", *arguments], cwd=directory, capture_output=True, text=True, timeout=60, check=False)


def test_every_module_parses(modules):
    """Also those that only a browser can run."""
    assert len(MODULES) > 20
    for module in MODULES:
        ran = _node(modules, "--check", str(module.relative_to(CONSOLE)))
        assert ran.returncode == 0, ran.stderr


def test_what_is_pure_computes_right(modules):
    """``node --test`` passes."""
    ran = _node(modules, "--test", "pure.test.js")
    assert ran.returncode == 0, ran.stdout[-4000:]
    assert re.search(r"^# pass 1[0-9]$", ran.stdout, re.MULTILINE), ran.stdout[-500:]


def test_what_happens_to_webhooks_is_told_in_words():
    """Each reason and error that the operator's manual explains has a text; the other language has the same keys."""
    manual = (DOCS / "operations.md").read_text().partition("\n## Webhooks\n")[2].partition("\n## ")[0]
    reasons, errors = manual.split("| `error` of a delivery |")
    words = (CONSOLE / "words_en.js").read_text()
    for kind, rows in (("reason", reasons), ("error", errors)):
        codes = re.findall(
            r"`(\w+)`", " ".join(row.split("|")[1] for row in rows.splitlines() if row.startswith("| `"))
        )
        assert len(codes) > 5
        for code in codes:
            assert code == "reason" or f'"webhooks.{kind}.{code}"' in words, code


def test_data_never_becomes_markup_or_code():
    """No module uses what parses HTML or runs text; the page has no script or style of its own."""
    for module in MODULES:
        text = module.read_text()
        assert not _MARKUP.search(text), module.name
        assert not _CODE.search(text), module.name
    page = (CONSOLE / "index.html").read_text()
    assert re.findall(r"<script[^>]*>", page) == ['<script type="module" src="/static/console/app.js">']
    assert "<style" not in page
    assert not re.search(r"\s(on\w+|style)=", page)


def test_tokens_are_kept_by_the_tab_alone():
    """``localStorage`` outlives the tab: it has the language and nothing else."""
    users = [module.name for module in MODULES if "localStorage" in module.read_text()]
    assert users == ["i18n.js"]
    assert "cookie" not in "".join(module.read_text() for module in MODULES)


def test_every_text_that_is_used_exists():
    """Each key in the code is in the dictionary, and each of the dictionary is used."""
    words = dict(re.findall(r'^  "?([\w.:]+)"?: "(.*)",$', (CONSOLE / "words_en.js").read_text(), re.MULTILINE))
    code = "".join(module.read_text() for module in MODULES if not module.name.startswith("words_"))
    used = set(re.findall(r'\bt\("([\w.:]+)"', code)) | {
        f"{key}.other" for key in re.findall(r'\btn\("([\w.:]+)"', code)
    }
    assert len(used) > 100
    assert used - words.keys() == set()
    made = (*re.findall(r"\bt\(`([\w.]+)\$\{", code), "error.")
    unused = {
        key
        for key in words
        if f'"{key}"' not in code and f'"{key.rpartition(".")[0]}"' not in code and not key.startswith(made)
    }
    assert {key for key in unused if not key.endswith(".title")} == set()


def _colours(css: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", css))


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


_TEXTS = [
    ("text", "page"), ("text", "panel"), ("text", "fresh"), ("soft", "page"), ("soft", "panel"), ("soft", "fresh"),
    ("link", "page"), ("link", "panel"), ("link", "fresh"), ("on-main", "main"), ("danger", "panel"),
    ("danger", "fresh"),
    ("safe", "safe-back"), ("wait", "wait-back"), ("bad", "bad-back"), ("bad", "panel"),
]  # fmt: skip
_EDGES = [
    ("edge", "panel"),
    ("edge", "page"),
    ("main", "panel"),
    ("link", "page"),
    ("safe", "panel"),
    ("wait", "panel"),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_told_apart(scheme):
    """WCAG 2.2: texts have a contrast of 4.5 to what they stand on, frames of controls and marks 3."""
    light, _, dark = (CONSOLE / "console.css").read_text().partition("@media (prefers-color-scheme: dark)")
    colours = _colours(light) if scheme == "light" else _colours(light) | _colours(dark)
    poor = {pair: _contrast(colours[pair[0]], colours[pair[1]]) for pair in _TEXTS}
    assert {pair: value for pair, value in poor.items() if value < 4.5} == {}
    edges = {pair: _contrast(colours[pair[0]], colours[pair[1]]) for pair in _EDGES}
    assert {pair: value for pair, value in edges.items() if value < 3} == {}
