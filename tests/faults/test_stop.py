"""Ctrl-C while people work."""

from __future__ import annotations

import signal

import pytest

pytestmark = [pytest.mark.fault, pytest.mark.process]

PORTION = 40


def test_nothing_is_lost_when_the_system_is_stopped_and_started(on_sqlite, attack_on):
    """Ctrl-C under load ends every process in time, and after the next start all that was acknowledged is there."""

    def stop_and_start() -> None:
        system = on_sqlite.system
        on_sqlite.excuse_uploads_in_progress()  # a busy machine may end by force what would not end in time
        system.signal(signal.SIGINT)
        assert system.wait_ended() == 0
        assert system.processes() == {}
        system.start()

    attack = attack_on(on_sqlite)
    attack.strike(stop_and_start, PORTION)
    attack.work_undisturbed(PORTION // 2)
    attack.assert_nothing_lost()
