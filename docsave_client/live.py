"""One Socket.IO connection: identified, then its events in order until it ends."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from typing import Any

import engineio
import socketio
from socketio.exceptions import SocketIOError

from docsave_client.errors import ClientError, NotReachable, refusal

CONNECT_SECONDS = 10.0
ACK_SECONDS = 15.0
QUEUE_EVENTS = 10_000
"""Events that wait for a slow handler; when there are more the connection is given up and the cursor brings them."""

LOOK_SECONDS = 0.5
"""How often whoever waits for an event is asked whether to go on."""

_NOTIFICATIONS = ("Notify_File_create", "Notify_File_update", "Notify_File_delete")
_LATER = ("unavailable", "rpc_timeout", "database_unavailable", "too_many_sockets", "too_many_requests")
"""Refusals that may be over in a moment."""

_CLOSED = object()


class _InOrder(engineio.Client):
    """The library starts a thread for each message, and threads overtake each other."""

    def _trigger_event(self, event: str, *args: Any, **kwargs: Any) -> Any:
        return super()._trigger_event(event, *args, **{**kwargs, "run_async": False})


class _SocketIO(socketio.Client):
    def _engineio_client_class(self) -> Any:
        return _InOrder


class LiveConnection:
    """Connects, says who it is with ``greeting`` (``User_connect`` or ``Admin_connect``), and listens.

    ``ack`` is the server's answer. ``NotReachable`` when there is no connection or no answer; ``Refused`` and its
    kinds when the server says no.
    """

    def __init__(self, url: str, greeting: str, token: str, since: str | None) -> None:
        self._events: queue.Queue[Any] = queue.Queue(QUEUE_EVENTS)
        self._overflowed = False
        self._client = _SocketIO(reconnection=False, handle_sigint=False)
        self._client.on("*", self._hear)
        self._client.on("disconnect", self._end)
        try:
            self._connect(url)
            payload = {"token": token} if since is None else {"token": token, "since": since}
            ack = self._client.call(greeting, payload, timeout=ACK_SECONDS)
            self.ack = _checked(ack)
        except (SocketIOError, OSError, ValueError) as exc:
            self.close()
            raise NotReachable(f"{url} cannot be reached") from exc
        except BaseException:
            self.close()
            raise

    def events(self) -> Iterator[dict[str, Any] | None]:
        """What comes, in order, until the connection ends; None when nothing came for a moment."""
        while True:
            try:
                event = self._events.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                if self._overflowed or not self._client.connected:
                    return
                event = None
            if event is _CLOSED:
                return
            yield event

    def _connect(self, url: str) -> None:
        """By websocket; by polling where something in between does not let it through. Not the other way round: the
        requests of a poller may reach different processes of the server."""
        try:
            self._client.connect(url, transports=["websocket"], wait_timeout=CONNECT_SECONDS)
        except SocketIOError:
            self._client.connect(url, transports=["polling"], wait_timeout=CONNECT_SECONDS)

    def close(self) -> None:
        """Leave."""
        with contextlib.suppress(Exception):  # whatever state the library is in, we are done with it
            self._client.disconnect()

    def _hear(self, name: str, *args: Any) -> None:
        if name not in _NOTIFICATIONS or self._overflowed or not args or not isinstance(args[0], dict):
            return
        try:
            self._events.put_nowait(args[0])
        except queue.Full:
            self._overflowed = True

    def _end(self, *_reason: Any) -> None:
        with contextlib.suppress(queue.Full):
            self._events.put_nowait(_CLOSED)


def _checked(ack: Any) -> dict[str, Any]:
    if not isinstance(ack, dict):
        raise ClientError("the server does not answer as docsave does")
    if ack.get("ok") is True:
        return ack
    code = str(ack.get("code"))
    message = str(ack.get("message", code))
    if code in _LATER:
        raise NotReachable(message)
    statuses = {"unauthenticated": 401, "forbidden": 403, "insufficient_scope": 403, "cursor_expired": 410}
    raise refusal(code, statuses.get(code, 400), message)
