"""The metrics of this process. Only green threads count: the locks inside are theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

disable_created_metrics()  # type: ignore[no-untyped-call] # a time beside each counter says nothing here

REGISTRY = CollectorRegistry(auto_describe=False)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Buckets of what usually takes milliseconds and has a deadline of seconds."""

LONG_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
"""Buckets of what may take minutes: bodies in both directions, copies."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """A value that is read rather than counted. ``labels`` are the names of what tells its readings apart."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


class Reading(NamedTuple):
    """A gauge's value at this moment, with the values of its labels."""

    gauge: Gauge
    value: float
    labels: tuple[str, ...] = ()


class Readings:
    """Gauges of one part of the process: what was last published, or what ``source`` says when asked.

    ``source`` must be quick and must not wait: it runs in every scrape. What has to ask a database or a disk is read
    by a green thread of its own and published (see ``metrics.watch``).
    """

    def __init__(self, source: Callable[[], Iterable[Reading]] | None = None) -> None:
        self._source = source
        self._published: list[Reading] = []

    def publish(self, readings: Iterable[Reading]) -> None:
        """These, and no others, until the next time."""
        self._published = list(readings)

    def describe(self) -> Iterable[Metric]:
        """Nothing: the registry would ask for values before there are any."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        families: dict[str, GaugeMetricFamily] = {}
        for gauge, value, labels in self._source() if self._source else self._published:
            family = families.get(gauge.name)
            if family is None:
                family = families[gauge.name] = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
            family.add_metric(labels, value)
        yield from families.values()
