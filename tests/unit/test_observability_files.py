"""Dashboard, alert rules and the table of metrics speak of metrics that exist, and of all of them."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from tests.support.metrics import declared

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = (ROOT / "docs/operations.md").read_text()
ALERTS: dict[str, Any] = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/docsave.json").read_text())

_NAME = re.compile(r"\b(?:docsave|process)_[a-z_]+")
_OF_THE_LIBRARY = {"process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"}
_OF_THE_LIBRARY |= {"process_start_time_seconds"}


def rules() -> list[dict[str, Any]]:
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    of_panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    return [*of_panels, *(rule["expr"] for rule in rules())]


def test_expressions_name_what_exists() -> None:
    """Every metric in an alert or a panel is declared, histograms by their buckets."""
    known = declared()
    samples = {f"{m.name}_bucket" if m.kind == "histogram" else m.name for m in known.values()} | _OF_THE_LIBRARY
    assert len(expressions()) > 50
    assert {name for expr in expressions() for name in _NAME.findall(expr)} - samples == set()


def test_labels_in_expressions_exist() -> None:
    """A label that is compared is one of the metric's, or one that all have."""
    common = {"service", "process", "le"}
    for expr in expressions():
        for name, braces in re.findall(r"\b(docsave_[a-z_]+)\{([^}]*)\}", expr):
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", braces))
            assert labels <= {*declared()[name.removesuffix("_bucket")].labels, *common}, expr


def test_every_alert_says_what_to_do() -> None:
    """Its link leads to a heading of docs/operations.md of its own, and all headings there are alerts."""
    anchors = re.findall(r"^### (\w+)$", OPERATIONS.partition("\n## Alerts\n")[2].partition("\n## ")[0], re.MULTILINE)
    assert anchors == [rule["alert"] for rule in rules()]
    for rule in rules():
        assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_the_table_of_metrics_is_true() -> None:
    """docs/operations.md has a row with type, labels and meaning of each metric, and no other."""
    section = OPERATIONS.partition("\n## Metrics\n")[2].partition("\n## ")[0]
    rows = set(re.findall(r"^\| `docsave_.*\|$", section, re.MULTILINE))
    expected = {
        f"| `{m.name}` | {m.kind} | {', '.join(f'`{label}`' for label in m.labels)} | {m.help} |"
        for m in declared().values()
    }
    assert rows == expected


def test_names_follow_the_conventions() -> None:
    """Counters end in _total, times in _seconds, sizes in _bytes; what is counted is no gauge."""
    for metric in declared().values():
        assert re.fullmatch(r"docsave_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.kind != "histogram" or metric.name.endswith("_seconds")
        assert metric.help.endswith("."), metric.name


def test_the_example_configuration_can_be_read() -> None:
    """It names the file of the rules."""
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    assert config["rule_files"] == ["alerts.yml"]
    assert config["scrape_configs"][0]["job_name"] == "docsave"
