"""Rules of retention: what is kept, and that a text is read exactly or refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docsave_services.domain.retention import (
    KEEP_EVERYTHING,
    Policy,
    RetentionProblem,
    Rules,
    described,
    kept,
    parse_policy,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
COUNTS = st.integers(0, 6)
RULES = st.builds(Rules, all_within=COUNTS, daily=COUNTS, weekly=COUNTS, monthly=COUNTS, last=COUNTS)
MOMENTS = st.lists(st.integers(0, 24 * 400), max_size=40).map(
    lambda hours: [(number, NOW - timedelta(hours=ago)) for number, ago in enumerate(sorted(hours, reverse=True), 1)]
)


def days_ago(*days: float) -> list[tuple[int, datetime]]:
    """Versions 1, 2, 3… made that many days ago."""
    return [(number, NOW - timedelta(days=ago)) for number, ago in enumerate(days, 1)]


@pytest.mark.parametrize(
    ("rules", "stay"),
    [
        (Rules(last=1), {6}),
        (Rules(last=3), {4, 5, 6}),
        (Rules(last=99), {1, 2, 3, 4, 5, 6}),
        (Rules(all_within=2), {4, 5, 6}),
        (Rules(daily=2), {5, 6}),
        (Rules(daily=3), {3, 5, 6}),
        (Rules(weekly=2), {3, 6}),
        (Rules(monthly=2), {2, 6}),
        (Rules(monthly=2, last=2), {2, 5, 6}),
    ],
)
def test_each_rule(rules: Rules, stay: set[int]) -> None:
    """Made 60, 32, 4, 1.2, 0.6 and 0.1 days before Tuesday noon: the newest of each day, week, month."""
    made = days_ago(60, 32, 4, 1.2, 0.6, 0.1)
    assert kept(made, rules, NOW) == stay


def test_the_newest_is_always_kept() -> None:
    """However old it is."""
    assert kept(days_ago(4000, 3000), Rules(all_within=1), NOW) == {2}
    assert kept([], Rules(last=1), NOW) == set()


@given(MOMENTS, RULES, RULES)
def test_more_rules_never_keep_less(made: list[tuple[int, datetime]], one: Rules, other: Rules) -> None:
    """What two sets keep, a set with the greater number of each keeps."""
    names = Rules.__dataclass_fields__
    both = Rules(**{name: max(getattr(one, name), getattr(other, name)) for name in names})
    assert kept(made, one, NOW) | kept(made, other, NOW) <= kept(made, both, NOW)


@given(MOMENTS, RULES)
def test_a_second_pass_finds_nothing_more(made: list[tuple[int, datetime]], rules: Rules) -> None:
    """What is kept is kept again among itself."""
    stay = kept(made, rules, NOW)
    assert kept([pair for pair in made if pair[0] in stay], rules, NOW) == stay


@given(MOMENTS, RULES, st.integers(0, 39), st.integers(-5000, 5000))
def test_a_wrong_clock_for_one_version_never_costs_a_newer_one(
    made: list[tuple[int, datetime]], rules: Rules, place: int, days: int
) -> None:
    """A version dated into the past or future: the newest and the last ones are kept all the same."""
    if made:
        place %= len(made)
        made[place] = (made[place][0], made[place][1] + timedelta(days=days))
    stay = kept(made, rules, NOW)
    assert {number for number, _ in made[-max(rules.last, 1) :]} <= stay


def test_a_clock_that_was_ahead_keeps_too_long_not_too_short() -> None:
    """Version 2 was dated ten years ahead; those after it count as that young."""
    made = days_ago(300, -3650, 200, 100)
    assert kept(made, Rules(all_within=30), NOW) == {2, 3, 4}


def test_a_text_is_read() -> None:
    """General rules, and others for a folder and what is below it."""
    policy = parse_policy("keep-last=10 keep-monthly=12; clients/acme: keep-all-within=365d;scratch:keep-last=1;")
    assert policy.general == Rules(last=10, monthly=12)
    assert policy.rules_for("clients/acme/2026") == Rules(all_within=365)
    assert policy.rules_for("clients/acmeville") == Rules(last=10, monthly=12)
    assert policy.rules_for("scratch") == Rules(last=1)
    assert described(Rules(all_within=365, last=3)) == "keep-all-within=365d keep-last=3"


def test_nothing_is_given_up_without_a_rule() -> None:
    """No text, or rules for other folders only."""
    assert parse_policy("") == KEEP_EVERYTHING == Policy()
    assert not parse_policy("  ")
    assert parse_policy("scratch: keep-last=1").rules_for("clients") is None


@pytest.mark.parametrize(
    "text",
    [
        "keep-last", "keep-last=0", "keep-last=-1", "keep-last=1.5", "keep-last=3d", "keep-all-within=30",
        "keep-hourly=3", "last=3", "keep-last=1 keep-last=2", "keep-last=1; keep-daily=2", "scratch:", ": keep-last=1",
        "a:keep-last=1;a:keep-last=2", "../x: keep-last=1", "keep-last=99999999", "keep-last=1,keep-daily=2", "٣",
    ],
)  # fmt: skip
def test_a_text_that_is_not_exactly_rules_is_refused(text: str) -> None:
    """A rule that is misread loses versions."""
    with pytest.raises(RetentionProblem):
        parse_policy(text)
