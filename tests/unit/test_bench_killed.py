"""What the table of killed parts says of what was tried."""

from bench.killed import Tried


def test_failures_are_counted_with_the_moment_of_the_last() -> None:
    """Those before the kill do not count; good answers that took long are told of."""
    tried = Tried([(0.0, 0.5, "earlier"), (1.0, 1.1, "no connection"), (1.2, 1.4, "503 x"), (1.5, 1.6, "503 x")])
    assert tried.text(1.0) == "2 x 503 x, 1 x no connection until 0.6 s"
    tried.outcomes.append((1.7, 4.9, ""))
    assert tried.text(1.0).endswith(", took up to 3.2 s")


def test_what_goes_well_goes_on() -> None:
    """No failure and nothing late."""
    assert Tried([(1.0, 1.9, "")]).text(1.0) == "goes on"
