"""Which part of a content a Range header asks for."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway_http.ranges import Part, Unsatisfiable, part_wanted

SIZES = st.integers(0, 3000) | st.integers(0, 2**62)
POSITIONS = st.none() | st.integers(0, 4000) | st.integers(0, 2**62)
SIZE_MAX = 10**18 - 1


def bytes_of(part: Part | None, content: bytes) -> bytes:
    return content if part is None else content[part.start : part.stop]


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes=0-0", b"0"),
        ("bytes=0-4", b"01234"),
        ("bytes=8-", b"89"),
        ("bytes=8-100", b"89"),
        ("bytes=-3", b"789"),
        ("bytes=-10", b"0123456789"),
        ("bytes=-11", b"0123456789"),
        ("bytes=0-999999999999999999", b"0123456789"),
        ("Bytes=2-3", b"23"),
        ("  bytes=2-3\t", b"23"),
        ("bytes=0000000002-3", b"23"),
    ],
)
def test_a_range_within_the_content(header: str, wanted: bytes) -> None:
    """From, from and to, and the last ones, cut to what there is."""
    part = part_wanted(header, 10)
    assert part is not None
    assert bytes_of(part, b"0123456789") == wanted
    assert part.content_range == f"bytes {part.start}-{part.stop - 1}/10"


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=999999999999999999-", "bytes=-0"])
def test_a_range_outside_the_content(header: str) -> None:
    """One that begins at the end or behind it, and the last none."""
    with pytest.raises(Unsatisfiable):
        part_wanted(header, 10)


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-1", "bytes=0-0"])
def test_an_empty_content_has_no_part(header: str) -> None:
    """No range of no bytes can be written in Content-Range."""
    with pytest.raises(Unsatisfiable):
        part_wanted(header, 0)


@pytest.mark.parametrize(
    "header",
    [
        None, "", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=1", "bytes=5-2", "bytes=--5", "bytes=+1-2",
        "bytes=1-2-3", "bytes=0x1-2", "bytes=1.0-2", "bytes=1_0-2", "bytes= 1-2", "bytes=1 - 2", "bytes =1-2",
        "lines=1-2", "bytes=٣-",
        "bytes=0-1,3-4", "bytes=0-1,", ",bytes=0-1", "bytes=0-1,bytes=3-4", "bytes=9999999999999999999-", "bytes=0-1\n",
    ],
)  # fmt: skip
def test_what_is_no_single_range_means_all(header: str | None) -> None:
    """The header is ignored: several ranges, another unit, what cannot be read."""
    assert part_wanted(header, 10) is None


@given(first=POSITIONS, last=POSITIONS, size=SIZES)
@example(first=0, last=None, size=0)
@example(first=None, last=2**62, size=1)
def test_any_range_of_any_size_is_right_or_refused(first: int | None, last: int | None, size: int) -> None:
    """The result is the one that RFC 9110 gives in words: exactly those positions that exist."""
    wanted = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    if first is None:
        start, stop = (None, None) if last is None else (max(0, size - last), size)
    else:
        start, stop = first, size if last is None else min(last + 1, size)
    readable = all(position is None or position <= SIZE_MAX for position in (first, last))
    if start is None or not readable or (first is not None and last is not None and last < first):
        assert part_wanted(wanted, size) is None
    elif start >= size:
        with pytest.raises(Unsatisfiable):
            part_wanted(wanted, size)
    else:
        assert part_wanted(wanted, size) == Part(start, stop, size)


@given(header=st.text() | st.text(alphabet="bytes=-,0123456789 \t", max_size=30), size=SIZES)
def test_no_header_breaks_the_parser(header: str, size: int) -> None:
    """Whatever it is, it is a part that exists, all, or 416."""
    try:
        part = part_wanted(header, size)
    except Unsatisfiable:
        return
    assert part is None or 0 <= part.start < part.stop <= size
