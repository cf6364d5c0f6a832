"""A real nginx with the configuration of the containers, in front of processes on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import requests

from docsave_services.runtime.environment import ROOT
from docsave_services.runtime.ports import free_ports
from tests.support.programs import Program
from tests.support.waiting import wait_until

NOBODY = (1,)
"""A port on which nothing listens."""


class Nginx:
    """Passes ``url`` on to the gateways and ``socket_url`` to the notifiers on these ports, until ``stop``."""

    def __init__(
        self,
        directory: Path,
        gateways: Sequence[int] = NOBODY,
        notifiers: Sequence[int] = NOBODY,
        replace: Mapping[str, str] | None = None,
    ) -> None:
        port, socket_port = free_ports(2)
        self.url, self.socket_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{socket_port}"
        changes = {
            "worker_processes auto;": "worker_processes 1;" + (" user root;" if os.geteuid() == 0 else ""),
            "pid /tmp": f"pid {directory}",
            "http {": "http {\n" + _temporary_paths(directory),
            "server gateway:8000 max_fails=1 fail_timeout=2s;": _servers(gateways),
            "server notifier:8001 max_fails=1 fail_timeout=2s;": _servers(notifiers),
            "listen 8000": f"listen 127.0.0.1:{port}",
            "listen 8001": f"listen 127.0.0.1:{socket_port}",
            "/etc/nginx/tls": str(directory),
            **(replace or {}),
        }
        text = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text()
        for before, after in changes.items():
            assert before in text, before
            text = text.replace(before, after)
        configuration = directory / "nginx.conf"
        configuration.write_text(text)
        found = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        assert found is not None, "nginx is not installed"
        self._program = Program([found, "-c", str(configuration), "-g", "daemon off;"], directory / "nginx.log")
        wait_until(self._answers, 20)

    def stop(self) -> None:
        """End it."""
        self._program.stop()

    def output(self) -> str:
        """Its log."""
        return self._program.output()

    def _answers(self) -> bool:
        try:
            return requests.get(self.socket_url, timeout=5).status_code == 404
        except requests.ConnectionError:
            return False


def _servers(ports: Sequence[int]) -> str:
    return " ".join(f"server 127.0.0.1:{port} max_fails=1 fail_timeout=2s;" for port in ports)


def _temporary_paths(directory: Path) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "".join(f"{kind}_temp_path {directory}/{kind};\n" for kind in kinds)
