"""Tracing: nothing without an endpoint; what is sent by hand is not believed; logs stay one line an event."""

import contextlib
import json
import logging
import subprocess
import sys
import time

import eventlet
import pytest
import structlog

from docsave_services import tracing
from docsave_services.log import formatter
from docsave_services.nameko_ext.request_context import heard_of

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_without_an_endpoint_nothing_is_imported() -> None:
    """A service's process has none of OpenTelemetry in it, and a span costs next to nothing."""
    code = (
        "import sys; import gateway; from docsave_services import tracing; tracing.start('gateway');"
        "assert not [m for m in sys.modules if m.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, env={"PATH": ""})
    started = time.perf_counter()
    for _ in range(10_000):
        with tracing.span("x", root=True):
            pass
    assert time.perf_counter() - started < 0.5
    tracing.adopt(GOOD)
    assert tracing.carried() == {}


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracer whose collector accepts connections and never answers."""
    silent = eventlet.listen(("127.0.0.1", 0))
    monkeypatch.setenv(tracing.ENDPOINT, f"http://127.0.0.1:{silent.getsockname()[1]}")
    monkeypatch.setattr(tracing, "_tracer", None)
    tracing.start("test")


@pytest.mark.usefixtures("traced")
def test_spans_carry_on_what_came() -> None:
    """Below a well-formed traceparent in the same trace; anything else is as if nothing had come."""
    tracing.adopt(GOOD)
    with tracing.span("inner"):
        inner = tracing.current()
        assert inner is not None
        assert inner.split("-")[1] == GOOD.split("-")[1]
        assert inner != GOOD
    assert tracing.current() == GOOD
    for wrong in (None, "", "00-0-0-01", GOOD + "\r\nx: y", GOOD.upper(), "00-" + "0" * 32 + GOOD[35:], 7):
        tracing.adopt(wrong)
        assert tracing.carried() == {}
        with tracing.span("of nobody"):
            assert tracing.current() is None


@pytest.mark.usefixtures("traced")
def test_a_hint_leaves_nothing_to_the_next() -> None:
    """One green thread hears all hints: what belongs to one request is gone with it, also after an error."""
    with contextlib.suppress(ZeroDivisionError), heard_of({"request_id": "r-1", "traceparent": GOOD}, "x.heard"):
        assert structlog.contextvars.get_contextvars()["request_id"] == "r-1"
        assert tracing.carried()["traceparent"].split("-")[1] == GOOD.split("-")[1]
        raise ZeroDivisionError
    with heard_of({"request_id": 7, "traceparent": "nonsense"}, "x.heard"):
        assert "request_id" not in structlog.contextvars.get_contextvars()
        assert tracing.carried() == {}


@pytest.mark.usefixtures("traced")
def test_a_collector_that_hangs_delays_nobody() -> None:
    """Other green threads run on while spans wait to be sent, and a stop waits a moment at most."""
    for _ in range(10_000):
        with tracing.span("x", root=True):
            pass
    flushing = eventlet.spawn(tracing.stop)
    latest = 0.0
    while not flushing.dead:
        started = time.monotonic()
        eventlet.sleep(0.01)
        latest = max(latest, time.monotonic() - started)
    assert latest < 0.5


@pytest.mark.parametrize("style", ["json", "console"])
def test_what_users_type_stays_in_its_line(style: str) -> None:
    """Line breaks of every kind, and terminals' escapes, are written as escapes."""
    record = logging.LogRecord("x", logging.INFO, "f", 1, "told", None, None)
    structured = {"event": "told", "name": "a\r\nb\u2028c\x1b[31m\x85d"}
    record.msg = structured
    record._logger, record._name = logging.getLogger("x"), "info"  # as structlog passes its own records
    line = formatter(style).format(record)
    assert not set("\r\n\u2028\x1b\x85") & set(line), repr(line)
    assert len(line.splitlines()) == 1
    if style == "json":
        assert json.loads(line)["name"] == structured["name"]
