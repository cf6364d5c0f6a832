"""Who holds an upload, and how the next one gets it: a client that comes back must not wait for its dead connection.

The holder of an upload takes bytes from a connection that may be silent for long. Another request, in this process or
another, puts a file beside the upload; the holder's process sees it within ``LOOK_SECONDS`` and cuts the connection.
What had arrived is kept, the lock becomes free, and the newcomer goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import eventlet

from docsave_services.errors import StorageUnavailable, UploadLocked
from docsave_services.log import get_logger
from docsave_services.storage import HeldUpload, UnfinishedUploads
from gateway_http.blob_access import in_thread
from gateway_http.limits import UPLOAD_LOCK_SECONDS

_log = get_logger(__name__)

LOOK_SECONDS = 0.2
TRY_SECONDS = 0.05


def hold(uploads: UnfinishedUploads, user_id: int, upload_id: str) -> HeldUpload:
    """The upload, for this request alone, taken over from whoever has it. The caller releases it.

    ``UploadLocked`` when the other one does not let go in time, as while it reads a large upload once more;
    ``NotFound`` and ``UploadExpired`` as in ``UnfinishedUploads.hold``.
    """
    end = time.monotonic() + UPLOAD_LOCK_SECONDS
    while True:
        held = in_thread(uploads.hold, user_id, upload_id)
        if held is not None:
            return held
        if time.monotonic() > end:
            raise UploadLocked
        eventlet.sleep(TRY_SECONDS)


class Takeovers:
    """The connections of this process that hold an upload, and one green thread that looks whether any is wanted."""

    def __init__(self) -> None:
        self._cuts: dict[Path, Callable[[], None]] = {}
        self._looking = False

    @contextmanager
    def allowed(self, held: HeldUpload, cut: Callable[[], None]) -> Iterator[None]:
        """Inside the block ``cut`` is called when somebody else wants the upload."""
        self._cuts[held.wanted] = cut
        if not self._looking:
            self._looking = True
            eventlet.spawn(self._look)
        try:
            yield
        finally:
            del self._cuts[held.wanted]

    def _look(self) -> None:
        try:
            while self._cuts:
                eventlet.sleep(LOOK_SECONDS)
                for path in _wanted(list(self._cuts)):
                    cut = self._cuts.get(path)
                    if cut is not None:
                        _log.info("upload_taken_over", upload=path.parent.name)
                        cut()
        finally:
            self._looking = False


def _wanted(paths: Sequence[Path]) -> list[Path]:
    try:
        return in_thread(lambda: [path for path in paths if path.exists()])
    except StorageUnavailable:
        return []  # logged; the next look may fare better
