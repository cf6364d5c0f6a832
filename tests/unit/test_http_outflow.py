"""Bytes on their way out: what fails first is an answer, what fails later ends them, and all of it is counted."""

from collections.abc import Generator

import pytest

from docsave_services.errors import BlobDamaged, BlobMissing, StorageUnavailable
from gateway_http.measures import DAMAGED
from gateway_http.outflow import Outflow

CLOSED = []


def pieces(*steps: bytes | Exception) -> Generator[bytes, None, None]:
    try:
        for step in steps:
            if isinstance(step, Exception):
                raise step
            yield step
    finally:
        CLOSED.append(steps)


@pytest.fixture(autouse=True)
def nothing_counted() -> None:
    DAMAGED.reset()
    CLOSED.clear()


def counted() -> float:
    (family,) = DAMAGED.collect()
    return family.samples[0].value


def test_pieces_arrive_in_order() -> None:
    """And what they are read from is closed."""
    outflow = Outflow(pieces(b"a", b"", b"b"), lambda: "x")
    assert list(outflow) == [b"a", b"", b"b"]
    outflow.close()
    assert len(CLOSED) == 1


def test_what_was_moved_is_read_from_where_it_is_now() -> None:
    """No damage is counted or told; a second failure is one."""
    outflow = Outflow(pieces(BlobMissing()), lambda: "x", lambda: pieces(b"a", b"b"))
    assert list(outflow) == [b"a", b"b"]
    assert counted() == 0
    with pytest.raises(BlobDamaged):
        Outflow(pieces(BlobMissing()), lambda: "x", lambda: pieces(BlobMissing()))
    assert counted() == 1


@pytest.mark.parametrize("error", [BlobDamaged(), BlobMissing()])
def test_damage_at_once_is_raised_before_an_answer(error: Exception) -> None:
    """Counted, and the source closed; a client hears that it is damaged, not where it lies."""
    with pytest.raises(BlobDamaged):
        Outflow(pieces(error), lambda: "x")
    assert (counted(), len(CLOSED)) == (1, 1)


def test_damage_later_ends_the_pieces() -> None:
    """Counted too."""
    outflow = iter(Outflow(pieces(b"a", BlobDamaged()), lambda: "x"))
    assert next(outflow) == b"a"
    with pytest.raises(BlobDamaged):
        next(outflow)
    assert counted() == 1


def test_a_disk_that_fails_is_not_damage() -> None:
    """It may work again; 503."""
    with pytest.raises(StorageUnavailable):
        Outflow(pieces(OSError(5, "Input/output error")), lambda: "x")
    assert counted() == 0


def test_an_outflow_that_nobody_reads_is_closed() -> None:
    """A client that left before the second piece."""
    outflow = Outflow(pieces(b"a", b"b"), lambda: "x")
    outflow.close()
    outflow.close()
    assert len(CLOSED) == 1
