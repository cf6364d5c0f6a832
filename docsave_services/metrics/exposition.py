"""Prometheus' text format: this process's part of it, and many parts as one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric

from docsave_services.metrics.registry import REGISTRY

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Named:
    """The registry's metrics, each sample with the labels ``service`` and ``process``."""

    def __init__(self, labels: dict[str, str]) -> None:
        self._labels = labels

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        for metric in REGISTRY.collect():
            metric.samples = [s._replace(labels={**s.labels, **self._labels}) for s in metric.samples]
            yield metric


def process_name(service: str) -> str:
    """How this process is called beside others of the same service on the same machine."""
    return f"{service}-{os.getpid()}"


def render(service: str) -> bytes:
    """All metrics of this process."""
    named = CollectorRegistry(auto_describe=False)
    named.register(_Named({"service": service, "process": process_name(service)}))
    return generate_latest(named)


def merge(parts: Iterable[bytes]) -> bytes:
    """One text of several: the lines of a metric must stand together, whoever they come from."""
    families: dict[bytes, list[bytes]] = {}
    for part in parts:
        known: list[bytes] = []
        first = False
        for line in part.splitlines():
            if line.startswith(b"# HELP "):
                name = line.split(b" ", 3)[2]
                first = name not in families
                known = families.setdefault(name, [])
            if first or not line.startswith(b"#"):
                known.append(line)
    return b"".join(line + b"\n" for lines in families.values() for line in lines)
