"""How a service shows its metrics: declared once in its class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nameko.extensions import DependencyProvider

from docsave_services.metrics.endpoint import Endpoint, listen_in, listen_on, sockets_directory
from docsave_services.metrics.exposition import process_name, render
from docsave_services.metrics.gather import gather
from docsave_services.metrics.process import describe_process, watch_loop
from docsave_services.settings import Settings


class Metrics(DependencyProvider):
    """Serves this process's metrics, and injects itself. Of several services in one process the first one does it."""

    _shown = False

    def setup(self) -> None:
        self.settings = Settings.from_config(self.container.config)
        self._path: Path | None = None

    def start(self) -> None:
        if Metrics._shown:
            return
        Metrics._shown = True
        describe_process()
        self.container.spawn_managed_thread(watch_loop, identifier="loop_delay")
        service = self.container.service_name
        opened = listen_in(sockets_directory(self.settings.data_dir), process_name(service))
        if opened is not None:
            sock, self._path = opened
            self._serve(Endpoint(sock, lambda: render(service)))
        if self.settings.metrics_port:
            sock = listen_on(self.settings.host, self.settings.metrics_port)
            if sock is not None:
                self._serve(Endpoint(sock, lambda: render(service), self.settings.metrics_token))

    def _serve(self, endpoint: Endpoint) -> None:
        self.container.spawn_managed_thread(endpoint.run, identifier="metrics")

    def stop(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def get_dependency(self, worker_ctx: Any) -> Metrics:
        return self

    def all(self) -> bytes:
        """The metrics of this process and of all others of the data directory."""
        return gather(self.settings.data_dir, self.container.service_name)
