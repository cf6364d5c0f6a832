"""What the backup remembers of those who asked for a change."""

import pytest
import structlog

from backup.origins import Origin, Origins


def test_the_request_that_told_of_a_change_is_remembered_until_it_is_taken():
    """Its id goes into the log line of the copy, once."""
    origins = Origins()
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        origins.note({"event_id": 7})
    assert (origins.take(7).request_id, origins.take(7)) == ("r-1", Origin())


@pytest.mark.parametrize(
    "body", [None, [], "text", 17, b"\xff", {}, {"event_id": "1"}, {"event_id": None}, {"event_id": True}]
)
def test_what_is_no_event_is_passed_over(body):
    """Anybody with an account at the broker can put anything on the bus: it is no error of the backup's."""
    origins = Origins()
    origins.note(body)
    assert origins.of(1) == Origin()
