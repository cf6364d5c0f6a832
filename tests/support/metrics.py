"""The metrics that the code declares, and scrapes."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from types import ModuleType

import requests
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from docsave_services.metrics.registry import Gauge

PACKAGES = ("docsave_services", "gateway_http", "notifier_bridge", "backup")
NOT_ASKED = ("docsave_services.db.migrations",)


@dataclass(frozen=True, slots=True)
class Declared:
    """A metric as it is declared; ``name`` as the samples have it, without ``_bucket``."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]


def declared() -> dict[str, Declared]:
    """All of ours by name; those of the process come from the library."""
    found = [_declared(value) for module in _modules() for value in vars(module).values()]
    ours = {one.name: one for one in found if one is not None}
    up = Declared("docsave_process_up", "gauge", "Whether a process of this machine answered.", ())
    return ours | {up.name: up}


def _modules() -> list[ModuleType]:
    names = [
        info.name
        for package in PACKAGES
        for info in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
        if not info.name.startswith(NOT_ASKED) and not info.name.endswith("__main__")
    ]
    return [importlib.import_module(name) for name in names]


def _declared(value: object) -> Declared | None:
    if isinstance(value, Gauge):
        return Declared(value.name, "gauge", value.help, value.labels)
    if isinstance(value, MetricWrapperBase):
        name = value._name + ("_total" if value._type == "counter" else "")
        return Declared(name, value._type, value._documentation, tuple(value._labelnames))
    return None


class Scrape:
    """What ``/metrics`` said."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples = [sample for family in self.families.values() for sample in family.samples]

    @classmethod
    def of(cls, base_url: str, **headers: str) -> Scrape:
        """A fresh one."""
        answer = requests.get(f"{base_url}/metrics", headers=headers, timeout=10)
        assert answer.status_code == 200, answer.text
        return cls(answer.text)

    @property
    def names(self) -> set[str]:
        """Names of all samples."""
        return {sample.name for sample in self.samples}

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples with that name and these labels; 0 where there is none."""
        return sum(s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items())
