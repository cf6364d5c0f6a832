"""Which version a version is to be a patch against. Pure arithmetic on version numbers.

Patches lead to newer versions only, so they form no circle, and a new version disturbs few of them. Versions are in
groups of 8 and blocks of 64. Within a group each is a patch against the next; the newest of a group against the
newest of the next group; the newest of a block needs no other (it stays plain, or is packed alone). So there are at
most 7 + 7 steps to content that needs none, one version in 64 costs its full size, and where versions are missing
there are only fewer steps.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

GROUP = 8
BLOCK = 64


def wanted_base(version: int, usable: Sequence[int]) -> int | None:
    """The version to patch from; None for the newest of a block. ``usable`` can be patched from, in ascending order."""
    newer = usable[bisect_right(usable, version) :]
    if not newer or _number(newer[0], BLOCK) != _number(version, BLOCK):
        return None
    group = _number(newer[0], GROUP)
    if group == _number(version, GROUP):
        return newer[0]
    return max(other for other in newer if _number(other, GROUP) == group)


def _number(version: int, size: int) -> int:
    return (version - 1) // size
