"""A Socket.IO client that comes back after every break and asks for what it missed."""

from __future__ import annotations

import threading
import time
from typing import Any

import socketio

from tests.support.waiting import wait_until

RECONNECT_SECONDS = 0.2
LOOK_SECONDS = 0.05
ACK_SECONDS = 10.0
SESSION_EXPIRED = "Session_expired"


class Listener:
    """Keeps every event that it hears after the place ``since``, in order. ``identify`` is its ``…_connect``.

    ``may_expire`` says that the bridge may take the token for an expired one for a while: the listener tries again.
    """

    def __init__(
        self, url: str, identify: str, token: str, since: str, transport: str = "websocket", may_expire: bool = False
    ) -> None:
        self.heard: list[dict[str, Any]] = []
        self.connections = 0
        self.problems: list[str] = []
        self.since = since
        self._url = url
        self._identify = identify
        self._token = token
        self._excused = {"unavailable"} | ({"unauthenticated", SESSION_EXPIRED} if may_expire else set())
        self._transport = transport
        self._client: socketio.Client | None = None
        self._stopped = False
        self._paused = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def place(self) -> str:
        """The cursor of the last event heard: where to go on from."""
        return str(self.heard[-1]["cursor"]) if self.heard else self.since

    def pause(self) -> None:
        """Hang up, for a while."""
        self._paused = True
        wait_until(lambda: self._client is None, ACK_SECONDS)

    def go_on(self) -> None:
        """Come back."""
        self._paused = False

    def leave(self) -> None:
        """Hang up and do not come back."""
        self._stopped = True

    def wait_gone(self) -> None:
        """Until it has hung up."""
        self._thread.join(ACK_SECONDS)

    def _run(self) -> None:
        while not self._stopped:
            if self._paused:
                time.sleep(LOOK_SECONDS)
                continue
            client = self._client = socketio.Client(reconnection=False, request_timeout=ACK_SECONDS)
            client.on("*", lambda name, *arguments, owner=client: self._hear(owner, name, *arguments))
            try:
                client.connect(self._url, transports=[self._transport], wait_timeout=ACK_SECONDS)
                ack = client.call(self._identify, {"token": self._token, "since": self.place}, timeout=ACK_SECONDS)
                if ack["ok"]:
                    self.connections += 1
                    self._stay(client)
                elif ack["code"] not in self._excused:
                    self.problems.append(f"{self._identify} was refused: {ack}")
            except socketio.exceptions.SocketIOError:
                pass  # the bridge is away, which is what these tests are about
            finally:
                self._client = None  # what a broken connection still brings does not count: the next one repeats it
                client.disconnect()
            time.sleep(RECONNECT_SECONDS)

    def _stay(self, client: socketio.Client) -> None:
        while client.connected and not self._stopped and not self._paused:
            time.sleep(LOOK_SECONDS)

    def _hear(self, owner: socketio.Client, name: str, *arguments: Any) -> None:
        if owner is not self._client or name == "Notify_File_protected":  # a hint, in no journal
            return
        if name == SESSION_EXPIRED:
            self.problems += [] if name in self._excused else ["the session is said to have expired"]
            return
        event = arguments[0]
        if name != f"Notify_{event.get('type')}":
            self.problems.append(f"{name} brought {event}")
        self.heard.append(event)
