"""How long a refused log-in takes says nothing about why it was refused (RELIABILITY: medians within 5 %)."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator

import pytest

from docsave_services.errors import BadCredentials
from docsave_services.users import handlers, log_in, passwords
from tests.support.accounts import PASSWORD, RING, Accounts, open_accounts

ROUNDS = 9
"""An eighth of the real cost: a difference in what is done around the hash shows eight times as much."""

SAMPLES = 13
TRIES = 2
"""A busy machine is noisy: before a difference counts it must stay while samples are added, up to 26 of each kind."""

DIFFERENCE_MAX = 0.05

Path = Callable[[Accounts, str, str, str], object]


def authenticate(accounts: Accounts, login: str, password: str, address: str) -> object:
    """The check of the password alone."""
    return handlers.authenticate(accounts.db, login, password)


def log_in_throttled(accounts: Accounts, login: str, password: str, address: str) -> object:
    """The whole of ``POST /login``."""
    return log_in.log_in(accounts.db, RING, login, password, address, "a browser")


@pytest.fixture
def accounts(database_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    with open_accounts(database_uri, monkeypatch) as opened:
        monkeypatch.setattr(passwords, "ROUNDS", ROUNDS)
        yield opened


@pytest.mark.parametrize("path", [authenticate, log_in_throttled])
def test_every_refusal_takes_as_long(accounts: Accounts, path: Path) -> None:
    """Unknown login, wrong password, disabled account with the right one: interleaved, each from a fresh address."""
    _, known = accounts.new()
    disabled_id, disabled = accounts.new()
    accounts.update(disabled_id, active=False)
    refusals = {
        "unknown": ("user-nobody000", PASSWORD),
        "wrong": (known, "wrong password"),
        "off": (disabled, PASSWORD),
    }
    addresses = (f"198.51.{n // 250}.{n % 250}" for n in itertools.count())
    took: dict[str, list[float]] = {kind: [] for kind in refusals}
    worked: dict[str, list[float]] = {kind: [] for kind in refusals}

    def sample(kind: str) -> None:
        login, password = refusals[kind]
        address = next(addresses)
        start, start_of_work = time.perf_counter(), time.process_time()
        with pytest.raises(BadCredentials):
            path(accounts, login, password, address)
        took[kind].append(time.perf_counter() - start)
        worked[kind].append(time.process_time() - start_of_work)

    for kind in refusals:  # the first of a process fills caches
        sample(kind)
    for times in (*took.values(), *worked.values()):
        times.clear()
    orders = itertools.cycle(itertools.permutations(refusals))
    for _ in range(TRIES):
        for kind in itertools.chain.from_iterable(itertools.islice(orders, SAMPLES)):
            sample(kind)
        if difference(took) <= DIFFERENCE_MAX:
            return
    # What other processes take away is in the times, but not in the processor time of this one.
    assert difference(worked) <= DIFFERENCE_MAX, (difference(took), difference(worked))


def difference(times: dict[str, list[float]]) -> float:
    """By which part the largest median exceeds the smallest."""
    medians = [statistics.median(each) for each in times.values()]
    return max(medians) / min(medians) - 1
