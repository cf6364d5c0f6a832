"""python-socketio with every input checked and every queue bounded.

The library trusts its clients in ways that the open internet does not deserve: a client may send ``disconnect`` as an
event, binary packets that never end, or 200 malformed messages a second, each of which logs a traceback; and what a
stalled reader does not read is queued for ever. Here such a socket is closed with one log line.
"""

from __future__ import annotations

import logging
import sys
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import engineio
import engineio.exceptions
import engineio.packet as engine_packet
import eventlet
import eventlet.queue
import socketio
import socketio.exceptions
import socketio.packet as socket_packet

from docsave_services.log import get_logger
from notifier_bridge.limits import GOODBYE_SECONDS, MESSAGE_BYTES_MAX, POLL_PACKETS_MAX, QUEUE_PACKETS_MAX
from notifier_bridge.pace import Pace
from notifier_bridge.parcel import Parcel
from notifier_bridge.strict_websocket import StrictWebSocketWSGI

_log = get_logger(__name__)

NAMESPACE = "/"
_RESERVED = ("connect", "disconnect")
_BINARY_PACKETS = ("5", "6")


@dataclass(frozen=True, slots=True)
class Ack:
    """A handler's answer. ``then`` runs when it has been queued for the client, before anything else can happen."""

    payload: dict[str, Any]
    then: Callable[[], None] | None = None

    @classmethod
    def error(cls, code: str, message: str, then: Callable[[], None] | None = None) -> Ack:
        """A refusal with a stable code and one sentence."""
        return cls({"ok": False, "code": code, "message": message}, then)

    @property
    def ok(self) -> bool:
        """Whether the wish was granted."""
        return self.payload["ok"] is True


class Watcher(Protocol):
    """Is told of sockets coming and going, in the green thread where it happens; must not wait."""

    def has_room_for(self, address: str) -> bool:
        """Whether that address may open one more transport."""
        ...

    def opened(self, eio_sid: str, address: str) -> None:
        """A transport is open; nobody has said who they are."""

    def refused(self, eio_sid: str) -> None:
        """Its CONNECT was refused; the library would leave the transport open."""

    def left(self, sid: str) -> None:
        """The Socket.IO session has ended, perhaps not the transport."""

    def gone(self, eio_sid: str) -> None:
        """The transport is closed."""


ADDRESS_KEY = "docsave.client_address"
"""Where the WSGI surface leaves the client's address in the environment."""


def address_of(environ: dict[str, Any]) -> str:
    """The address a transport comes from."""
    return str(environ.get(ADDRESS_KEY) or environ.get("REMOTE_ADDR", ""))


def _poll_few(socket: Any) -> list[Any]:
    """What Engine.IO's ``Socket.poll`` does, at most ``POLL_PACKETS_MAX`` packets at a time; ``[]`` at the end."""
    queue = socket.queue
    try:
        packets = [queue.get(timeout=socket.server.ping_interval + socket.server.ping_timeout)]
    except eventlet.queue.Empty as exc:
        raise engineio.exceptions.QueueEmpty from exc
    while packets[-1] is not None and len(packets) < POLL_PACKETS_MAX and not queue.empty():
        packets.append(queue.get(block=False))
    if packets[-1] is None and len(packets) > 1:
        queue.put(packets.pop())  # the end comes next time, after what is before it
    return [packet for packet in packets if packet is not None]


class StrictEngine(engineio.Server):
    """An Engine.IO server that never waits for a client while it closes one."""

    def disconnect(self, sid: str | None = None) -> None:
        sockets = list(self.sockets.values()) if sid is None else [self.sockets.get(sid)]
        for socket in sockets:
            if socket is not None:
                socket.close(wait=False)


class StrictServer(socketio.Server):
    """A Socket.IO server on eventlet, one process, default namespace, JSON only.

    The events of one socket are handled one after the other (``async_handlers=False``): a flood fills the client's
    own connection instead of this process. Handlers return ``Ack``.
    """

    def __init__(self, cors_origins: Iterable[str]) -> None:
        quiet = _LibraryLog("notifier_bridge.library")
        super().__init__(
            async_mode="eventlet",
            async_handlers=False,
            # An empty list would switch the origin check off; None means "this host only".
            cors_allowed_origins=list(cors_origins) or None,
            max_http_buffer_size=MESSAGE_BYTES_MAX,
            json=_SafeJson,
            logger=quiet,
            engineio_logger=quiet,
        )
        self.eio._async = {**self.eio._async, "websocket": StrictWebSocketWSGI}
        self.watcher: Watcher | None = None
        self._after_connect: dict[str, Callable[[], None]] = {}
        self._filling: set[str] = set()

    def eio_sid_of(self, sid: str) -> str | None:
        """The transport of a Socket.IO session, or None when it has gone."""
        eio_sid: str | None = self.manager.eio_sid_from_sid(sid, NAMESPACE)
        return eio_sid if eio_sid in self.eio.sockets else None

    def sid_of(self, eio_sid: str) -> str | None:
        """The Socket.IO session on a transport, or None."""
        sid: str | None = self.manager.sid_from_eio_sid(eio_sid, NAMESPACE)
        return sid

    def is_open(self, eio_sid: str) -> bool:
        """Whether the transport is there and not closing."""
        socket = self.eio.sockets.get(eio_sid)
        return socket is not None and not socket.closed

    def waiting_packets(self, eio_sid: str) -> int:
        """How many packets the reader has not taken yet."""
        socket = self.eio.sockets.get(eio_sid)
        return 0 if socket is None else int(socket.queue.qsize())

    def take_filling(self) -> set[str]:
        """The transports whose queue got more than half full since the last call."""
        filling, self._filling = self._filling, set()
        return filling

    def close_transport(self, eio_sid: str) -> None:
        """Close after what is queued; what does not go within ``GOODBYE_SECONDS`` is cut off."""
        socket = self.eio.sockets.get(eio_sid)
        if socket is not None:
            socket.close(wait=False)
            eventlet.spawn_after(GOODBYE_SECONDS, self._cut, socket)

    def drop(self, eio_sid: str, reason: str) -> None:
        """Close at once and forget what is queued: for a reader that has stalled."""
        socket = self.eio.sockets.get(eio_sid)
        if socket is not None and not socket.closed:
            _log.warning("socket_dropped", reason=reason, socket=eio_sid)
            socket.closed = True  # nothing is queued for it from here on
            eventlet.spawn(self._end, socket)

    def broadcast(self, messages: Iterable[tuple[str, Any, Iterable[str]]]) -> None:
        """Send each ``(event, payload, rooms)`` to the members of its rooms, in order. A member is in one room at most.

        Never waits. All is packed before any is sent, so that an error in one leaves nothing half done.
        """
        bound_for: dict[str, list[Any]] = defaultdict(list)
        for event, payload, rooms in messages:
            text = self.packet_class(socket_packet.EVENT, namespace=NAMESPACE, data=[event, payload]).encode()
            packet = engine_packet.Packet(engine_packet.MESSAGE, text)
            for room in rooms:
                bound_for[room].append(packet)
        for room, packets in bound_for.items():
            parcel = Parcel(packets)
            for _, eio_sid in self.manager.get_participants(NAMESPACE, room):
                self._send_parcel(eio_sid, parcel)

    def forget_ghosts(self) -> None:
        """Drop sessions whose transport closed while their CONNECT was being looked at; the library keeps them."""
        sessions = self.manager.rooms.get(NAMESPACE, {}).get(None, {})
        for sid, eio_sid in list(sessions.items()):
            if eio_sid not in self.eio.sockets and not self.manager.is_pre_connected(sid, NAMESPACE):
                self.manager.disconnect(sid, NAMESPACE, ignore_queue=True)

    def _end(self, socket: Any) -> None:
        self._handle_eio_disconnect(socket.sid, self.reason.SERVER_DISCONNECT)
        self._cut(socket)

    def _cut(self, socket: Any) -> None:
        while not socket.queue.empty():
            socket.queue.get(block=False)
        socket.queue.put(None)
        self.eio.sockets.pop(socket.sid, None)
        wire = getattr(socket, "wire", None)
        if wire is not None:
            wire.cut()

    # What follows replaces methods of the library.

    def _engineio_server_class(self) -> type[engineio.Server]:
        return StrictEngine

    def _send_packet(self, eio_sid: str, pkt: Any) -> None:
        encoded = pkt.encode()
        for part in encoded if isinstance(encoded, list) else [encoded]:
            self._send_eio_packet(eio_sid, engine_packet.Packet(engine_packet.MESSAGE, part))

    def _send_eio_packet(self, eio_sid: str, eio_pkt: Any) -> None:
        self._send_parcel(eio_sid, Parcel([eio_pkt]))

    def _send_parcel(self, eio_sid: str, parcel: Parcel) -> None:
        """Never waits, so that a fan-out is one step for every other green thread."""
        socket = self.eio.sockets.get(eio_sid)
        if socket is None or socket.closed:
            return
        for packet in parcel.left_after_writing(socket):
            waiting = socket.queue.qsize()
            if waiting >= QUEUE_PACKETS_MAX:
                self.drop(eio_sid, "queue_full")
                return
            socket.queue.put(packet)
            if waiting >= QUEUE_PACKETS_MAX // 2:
                self._filling.add(eio_sid)

    def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        super()._handle_eio_connect(eio_sid, environ)
        socket = self.eio.sockets[eio_sid]
        socket.poll = partial(_poll_few, weakref.proxy(socket))  # not the socket in itself: that would be a circle
        socket.pace = Pace()
        if self.watcher is not None:
            self.watcher.opened(eio_sid, address_of(environ))

    def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        super()._handle_eio_disconnect(eio_sid, reason)
        if self.watcher is not None:
            self.watcher.gone(eio_sid)

    def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        socket = self.eio.sockets.get(eio_sid)
        if socket is None:
            return
        socket.pace.take()
        if socket.pace.hopeless:
            self.drop(eio_sid, "too_many_messages")
            return
        try:
            if not isinstance(data, str) or data.startswith(_BINARY_PACKETS):
                raise ValueError("not a text packet")  # noqa: TRY301 - one place closes
            super()._handle_eio_message(eio_sid, data)
        except Exception as exc:  # whatever the parser stumbles over
            _log.warning("malformed_packet", socket=eio_sid, error=type(exc).__name__)
            self.close_transport(eio_sid)

    def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        super()._handle_connect(eio_sid, namespace, data)
        then = self._after_connect.pop(eio_sid, None)
        if then is not None:
            then()

    def _handle_event(self, eio_sid: str, namespace: str | None, id: int | None, data: Any) -> None:  # noqa: A002
        if not isinstance(data, list) or not data or not isinstance(data[0], str) or data[0] in _RESERVED:
            raise ValueError("not an event")
        if not self.manager.is_connected(self.sid_of(eio_sid), NAMESPACE):
            raise ValueError("an event before CONNECT")
        super()._handle_event(eio_sid, namespace, id, data)

    def _handle_event_internal(
        self,
        server: Any,
        sid: str,
        eio_sid: str,
        data: list[Any],
        namespace: str,
        id: int | None,  # noqa: A002
    ) -> None:
        socket = self.eio.sockets.get(eio_sid)
        if socket is not None and socket.pace.over:
            ack = Ack.error("too_many_requests", "this socket sends faster than it may; slow down")
        else:
            ack = self._trigger_event(data[0], namespace, sid, *data[1:])
        if id is not None:
            packet = self.packet_class(socket_packet.ACK, namespace=namespace, id=id, data=[ack.payload])
            self._send_packet(eio_sid, packet)
        if ack.then is not None:
            ack.then()

    def _trigger_event(self, event: str, namespace: str, *args: Any) -> Any:
        if event == "connect":
            return self._trigger_connect(*args)
        if event == "disconnect":
            if self.watcher is not None:
                self.watcher.left(args[0])
            return None
        handler = self.handlers.get(namespace, {}).get(event)
        return handler(*args) if handler else Ack.error("unknown_event", "there is no such event")

    def _trigger_connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        handler = self.handlers.get(NAMESPACE, {}).get("connect")
        ack: Ack = handler(sid, auth) if handler else Ack({"ok": True})
        eio_sid = self.manager.eio_sid_from_sid(sid, NAMESPACE)
        if not ack.ok:
            if self.watcher is not None and eio_sid is not None:
                self.watcher.refused(eio_sid)
            raise socketio.exceptions.ConnectionRefusedError(ack.payload["message"], {"code": ack.payload["code"]})
        if ack.then is not None and eio_sid is not None:
            self._after_connect[eio_sid] = ack.then


class _SafeJson:
    """JSON whose failures are all ``ValueError``: the library does not expect ``RecursionError`` from deep nesting."""

    dumps = staticmethod(engine_packet.Packet.json.dumps)
    _loads = staticmethod(engine_packet.Packet.json.loads)

    @classmethod
    def loads(cls, text: str) -> Any:
        """Read JSON."""
        try:
            return cls._loads(text)
        except RecursionError as exc:
            raise ValueError("nested too deeply") from exc


class _LibraryLog(logging.Logger):
    """The library's log, without tracebacks for what clients send and without their repetition."""

    def __init__(self, name: str) -> None:
        super().__init__(name, logging.WARNING)
        self.parent = logging.getLogger()
        self._said: set[str] = set()

    def exception(self, msg: object, *args: object, **_: Any) -> None:
        """One line the first time for each kind; sockets that misbehave are counted elsewhere."""
        kind = f"{msg}: {type(sys.exc_info()[1]).__name__}"
        if kind not in self._said and len(self._said) < 100:
            self._said.add(kind)
            self.warning("%s", kind)
