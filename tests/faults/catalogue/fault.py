"""What a fault is, and the place it is done to."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import eventlet

from tests.faults.attack import RECOVERY_SECONDS, Attack, Target
from tests.support.cutting_proxy import CuttingProxy
from tests.support.mariadb import MariaDb
from tests.support.rabbitmq import Broker

PORTION = 40
"""Requests that people make around one fault."""


@dataclass
class Place:
    """A running system with what stands around it; what a stage does not have is None.

    ``database`` and ``bus`` are proxies of ours between the services and the servers behind them.
    """

    target: Target
    mariadb: MariaDb | None = None
    database: CuttingProxy | None = None
    broker: Broker | None = None
    bus: CuttingProxy | None = None
    backup_disk: Path | None = None
    """Where the disk below the backup directory is really mounted."""

    rng: random.Random = field(default_factory=random.Random)
    """Of the present attack: what a fault chooses at random."""


class Fault:
    """Something that happens to a running system and ends. ``name`` is its name in the report.

    ``excused`` are statuses that are allowed while it lasts, beside the usual ones: refusals, which must leave no
    trace. ``look`` is called while it lasts and returns what it finds wrong then.
    """

    databases: ClassVar[tuple[str, ...]] = ("sqlite", "mariadb")
    stage: ClassVar[str] = "plain"
    excused: ClassVar[frozenset[int]] = frozenset()
    times = 1
    hold_seconds: float = 0.0

    def __init__(self, name: str) -> None:
        self.name = name

    def inject(self, place: Place) -> None:
        """Let it happen."""
        raise NotImplementedError

    def heal(self, place: Place) -> None:
        """End it, as far as it does not end by itself."""

    def look(self, place: Place, attack: Attack) -> list[str]:
        """What is wrong while it lasts."""
        return []

    def strike(self, place: Place, attack: Attack) -> Struck:
        """Do it while people work; it is healed when this returns, and every part answers."""
        struck = Struck()

        def happen() -> None:
            with self.lasting(place):
                begun = time.monotonic()
                struck.found += self.look(place, attack)
                eventlet.sleep(max(0.0, begun + self.hold_seconds - time.monotonic()))  # how long it lasts is the fault
            struck.healed(attack)

        for _ in range(self.times):
            attack.strike(happen, PORTION)
        return struck

    @contextlib.contextmanager
    def lasting(self, place: Place) -> Iterator[None]:
        """The fault lasts as long as the block, however that ends."""
        try:
            self.inject(place)
            yield
        finally:
            self.heal(place)


@dataclass
class Struck:
    """What was seen while a fault lasted, and the most seconds that passed after it until all was well again."""

    found: list[str] = field(default_factory=list)
    recovery: float = 0.0

    def healed(self, attack: Attack) -> None:
        """The fault is over this moment: wait until an upload is acknowledged and every part answers."""
        begun = time.monotonic()
        attack.wait_served()
        attack.target.system.wait_ready(RECOVERY_SECONDS)
        self.recovery = max(self.recovery, time.monotonic() - begun)
