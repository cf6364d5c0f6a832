"""Passing the system's output on, without ever letting a reader that sleeps stop the system."""

from __future__ import annotations

import contextlib
import os
import select
import time

PIECE_BYTES = 4096
"""A pipe that is writable takes this much at once without blocking (POSIX's PIPE_BUF on Linux)."""

PATIENCE_SECONDS = 2.0
"""A reader that takes nothing for this long misses output from then on, until it reads again."""


class Relay:
    """Copies what arrives at ``source`` to ``target``."""

    def __init__(self, source: int, target: int) -> None:
        self._source = source
        self._target = target
        self._stalled = False
        self._lost = 0

    def step(self, seconds: float) -> bool:
        """Pass on what arrives within ``seconds``; False at the end of the output."""
        readable, _, _ = select.select([self._source], [], [], seconds)
        if not readable:
            return True
        piece = os.read(self._source, PIECE_BYTES)
        if piece:
            self._pass_on(piece)
        return bool(piece)

    def drain(self, seconds: float) -> None:
        """Pass on what is still on its way, for at most ``seconds``."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not select.select([self._source], [], [], 0)[0] or not self.step(0):
                return

    def _pass_on(self, piece: bytes) -> None:
        patience = 0.0 if self._stalled else PATIENCE_SECONDS
        if not select.select([], [self._target], [], patience)[1]:
            self._stalled = True
            self._lost += len(piece)
            return
        if self._lost:
            piece = f"\n({self._lost} bytes of output were not read and are lost)\n".encode() + piece
        self._stalled, self._lost = False, 0
        with contextlib.suppress(OSError):  # nobody reads any more: the system goes on without a witness
            os.write(self._target, piece[:PIECE_BYTES])
            if piece[PIECE_BYTES:]:
                self._pass_on(piece[PIECE_BYTES:])
