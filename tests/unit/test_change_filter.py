"""Which changes pass a filter of the feed, as a rule of its own."""

import pytest

from docsave_services.domain.change_filter import ChangeFilter
from docsave_services.errors import InvalidInput
from docsave_services.files.validation import checked_filter

EVENT = {"type": "File_update", "folder": "clients/acme/2026", "labels": {"crm.deal": "42", "empty": ""}}


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        (ChangeFilter(), True),
        (ChangeFilter(types=("File_create", "File_update")), True),
        (ChangeFilter(types=("File_create",)), False),
        (ChangeFilter(folder="clients"), True),
        (ChangeFilter(folder="clients/acme/2026"), True),
        (ChangeFilter(folder="clients/ac"), False),
        (ChangeFilter(folder="clients/acme/2026/may"), False),
        (ChangeFilter(labels=(("crm.deal", None), ("empty", ""))), True),
        (ChangeFilter(labels=(("crm.deal", "4"),)), False),
        (ChangeFilter(labels=(("crm.deal", "42"), ("state", None))), False),
    ],
)
def test_all_that_is_given_must_fit(wanted: ChangeFilter, passes: bool) -> None:
    """One of the types, the folder or one above it, every label."""
    assert wanted.passes(EVENT) is passes


def test_only_a_filter_that_keeps_something_out_is_true() -> None:
    """The empty one costs the database nothing."""
    assert not ChangeFilter()
    assert all([ChangeFilter(types=("File_create",)), ChangeFilter(folder="a"), ChangeFilter(labels=(("a", None),))])


@pytest.mark.parametrize(
    ("types", "folder", "labels", "field"),
    [
        (["File_move"], "", [], "types"),
        ("File_create", "", [], "types"),
        ([], "/a", [], "folder"),
        ([], None, [], "folder"),
        ([], "", ["-"], "labels"),
        ([], "", [7], "labels"),
        ([], "", ["a"] * 33, "labels"),
    ],
)
def test_the_service_believes_no_peer(types: object, folder: object, labels: object, field: str) -> None:
    """What no change can have is named."""
    with pytest.raises(InvalidInput) as refusal:
        checked_filter(types, folder, labels)
    assert [error["field"] for error in refusal.value.errors] == [field]
