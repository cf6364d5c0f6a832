"""The arithmetic of the chain, against the definitions it is taken from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from backup.chain import NOTHING, Links, identity_hash, leaf, link, path, root, root_by_path
from tests.support.journal import Journal


def _node(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def _tree_hash(nodes: Sequence[bytes]) -> bytes:
    """MTH as RFC 9162, section 2.1.1, defines it: split at the largest power of two below the size."""
    if len(nodes) == 1:
        return nodes[0]
    split = 1 << (len(nodes) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + _tree_hash(nodes[:split]) + _tree_hash(nodes[split:])).digest()


@given(st.integers(1, 300))
def test_the_root_is_that_of_the_rfc(size: int) -> None:
    """Level by level, the last node going up alone, is the recursive definition."""
    nodes = [_node(n) for n in range(size)]
    assert root(nodes) == _tree_hash(nodes)


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert root([]) == hashlib.sha256(b"").digest()


@given(st.integers(1, 300), st.data())
def test_every_path_leads_to_the_root_and_no_other_does(size: int, data: st.DataObject) -> None:
    """From its own leaf at its own place; not from another leaf, place or size, nor longer or shorter."""
    nodes = [_node(n) for n in range(size)]
    index = data.draw(st.integers(0, size - 1))
    siblings = path(index, nodes)
    assert root_by_path(nodes[index], index, size, siblings) == root(nodes)
    assert root_by_path(_node(-1), index, size, siblings) != root(nodes)
    assert root_by_path(nodes[index], index, size, [*siblings, _node(-2)]) is None
    if siblings:
        assert root_by_path(nodes[index], index, size, siblings[1:]) != root(nodes)
        assert root_by_path(nodes[index], index ^ 1, size, siblings) != root(nodes)
    assert root_by_path(nodes[index], size, size, siblings) is None


@given(st.integers(1, 2000), st.sampled_from([1, 2, 8, 64]))
def test_blocks_make_the_same_tree(size: int, block: int) -> None:
    """The root over the roots of full blocks and the rest is the root over all leaves."""
    nodes = [_node(n) for n in range(size)]
    assert root([root(nodes[n : n + block]) for n in range(0, size, block)]) == root(nodes)


def test_a_leaf_covers_everything_but_how_the_content_lies(tmp_path) -> None:
    """Any other field that is changed, added or taken away changes it; the order of the fields does not."""
    event = dict(Journal(tmp_path).add(b"x", name="\ud800 é", labels={"a": "b"}))
    assert leaf(event) == leaf(dict(reversed(event.items()))) == leaf({**event, "stored": {"as": "patch"}})
    for key in event:
        assert leaf({**event, key: "other"}) != leaf(event)
        assert leaf({k: v for k, v in event.items() if k != key}) != leaf(event)
    assert leaf({**event, "more": 1}) != leaf(event)


def test_links_follow_from_the_journal_and_ignore_repeats(tmp_path) -> None:
    """Each event gets the link of the one before; a repeat gets none; another history gives other links."""
    journal = Journal(tmp_path)
    events = [journal.add(b"%d" % n, version=n) for n in range(1, 4)]
    links = Links(0, NOTHING)
    linked = [links.take(event) for event in events]
    assert next(event and event["previous"] for event in linked) == NOTHING.hex()
    first = link(NOTHING, identity_hash(events[0]))
    assert linked[1] == {**events[1], "previous": first.hex()}
    assert links.take(events[1]) is None
    again = Links(1, first)
    assert [again.take(event) for event in events] == [None, *linked[1:]]
    assert again.tip == links.tip
    other = Links(0, NOTHING)
    for event in [{**events[0], "name": "other"}, *events[1:]]:
        other.take(event)  # type: ignore[arg-type]
    assert other.tip != links.tip
