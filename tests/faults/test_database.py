"""The database dies while people work."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.fault, pytest.mark.process]

PORTION = 40


def test_nothing_is_lost_when_mariadb_is_killed(on_mariadb, mariadb, attack_on):
    """After kill -9 of MariaDB under load what was acknowledged is there, and what was not is whole or absent."""
    attack = attack_on(on_mariadb)
    for _ in range(2):
        attack.strike(mariadb.restart, PORTION)
    attack.work_undisturbed(PORTION // 2)
    attack.assert_nothing_lost()
