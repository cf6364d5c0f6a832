"""Lists on their way to clients."""

from typing import Any

import eventlet
import pytest
from eventlet.event import Event

from docsave_services.contracts import PageText
from docsave_services.errors import InternalError, InvalidInput
from gateway_http.limits import LISTED_TOGETHER_MAX, LISTS_ABREAST
from gateway_http.lists import Lists
from tests.support.waiting import wait_until


class Service:
    """Answers once its gate is open; remembers which lists came together."""

    def __init__(self, answer: PageText) -> None:
        self.answer = answer
        self.calls: list[list[Any]] = []
        self.gate = Event()

    def __call__(self, lists: list[dict[str, Any]]) -> list[PageText]:
        self.calls.append([asked["limit"] for asked in lists])
        self.gate.wait()
        return [self.answer for _ in lists]


def test_short_pages_travel_together_and_long_ones_alone() -> None:
    """What comes while enough calls are under way leaves in the next. The text passes as it is; no cache keeps it."""
    service = Service({"ok": True, "page": '{"items":[],"next":null }'})
    lists = Lists(service)
    threads = []
    for n in range(LISTS_ABREAST):
        threads.append(eventlet.spawn(lists.page, {"limit": 1}))
        wait_until(lambda n=n: len(service.calls) == n + 1)  # type: ignore[misc]
    for limit in (2, LISTED_TOGETHER_MAX, LISTED_TOGETHER_MAX + 1):
        threads.append(eventlet.spawn(lists.page, {"limit": limit}))
    wait_until(lambda: len(service.calls) == LISTS_ABREAST + 1)
    service.gate.send()
    answers = [thread.wait() for thread in threads]
    assert service.calls[LISTS_ABREAST:] == [[LISTED_TOGETHER_MAX + 1], [2, LISTED_TOGETHER_MAX]]
    for answer in answers:
        assert answer.get_data(as_text=True) == '{"items":[],"next":null }'
        assert (answer.content_type, answer.headers["Cache-Control"]) == ("application/json", "no-store")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"ok": False, "code": "invalid_input", "detail": "no", "errors": []}, InvalidInput),
        ({"ok": False, "code": "of another release"}, InternalError),
        ({"ok": True}, InternalError),
    ],
)
def test_a_refused_list_is_its_error(answer: PageText, error: type[Exception]) -> None:
    """As it came; what nobody understands is internal_error."""
    service = Service(answer)
    service.gate.send()
    with pytest.raises(error):
        Lists(service).page({"limit": 1})
