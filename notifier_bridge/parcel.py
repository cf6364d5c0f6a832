"""Packets on their way to many sockets: packed once, and written at once to those that have nothing waiting.

A writer would be woken for each socket, and pack the same text again: for 3,000 sockets that is two thirds of the time.
And each write costs as much as a packet's whole way through Python, so packets that come together leave together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from notifier_bridge.strict_websocket import StrictWebSocket


class Parcel:
    """Engine.IO packets in their order, the same for each socket they go to."""

    def __init__(self, packets: Sequence[Any]) -> None:
        self._packets = packets
        self._frames = b""

    def left_after_writing(self, socket: Any) -> Sequence[Any]:
        """What must be queued for ``socket``: nothing, the rest of what was written, or all. Never waits.

        A connection that is gone is its reader's to find.
        """
        if not _is_free(socket):
            return self._packets
        try:
            rest = socket.wire.send_now(self._frames_by(socket.wire))
        except OSError:
            return ()
        return [_Rest(rest)] if rest else ()

    def _frames_by(self, wire: StrictWebSocket) -> bytes:
        if not self._frames:
            self._frames = b"".join(wire.frame_of(packet.encode()) for packet in self._packets)
        return self._frames


def _is_free(socket: Any) -> bool:
    """Whether it is a websocket whose writer waits for a packet, so that nothing is on its way."""
    return bool(
        socket.queue.getters
        and socket.queue.empty()
        and socket.upgraded
        and not socket.upgrading
        and hasattr(socket, "wire")
    )


@dataclass(slots=True)
class _Rest:
    """Takes the place of a packet in a queue."""

    frames: memoryview

    def encode(self) -> memoryview:
        """What the writer sends, as it is."""
        return self.frames
