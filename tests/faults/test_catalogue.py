"""A selection of the catalogue's faults: while people work something breaks, and nothing may be missing afterwards."""

from __future__ import annotations

import random

import pytest

from tests.faults.catalogue import ALL
from tests.faults.catalogue.fault import PORTION, Place
from tests.faults.catalogue.fuzz import ALL_EDGES

pytestmark = [pytest.mark.fault, pytest.mark.process]


FAULTS = {**ALL, ALL_EDGES.name: ALL_EDGES}


@pytest.mark.parametrize(
    ("fault", "database"),
    [
        ("kill-gateway", "sqlite"),
        ("kill-users", "sqlite"),
        ("kill-files", "sqlite"),
        ("kill-notifier", "sqlite"),
        ("kill-backup", "sqlite"),
        ("kill-files", "mariadb"),
        ("kill-backup", "mariadb"),
        ("mariadb-killed", "mariadb"),
        ("broker-killed", "sqlite"),
        ("broker-wiped", "sqlite"),
        ("broker-memory-alarm", "sqlite"),
        ("stop-and-start", "sqlite"),
        ("fuzz-everywhere", "sqlite"),
    ],
)
def test_nothing_is_lost(request, attack_on, mariadb, fault, database):
    """What was acknowledged is kept, heard and backed up once, what was not is whole or absent; all recovers itself."""
    target = request.getfixturevalue(f"on_{database}")
    attack = attack_on(target)
    place = Place(target, mariadb, rng=random.Random(attack.seed))
    struck = FAULTS[fault].strike(place, attack)
    attack.work_undisturbed(PORTION // 2)
    attack.assert_nothing_lost()
    assert struck.found == []
    if fault == "kill-notifier":
        assert all(listener.connections > 1 for listener in attack.listeners.values())
