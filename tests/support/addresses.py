"""Clients at other addresses of this machine."""

from __future__ import annotations

from typing import Any

import requests
import requests.adapters


def session_from(address: str) -> requests.Session:
    """HTTP that comes from that address of this machine."""

    class FromAddress(requests.adapters.HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, source_address=(address, 0), **kwargs)

    session = requests.Session()
    session.mount("http://", FromAddress())
    return session
