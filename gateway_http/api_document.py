"""``GET /openapi.json``: the document of the API, made once, when the gateway starts."""

from __future__ import annotations

import json
from typing import Any

from nameko.extensions import DependencyProvider

from gateway_http.openapi import document
from gateway_http.static_files import StaticFile


class ApiDocumentProvider(DependencyProvider):
    """Injects the document of the service that it is part of, as a file."""

    def setup(self) -> None:
        content = json.dumps(document(self.container.service_cls), ensure_ascii=False, separators=(",", ":")).encode()
        self._file = StaticFile.of(content, "application/json")

    def get_dependency(self, worker_ctx: Any) -> StaticFile:
        return self._file
