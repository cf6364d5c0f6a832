"""What the supervisor is told."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from docsave_services.runtime.programs import SERVICES
from docsave_services.runtime.supervisor_config import STOP_LIMIT_SECONDS, Group, groups, write


def _read_back(path: Path) -> ServerOptions:
    options = ServerOptions()
    options.realize(["--configuration", str(path), "--nodaemon"])
    return options


@pytest.mark.parametrize("name", ["plain", "100% of my data", 'it\'s "mine"'])
def test_awkward_directories_reach_the_programs_as_they_are(tmp_path, name):
    """Percent signs, spaces and quotes in a path are not the supervisor's business."""
    directory = tmp_path / name
    directory.mkdir()
    write(tmp_path / "s.conf", directory, [Group("inner", 1, 1, {"files": ["/bin/echo", str(directory)]})])
    options = _read_back(tmp_path / "s.conf")
    program = options.process_group_configs[0].process_configs[0]
    assert shlex.split(program.command) == ["/bin/echo", str(directory)]
    assert options.pidfile == str(directory / "supervisord.pid")


def test_every_service_is_restarted_and_stops_in_time(tmp_path):
    """All services restart whatever happens; the edge stops first; together they stay below the limit."""
    write(tmp_path / "s.conf", tmp_path, groups(None, tmp_path))
    read = {group.name: group for group in _read_back(tmp_path / "s.conf").process_group_configs}
    services = {p.name: p for name in ("inner", "edge") for p in read[name].process_configs}
    assert set(services) == set(SERVICES)
    assert all(p.autorestart and p.startretries > 10_000 and p.killasgroup for p in services.values())
    assert read["edge"].priority > read["inner"].priority
    assert sum(max(p.stopwaitsecs for p in group.process_configs) for group in read.values()) < STOP_LIMIT_SECONDS
