"""The supervisor's configuration: what is started, restarted and, in which order, stopped."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from docsave_services.runtime.broker import BrokerNode
from docsave_services.runtime.environment import AMQP_URI, ROOT
from docsave_services.runtime.leash import leashed
from docsave_services.runtime.programs import SERVICES, bootstrap_command, own_amqp_uri, service_command

_NEVER_GIVE_UP = 1_000_000

STOP_LIMIT_SECONDS = 15
"""All groups together stay below this; where they do not, ``make run`` ends what is left by force."""


@dataclass(frozen=True, slots=True)
class Group:
    """Programs that stop together. A group with a higher priority stops before one with a lower one."""

    name: str
    priority: int
    stop_seconds: int
    programs: dict[str, list[str]]
    one_shot: bool = False
    output: str = "/dev/fd/1"


def groups(node: BrokerNode | None, run_dir: Path) -> list[Group]:
    """The system from the bottom up; ``node`` is None when the broker is somebody else's."""
    inner = {name: service_command(name) for name in ("users", "files", "webhooks", "backup")}
    edge = {name: service_command(name) for name in ("gateway", "notifier")}
    announce = [sys.executable, "-m", "docsave_services.runtime.announce"]
    broker = _broker_groups(node, str(run_dir / "broker.log")) if node else []
    return [
        *broker,
        Group("inner", 30, 4, inner),
        Group("edge", 40, 4, edge),
        Group("once", 50, 1, {"bootstrap": bootstrap_command(), "announce": announce}, one_shot=True),
    ]


def _broker_groups(node: BrokerNode, output: str) -> list[Group]:
    return [
        Group("names", 10, 1, {"epmd": leashed(node.command("epmd"))}, output=output),
        Group("bus", 20, 3, {"broker": leashed(node.command("server"))}, output=output),
    ]


def write(path: Path, run_dir: Path, wanted: list[Group]) -> None:
    """Write the configuration; the environment is the supervisor's own and is not repeated in it.

    With a private broker each service gets an account of its own there.
    """
    own_accounts = any(group.name == "bus" for group in wanted)
    lines = [
        "[supervisord]",
        "nodaemon=true",
        f"logfile={_value(run_dir / 'supervisord.log')}",
        "logfile_maxbytes=10MB",
        "logfile_backups=1",
        "loglevel=warn",
        f"pidfile={_value(run_dir / 'supervisord.pid')}",
        f"childlogdir={_value(run_dir)}",
        f"directory={_value(ROOT)}",
        # Root may run it in a container or a test machine; supervisord otherwise complains at each start.
        *(["user=root"] if os.geteuid() == 0 else []),
    ]
    for group in wanted:
        lines += ["", f"[group:{group.name}]", f"programs={','.join(group.programs)}", f"priority={group.priority}"]
        for name, command in group.programs.items():
            lines += ["", f"[program:{name}]", *_program(group, command)]
            if own_accounts and name in SERVICES:
                lines.append(f'environment={AMQP_URI}="%(ENV_{own_amqp_uri(name)})s"')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _program(group: Group, command: list[str]) -> list[str]:
    return [
        f"command={_value(shlex.join(command))}",
        f"autorestart={'unexpected' if group.one_shot else 'true'}",
        f"startsecs={0 if group.one_shot else 1}",
        f"startretries={_NEVER_GIVE_UP}",
        f"stopwaitsecs={group.stop_seconds}",
        "stopasgroup=true",
        "killasgroup=true",
        "redirect_stderr=true",
        f"stdout_logfile={_value(group.output)}",
        f"stdout_logfile_maxbytes={'0' if group.output.startswith('/dev/') else '10MB'}",
        "stdout_logfile_backups=1",
    ]


def _value(text: Path | str) -> str:
    """``text`` as supervisord reads it back: it expands ``%`` everywhere."""
    return str(text).replace("%", "%%")
