"""A client of docsave: documents over HTTP, changes over Socket.IO. Also a command line: ``python -m docsave_client``.

It needs nothing of the server's packages; the directory can be copied to another machine with ``requests``,
``python-socketio[client]`` and ``rich``.
"""

from docsave_client.client import Client
from docsave_client.errors import (
    ClientError,
    CursorExpired,
    Damaged,
    NotFound,
    NotLoggedIn,
    NotReachable,
    Refused,
    StoppedByCaller,
)
from docsave_client.mirror import Mirror

__all__ = [
    "Client",
    "ClientError",
    "CursorExpired",
    "Damaged",
    "Mirror",
    "NotFound",
    "NotLoggedIn",
    "NotReachable",
    "Refused",
    "StoppedByCaller",
]
