"""What a power cut would leave of it: the order of a process's writes, syncs and renames, read from strace's record.

A disk keeps what was synced and any part of the rest. So a name must not be given to bytes that are not synced, and
nobody may be told of it before the directory that holds the name is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

TRACED = "write,writev,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,sendto,sendmsg"
"""What the record must hold; strace's ``-y`` names the files behind descriptors."""

_ON_FILE = re.compile(r"(?P<call>p?write(?:64|v)?|fsync|fdatasync)\(\d+<(?P<path>/[^>]*)>.*\)\s+= (?P<result>\d+)")
_NAMING = re.compile(r"(?P<call>rename|link)[a-z0-9]*\((?P<arguments>.*)\)\s+= 0")
_SENDING = re.compile(r"send(?:to|msg)\(\d+<(?:TCP|socket)[^\n]*= \d+")
_QUOTED = re.compile(r'"([^"]*)"')


def broken_orders(record: Iterable[str], root: str) -> list[str]:
    """What could be lost below ``root`` although it was relied on: sentences, none when all is well.

    Renames are followed by name. A call that another thread interrupted is put together again first.
    """
    dirty: set[str] = set()
    unsynced_names: dict[str, str] = {}
    found = []
    for line in joined(record):
        if on_file := _ON_FILE.search(line):
            path = on_file["path"]
            if on_file["call"].startswith(("write", "pwrite")):
                dirty.add(path)
            else:
                dirty.discard(path)
                for name, directory in list(unsynced_names.items()):
                    if directory == path:
                        del unsynced_names[name]
        elif naming := _NAMING.search(line):
            source, target = _QUOTED.findall(naming["arguments"])[:2]
            if not target.startswith(root):
                continue
            if source in dirty:
                found.append(f"{target} got its name before its bytes were synced")
            dirty.discard(source)
            unsynced_names[target] = str(PurePosixPath(target).parent)
        elif _SENDING.search(line) and unsynced_names:
            found += [f"somebody was told before the directory of {name} was synced" for name in unsynced_names]
            unsynced_names.clear()
    return found


def joined(record: Iterable[str]) -> Iterable[str]:
    """The record's lines, each call in one, at the place where it ended."""
    begun: dict[str, str] = {}
    for line in record:
        thread, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.endswith("<unfinished ...>"):
            begun[thread] = rest.removesuffix("<unfinished ...>")
        elif resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", rest):
            yield f"{begun.pop(thread, '')}{resumed[1]}"
        else:
            yield rest
