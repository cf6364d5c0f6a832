"""kill -9 of any one service while people work."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.fault, pytest.mark.process]

KILLS = 2
PORTION = 40


@pytest.mark.parametrize(
    ("service", "database"),
    [
        ("gateway", "on_sqlite"),
        ("users", "on_sqlite"),
        ("files", "on_sqlite"),
        ("notifier", "on_sqlite"),
        ("backup", "on_sqlite"),
        ("files", "on_mariadb"),
        ("backup", "on_mariadb"),
    ],
)
def test_nothing_is_lost_when_a_service_is_killed(request, attack_on, service, database):
    """Acknowledged work survives kill -9 of any service, is heard and backed up once, and nothing else exists."""
    target = request.getfixturevalue(database)
    attack = attack_on(target)
    for _ in range(KILLS):
        attack.strike(lambda: target.kill(service), PORTION)
    attack.work_undisturbed(PORTION // 2)
    attack.assert_nothing_lost()
    if service == "notifier":
        assert all(listener.connections > 1 for listener in attack.listeners.values())
