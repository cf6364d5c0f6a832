"""Every fault that docsave is attacked with, by family."""

from __future__ import annotations

from tests.faults.catalogue import broker, clients, clock, damage, database, disks, events, fuzz, processes, sweeps
from tests.faults.catalogue.fault import Fault

ALL: dict[str, Fault] = {
    fault.name: fault
    for family in (processes, broker, database, disks, damage, events, clock, clients, sweeps, fuzz)
    for fault in family.FAULTS
}

QUICK = {
    ("kill-gateway", "sqlite"),
    ("kill-files", "mariadb"),
    ("end-backup", "sqlite"),
    ("order-of-starting", "sqlite"),
    ("fifty-updates-at-once", "mariadb"),
    ("broker-killed", "mariadb"),
    ("bus-cut-long", "sqlite"),
    ("mariadb-killed", "mariadb"),
    ("mariadb-commit-unanswered", "mariadb"),
    ("sqlite-locked-3s", "sqlite"),
    ("disk-full-blobs", "sqlite"),
    ("eio-gateway-fsync", "sqlite"),
    ("blob-flipped", "sqlite"),
    ("events-dropped", "sqlite"),
    ("clock-files-+10y", "sqlite"),
    ("broken-uploads", "sqlite"),
    ("fuzz-http", "sqlite"),
    ("sweep-files-upload-fsync", "mariadb"),
}
"""Of which `make faults` is made: one or two of each family, about ten minutes."""
