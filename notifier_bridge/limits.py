"""The bridge's limits, with their units, in one place."""

from __future__ import annotations

MESSAGE_BYTES_MAX = 64 * 1024
"""Most bytes of one message or polling body from a client; a token and an event need a few hundred."""

QUEUE_PACKETS_MAX = 1000
"""Packets that wait for one reader. From half of it on its events wait in the feed instead, at its own pace; at all of
it the reader is disconnected, which its cursor makes safe."""

POLL_PACKETS_MAX = 16
"""Packets in one polling answer: python-engineio's client gives up a connection that sends more at once."""

CONNECTIONS_MAX = 10_000
"""TCP connections of one process; more are closed at once."""

SOCKET_TIMEOUT_SECONDS = 30.0
"""A request that stops arriving is dropped after this time; open websockets and long polls are not affected."""

URL_BYTES_MAX = 8 * 1024

SOCKETS_PER_ADDRESS_MAX = 5000
STRANGERS_PER_ADDRESS_MAX = 1000
"""Open sockets of one address, and those of them that have not said who they are; more are answered 429. Behind a
proxy that is not in DOCSAVE_TRUSTED_PROXIES all clients have its address."""

SOCKETS_PER_USER_MAX = 200
"""Identified sockets of one user."""

MESSAGES_AT_ONCE_MAX = 300
MESSAGES_PER_SECOND = 100
"""Messages from one socket; faster ones are not looked at and acknowledged with ``too_many_requests``."""

MESSAGES_EXCESS_MAX = 1000
"""A socket that goes on like that is closed."""

IDENTIFY_SECONDS = 10.0
"""A socket that has not said who it is by then is closed (CONTRACT, section 5)."""

GOODBYE_SECONDS = 1.0
"""Between a last message (a refusal, Session_expired) and the end of the transport, so that it arrives."""

SWEEP_SECONDS = 1.0
"""How often the limits in time are looked at."""

FILES_DEADLINE_SECONDS = 2.5
"""Shorter than elsewhere, because a socket's owner waits, and so that a stop is never held up longer."""

REPLAY_EVENTS_MAX = 10_000
"""Most missed events that are replayed; with more the client reloads (``cursor_expired``)."""

REPLAY_EVENTS_HELD_MAX = 100_000
"""Most events that all replays of a process hold together; with more, new ones are told to try again."""

STALLED_READER_SECONDS = 10.0
"""A reader whose queue is half full and who takes nothing for so long is disconnected."""
