"""Which versions of a file retention keeps. Pure arithmetic; nothing is given up unless an operator wrote a rule.

A rule set has rules such as ``keep-last=10``; a version is kept when any of them keeps it, and the newest always is.
So a further rule never keeps less. Order is that of version numbers: times that run backwards, because a clock was
wrong, are read as those of the version before (nextcloud/server#32017 expired versions wholesale that were sorted by
a wrong time).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

from docsave_services.domain.folders import folder_problem

DAYS_MAX = 36_500
COUNT_MAX = 1_000_000

_RULE = re.compile(r"keep-(all-within|daily|weekly|monthly|last)=(\d{1,7})(d?)")


class RetentionProblem(ValueError):
    """What is wrong with a text of rules, for the operator."""


@dataclass(frozen=True, slots=True)
class Rules:
    """``all_within`` in days: every version that young. ``last``: so many of the newest. ``daily``, ``weekly``,
    ``monthly``: the newest of each of so many of the last days, weeks and months (UTC) that have any. 0: no rule."""

    all_within: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    last: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """``general`` for every file, None: keep everything; ``folders`` for those in a folder or below it instead."""

    general: Rules | None = None
    folders: tuple[tuple[str, Rules], ...] = ()

    def rules_for(self, folder: str) -> Rules | None:
        """Those of the deepest folder that holds ``folder``, else the general ones."""
        found = [pair for pair in self.folders if folder == pair[0] or folder.startswith(f"{pair[0]}/")]
        return max(found, key=lambda pair: len(pair[0]))[1] if found else self.general

    def __bool__(self) -> bool:
        return self.general is not None or bool(self.folders)


KEEP_EVERYTHING = Policy()


def parse_policy(text: str) -> Policy:
    """``keep-last=10 keep-monthly=12; clients/acme: keep-all-within=365d``; '' keeps everything.

    ``RetentionProblem`` for anything that is not exactly that: a rule that is misread loses versions.
    """
    general: Rules | None = None
    folders: dict[str, Rules] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        folder, colon, rules = part.rpartition(":")
        folder = folder.strip()
        if not colon:
            if general is not None:
                raise RetentionProblem("there are two sets of rules without a folder")
            general = _rules(part)
            continue
        problem = folder_problem(folder) if folder else "a folder has to be named before the colon"
        if problem or folder in folders:
            raise RetentionProblem(f"{folder!r}: {problem or 'the folder is named twice'}")
        folders[folder] = _rules(rules)
    return Policy(general, tuple(folders.items()))


def _rules(text: str) -> Rules:
    values: dict[str, int] = {}
    for word in text.split():
        match = _RULE.fullmatch(word)
        if match is None or bool(match[3]) != (match[1] == "all-within"):
            raise RetentionProblem(f"{word!r} is no rule; rules are keep-all-within=30d, keep-daily=7 and the like")
        name, value = match[1].replace("-", "_"), int(match[2])
        if name in values or not 1 <= value <= (DAYS_MAX if name == "all_within" else COUNT_MAX):
            raise RetentionProblem(f"{word!r}: each rule once, with a number from 1 on")
        values[name] = value
    if not values:
        raise RetentionProblem("a set of rules needs at least one")
    return Rules(**values)


def kept(versions: Sequence[tuple[int, datetime]], rules: Rules, now: datetime) -> set[int]:
    """Those to keep of ``versions``: numbers in ascending order, each with the moment it was made."""
    timed = _in_order(versions)
    if not timed:
        return set()
    found = {timed[-1][0], *(number for number, _ in timed[len(timed) - min(rules.last, len(timed)) :])}
    if rules.all_within:
        limit = now - timedelta(days=rules.all_within)
        found.update(number for number, at in timed if at >= limit)
    for count, period in ((rules.daily, _day), (rules.weekly, _week), (rules.monthly, _month)):
        found.update(_newest_of_each(timed, count, period))
    return found


def _in_order(versions: Sequence[tuple[int, datetime]]) -> list[tuple[int, datetime]]:
    """No moment lies before that of an earlier version: too young is kept too long, never too short."""
    latest, found = datetime.min.replace(tzinfo=UTC), []
    for number, at in versions:
        latest = max(latest, at if at.tzinfo else at.replace(tzinfo=UTC))
        found.append((number, latest))
    return found


def _newest_of_each(
    timed: Sequence[tuple[int, datetime]], count: int, period: Callable[[datetime], Hashable]
) -> list[int]:
    newest: dict[Hashable, int] = {}
    for number, at in reversed(timed):
        if len(newest) >= count and period(at) not in newest:
            break
        newest.setdefault(period(at), number)
    return list(newest.values()) if count else []


def _day(at: datetime) -> Hashable:
    return at.astimezone(UTC).date()


def _week(at: datetime) -> Hashable:
    return at.astimezone(UTC).isocalendar()[:2]


def _month(at: datetime) -> Hashable:
    return at.astimezone(UTC).strftime("%Y-%m")


def described(rules: Rules) -> str:
    """The rules as an operator writes them."""
    words = []
    for field in fields(rules):
        value = getattr(rules, field.name)
        if value:
            words.append(f"keep-{field.name.replace('_', '-')}={value}{'d' if field.name == 'all_within' else ''}")
    return " ".join(words)
