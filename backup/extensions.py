"""How Nameko holds the engine: it is started and stopped with the service, and injected into its methods."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

from eventlet import patcher
from nameko.extensions import DependencyProvider, Entrypoint

from backup.engine import Engine
from backup.home import Home
from backup.progress import CURSOR_FILE
from backup.targets.bucket import BucketTarget
from backup.targets.directory import DirectoryTarget
from backup.targets.target import Target
from docsave_services.contracts import FILES
from docsave_services.nameko_ext import DeadlineRpc
from docsave_services.settings import Settings
from docsave_services.storage import BlobStore

STOP_SECONDS = 2.5
"""A stop that takes longer is ended: everything on disk is made to survive that."""


class BackupEngine(DependencyProvider):
    """Runs the engine for as long as the container, and injects it. The service must also declare a ``DeadlineRpc``
    to the files service, which the engine uses outside of workers."""

    engine: Engine

    def setup(self) -> None:
        settings = Settings.from_config(self.container.config)
        home = Home(settings.backup_dir.absolute(), settings.data_dir.absolute())
        blobs = BlobStore(settings.blob_dir.absolute())
        self.engine = Engine(
            home,
            blobs,
            self._call_files,
            settings.verify_days,
            settings.backup_compact_after,
            settings.retention,
            [settings.backup_mirror_dir.absolute()] if settings.backup_mirror_dir else [],
        )
        for target in _targets(settings, home):
            self.engine.follow(target)

    def start(self) -> None:
        self.container.spawn_managed_thread(self.engine.run, identifier="backup_engine")
        for follower in self.engine.followers:
            self.container.spawn_managed_thread(follower.run, identifier=f"backup_{follower.name}")

    def stop(self) -> None:
        self.engine.stop()

    def kill(self) -> None:
        self.engine.stop()

    def get_dependency(self, worker_ctx: Any) -> Engine:
        return self.engine

    def _call_files(self, method: str, /, **arguments: Any) -> Any:
        rpc = next(d for d in self.container.dependencies if isinstance(d, DeadlineRpc) and d.target_service == FILES)
        return rpc.outside_worker()(method, **arguments)


def _targets(settings: Settings, home: Home) -> Iterator[Target]:
    """The other places that the settings name."""
    if settings.backup_mirror_dir is not None:
        yield DirectoryTarget(settings.backup_mirror_dir.absolute(), home.data_dir)
    if settings.backup_bucket is not None:
        yield BucketTarget(settings.backup_bucket, home.data_dir, home.root / CURSOR_FILE.parent)


class BeforeStop(Entrypoint):
    """Runs the method as soon as the container begins to stop.

    Nameko stops dependencies only after its consumers and workers, which wait for a broker that is away, and for a
    worker that reads the whole backup. A process that runs services is ended after ``STOP_SECONDS`` whatever waits;
    one that only hosts a container (a test) is left alone.
    """

    def stop(self) -> None:
        if signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.SIG_IGN, None):
            _end_process_after(STOP_SECONDS)
        self.container.spawn_worker(self, (), {})


before_stop = BeforeStop.decorator


def _end_process_after(seconds: float) -> None:
    # A thread of the operating system: the green ones may be what hangs.
    timer = patcher.original("threading").Timer(seconds, os._exit, args=(0,))
    timer.daemon = True
    timer.start()
