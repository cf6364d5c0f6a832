"""Our Nameko extensions against a real broker: deadlines, at most once, malformed messages, events that fail."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import eventlet
import kombu
import pytest
from amqp.exceptions import AccessRefused
from nameko.containers import ServiceContainer
from nameko.events import EventDispatcher
from nameko.rpc import Responder
from nameko.standalone.rpc import ClusterRpcProxy
from nameko.testing.services import dummy, entrypoint_hook
from nameko.testing.utils import get_extension

from docsave_services.errors import BlobMissing, InternalError, InvalidInput, RpcTimeout, Unavailable
from docsave_services.nameko_ext import DeadlineRpc, durable_event_handler, durable_events, hint, rpc
from docsave_services.nameko_ext.request_context import RequestContext
from tests.support.rabbitmq import Broker

WaitUntil = Callable[..., Any]


class Calls:
    """What the services below were asked, kept outside of them: Nameko makes an instance for each call."""

    started: ClassVar[list[str]] = []
    request_ids: ClassVar[list[str | None]] = []
    failures_left: ClassVar[int] = 0
    handled: ClassVar[list[Any]] = []


@pytest.fixture(autouse=True)
def fresh_calls() -> None:
    Calls.started, Calls.request_ids, Calls.handled, Calls.failures_left = [], [], [], 0


def callee(service_name: str) -> type:
    class Callee:
        name = service_name
        request_id = RequestContext()

        @rpc
        def echo(self, value: Any) -> Any:
            Calls.started.append(str(value))
            Calls.request_ids.append(self.request_id)
            return value

        @rpc
        def slow(self, seconds: float) -> str:
            Calls.started.append("slow")
            eventlet.sleep(seconds)
            return "late"

        @rpc
        def refuse(self) -> None:
            raise InvalidInput.for_field("name", "is bad")

        @rpc
        def crash(self) -> None:
            raise RuntimeError("secret /etc/path SELECT * FROM user")

        @rpc
        def unserialisable(self) -> Any:
            return {1, 2}

    return Callee


def caller(target: str) -> type:
    class Caller:
        name = f"{target}_caller"
        peer = DeadlineRpc(target, deadline=1.0)

        @dummy
        def call(self, method: str, **arguments: Any) -> Any:
            return self.peer(method, **arguments)

    return Caller


@pytest.fixture
def names(unique_service_names: Callable[[str], str]) -> str:
    return unique_service_names("callee")


@pytest.fixture
def containers(rabbit_config: dict[str, Any]) -> Iterator[Callable[[type], ServiceContainer]]:
    config = {**rabbit_config, "max_workers": 4}
    running: list[ServiceContainer] = []

    def start(service: type) -> ServiceContainer:
        container = ServiceContainer(service, config=config)
        container.start()
        running.append(container)
        return container

    start.config = config  # type: ignore[attr-defined] # for a test that starts one by itself
    yield start
    for container in running:
        container.kill()


@pytest.fixture
def call(containers: Callable[[type], ServiceContainer], names: str) -> Iterator[Callable[..., Any]]:
    containers(callee(names))
    container = containers(caller(names))
    with entrypoint_hook(container, "call", context_data={"request_id": "r-1"}) as hook:
        yield hook


def test_a_call_answers_and_carries_the_request_id(call: Callable[..., Any]) -> None:
    """The id of the HTTP request reaches the service without being an argument."""
    assert call("echo", value={"a": [1, "é"]}) == {"a": [1, "é"]}
    assert Calls.request_ids == ["r-1"]


def test_a_coded_error_arrives_as_itself(call: Callable[..., Any]) -> None:
    """Class, sentence and fields."""
    with pytest.raises(InvalidInput, match="name: is bad") as caught:
        call("refuse")
    assert caught.value.errors == [{"field": "name", "message": "is bad"}]


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("crash", {}), ("unserialisable", {}), ("absent", {}), ("echo", {"wrong": 1}), ("echo", {})],
)
def test_anything_else_is_an_internal_error_without_internals(
    call: Callable[..., Any], method: str, arguments: dict[str, Any]
) -> None:
    """No text of an exception leaves the service but that of coded errors; and the service lives on."""
    with pytest.raises(InternalError) as caught:
        call(method, **arguments)
    assert "secret" not in str(caught.value)
    assert call("echo", value=1) == 1


def test_a_call_ends_at_its_deadline(call: Callable[..., Any], containers: Any, names: str) -> None:
    """A slow service costs the deadline, no more, and the place of its answer is given back."""
    start = time.monotonic()
    with pytest.raises(RpcTimeout):
        call("slow", seconds=3)
    assert 0.9 < time.monotonic() - start < 2


def test_a_service_that_is_not_there_is_unavailable(containers: Any, unique_service_names: Any) -> None:
    """At once, since the broker has no queue for it."""
    container = containers(caller(unique_service_names("nobody")))
    with entrypoint_hook(container, "call") as hook, pytest.raises(Unavailable):
        hook("echo", value=1)


def test_a_stopped_service_is_a_timeout_and_never_runs_the_call_later(
    containers: Any, names: str, rabbit_config: dict[str, Any], wait_until: WaitUntil
) -> None:
    """The message expires with the deadline: what was answered with 503 does not happen a minute later."""
    containers(callee(names)).stop()
    container = containers(caller(names))
    with entrypoint_hook(container, "call") as hook:
        with pytest.raises(RpcTimeout):
            hook("echo", value="expired")
        listener = get_extension(container, DeadlineRpc).rpc_reply_listener
        assert listener._reply_events == {}
        containers(callee(names))
        assert hook("echo", value="fresh") == "fresh"
    assert Calls.started == ["fresh"]


def publish(amqp_uri: str, names: str, body: bytes, **properties: Any) -> None:
    with kombu.Connection(amqp_uri) as connection, connection.Producer() as producer:
        content_type = properties.pop("content_type", "application/json")
        producer.publish(
            body, exchange="nameko-rpc", routing_key=f"{names}.echo", content_type=content_type,
            content_encoding="utf-8", **properties,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "properties"),
    [
        (b'{"args": [], "kwargs": {"value": "x"}}', {}),
        (b"{}", {}),
        (b"not json", {"reply_to": "nowhere"}),
        (b"[1, 2]", {"reply_to": "nowhere"}),
        (b"null", {"reply_to": "nowhere"}),
        (b'{"args": 1, "kwargs": {}}', {"reply_to": "nowhere"}),
        (b'{"args": [], "kwargs": 7}', {"reply_to": "nowhere"}),
        (b'{"args": [1, 2, 3], "kwargs": {}}', {"reply_to": "nowhere"}),
        (b"x", {"reply_to": "nowhere", "content_type": "application/x-evil"}),
        (b"x", {"reply_to": "nowhere", "content_type": "application/x-python-serialize"}),
        (b'{"args": [], "kwargs": {"value": "' + b"x" * 10_000_000 + b'"}}', {"reply_to": "nowhere"}),
    ],
)
def test_a_malformed_message_does_no_harm(
    call: Callable[..., Any], rabbit_config: dict[str, Any], names: str, body: bytes, properties: dict[str, Any],
    wait_until: WaitUntil,
) -> None:  # fmt: skip
    """It is gone from the queue, and the next call is answered."""
    publish(rabbit_config["AMQP_URI"], names, body, **properties)
    assert call("echo", value="alive") == "alive"
    with kombu.Connection(rabbit_config["AMQP_URI"]) as connection:
        channel = connection.default_channel
        wait_until(lambda: channel.queue_declare(f"rpc-{names}", passive=True).message_count == 0)


def test_refusals_that_nobody_can_be_told_of_do_no_harm(
    call: Callable[..., Any], rabbit_config: dict[str, Any], names: str, monkeypatch: pytest.MonkeyPatch,
    wait_until: WaitUntil,
) -> None:  # fmt: skip
    """More of them than there are workers, each with an answer that the broker does not take: the next call is
    answered."""
    lost: list[Any] = []

    def refused(_responder: Any, result: Any, *_: Any) -> Any:
        lost.append(result)
        raise AccessRefused("access to topic 'nobody' refused")

    assert call("echo", value="alive") == "alive"
    with monkeypatch.context() as patched:
        patched.setattr(Responder, "send_response", refused)
        for _ in range(30):
            publish(rabbit_config["AMQP_URI"], names, b'{"args": [], "kwargs": {"nonsense": 1}}', reply_to="nobody")
        wait_until(lambda: len(lost) == 30)
    assert call("echo", value="alive") == "alive"


def test_a_call_is_acknowledged_when_it_starts(
    call: Callable[..., Any], containers: Any, names: str, wait_until: WaitUntil
) -> None:
    """A crash in the middle never makes another process run it again: nobody would await its answer."""
    thread = eventlet.spawn(call, "slow", seconds=0.8)
    wait_until(lambda: Calls.started == ["slow"])
    containers(callee(names))  # another process of the same service
    assert thread.wait() == "late"
    assert Calls.started == ["slow"]


def test_nameko_shell_style_callers_see_the_named_error(
    call: Callable[..., Any], rabbit_config: dict[str, Any], names: str
) -> None:
    """Nameko's own proxy works with our services."""
    with ClusterRpcProxy(rabbit_config, timeout=5) as cluster:
        assert cluster[names].echo(value=3) == 3
        with pytest.raises(InvalidInput):
            cluster[names].refuse()


def listener(source: str, listener_name: str) -> type:
    class Listener:
        name = listener_name

        @durable_event_handler(source, "happened")
        def hear(self, event: Any) -> None:
            if Calls.failures_left:
                Calls.failures_left -= 1
                raise BlobMissing
            Calls.handled.append((time.monotonic(), event))

    return Listener


def dispatcher(source: str) -> type:
    class Dispatcher:
        name = source
        dispatch = EventDispatcher()

        @dummy
        def tell(self, event: Any) -> None:
            self.dispatch("happened", event)

    return Dispatcher


@pytest.fixture
def quick_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable_events, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(durable_events, "LONGEST_PAUSE_SECONDS", 0.2)


def hint_listener(source: str, listener_name: str) -> type:
    class HintListener:
        name = listener_name

        @hint(source, "happened")
        def hear(self, payload: Any) -> None:
            Calls.handled.append((id(self), payload["n"]))

    return HintListener


def test_hints_come_in_order_in_every_process_and_an_error_ends_one_alone(
    containers: Any, names: str, wait_until: WaitUntil
) -> None:
    for number in range(2):
        containers(hint_listener(names, f"{names}_listener{number}"))
    source = containers(dispatcher(names))
    with entrypoint_hook(source, "tell") as tell:
        for payload in ({"n": 1}, {"malformed": True}, {"n": 2}, {"n": 3}):
            tell(payload)
    wait_until(lambda: len(Calls.handled) == 6, 5)
    first, second = {instance for instance, _ in Calls.handled}
    for one in (first, second):
        assert [n for instance, n in Calls.handled if instance == one] == [1, 2, 3]


def test_an_event_waits_for_a_listener_that_is_away(containers: Any, names: str, wait_until: WaitUntil) -> None:
    """The queue is durable; what is dispatched meanwhile is heard later."""
    source = f"{names}_source"
    containers(listener(source, names)).stop()
    with entrypoint_hook(containers(dispatcher(source)), "tell") as tell:
        tell({"n": 1})
    containers(listener(source, names))
    wait_until(lambda: [event for _, event in Calls.handled] == [{"n": 1}])


@pytest.mark.usefixtures("quick_pauses")
def test_a_failing_event_is_tried_again_with_growing_pauses(containers: Any, names: str, wait_until: WaitUntil) -> None:
    """Nothing is lost, nothing loops hot."""
    source = f"{names}_source"
    containers(listener(source, names))
    Calls.failures_left = 3
    start = time.monotonic()
    with entrypoint_hook(containers(dispatcher(source)), "tell") as tell:
        tell({"n": 1})
    wait_until(lambda: Calls.handled)
    assert Calls.handled[0][0] - start > 0.05 + 0.1 + 0.2


@pytest.mark.usefixtures("quick_pauses")
def test_an_event_that_always_fails_ends_in_the_dead_letter_queue(
    containers: Any, names: str, rabbit_config: dict[str, Any], wait_until: WaitUntil
) -> None:
    """It stays there whole, for an operator to look at."""
    source = f"{names}_source"
    container = containers(listener(source, names))
    Calls.failures_left = 10**6
    with entrypoint_hook(containers(dispatcher(source)), "tell") as tell:
        tell({"n": 1})
    queue = get_extension(container, durable_events.DurableEventHandler).dead_letters
    with kombu.Connection(rabbit_config["AMQP_URI"]) as connection:
        channel = connection.channel()
        queue(channel).declare()
        message = wait_until(lambda: channel.basic_get(queue.name, no_ack=True), 20)
    assert json.loads(message.body) == {"n": 1}
    assert 10**6 - Calls.failures_left == durable_events.MAX_ATTEMPTS


def test_a_call_after_the_broker_came_back_works(
    broker: Broker, containers: Any, names: str, wait_until: WaitUntil
) -> None:
    """Stale connections in the pool do not make the service unusable."""
    containers(callee(names))
    with entrypoint_hook(containers(caller(names)), "call") as hook:
        assert hook("echo", value=1) == 1
        broker.restart()

        def works() -> bool:
            return bool(hook("echo", value=2) == 2)

        wait_until(works, 30)


def test_a_call_waits_for_the_queue_of_its_answer(containers: Any, names: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first call of a process that is still starting is answered, not lost with the seconds of its deadline."""
    containers(callee(names))
    starting = ServiceContainer(caller(names), config=containers.config)
    listener = get_extension(starting, DeadlineRpc).rpc_reply_listener
    real_start = type(listener.queue_consumer).start

    def late_start(consumer: Any) -> None:
        if consumer is listener.queue_consumer:
            eventlet.sleep(0.3)
        real_start(consumer)

    monkeypatch.setattr(type(listener.queue_consumer), "start", late_start)
    thread = eventlet.spawn(starting.start)
    try:
        with entrypoint_hook(starting, "call") as hook:
            assert hook("echo", value="first") == "first"
    finally:
        thread.wait()
        starting.kill()


def test_a_service_that_waits_for_calls_stops_at_once(rabbit_config: dict[str, Any], names: str) -> None:
    """It is not the next message, nor kombu's second, that ends it: the quickest of three, on a busy machine."""
    took = []
    for _ in range(3):
        container = ServiceContainer(callee(names), config=rabbit_config)
        container.start()
        began = time.monotonic()
        container.stop()
        took.append(time.monotonic() - began)
    assert min(took) < 0.8
