"""What a power cut would leave of it: the order of a process's writes, syncs and renames, read from strace's record.

A disk keeps what was synced and any part of the rest. So a name must not be given to bytes that are not synced, and
nobody may be told of it before the directory that holds the name is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

TRACED = "write,writev,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,sendto,sendmsg"
"""What the record must hold; strace's ``-y`` names the files behind descriptors."""

_ON_FILE = re.compile(r"(?P<call>p?write(?:64|v)?|fsync|fdatasync)\(\d+<(?P<path>/[^>]*)>.*\)\s+= (?P<result>\d+)")
_NAMING = re.compile(r"(?P<call>rename|link)[a-z0-9]*\((?P<arguments>.*)\)\s+= 0")
_SENDING = re.compile(r"send(?:to|msg)\(\d+<(?:TCP|socket)[^\n]*= \d+")
_QUOTED = re.compile(r'"([^"]*)"')


def _anything(name: str) -> str:
    return ""


def broken_orders(record: Iterable[str], root: str, word: Callable[[str], str] = _anything) -> list[str]:
    """What could be lost below ``root`` although it was relied on: sentences, none when all is well.

    ``word`` is what a message that speaks of the file of a name holds; without it, any message counts as telling of
    all names, which is wrong of a process that does other things meanwhile. A file nobody was ever told of is a
    finding too: the record then proves nothing. Renames are followed by name. A call that another thread interrupted
    is put together again first.
    """
    dirty: set[str] = set()
    unsynced_names: dict[str, str] = {}
    untold: set[str] = set()
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
            untold.add(target)
        elif _SENDING.search(line):
            told = {name for name in untold if word(name) in line}
            found += [
                f"somebody was told before the directory of {name} was synced" for name in told & unsynced_names.keys()
            ]
            untold -= told
    return found + [f"nobody was ever told of {name}" for name in untold]


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
