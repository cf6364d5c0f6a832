"""Metrics: the small server, putting texts together, who may see them, gauges that are read."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import eventlet
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from docsave_services.errors import NotFound, Unauthenticated, Unavailable
from docsave_services.files.census import BlobCensus
from docsave_services.metrics import gather as gathering
from docsave_services.metrics.endpoint import Endpoint, listen_in, sockets_directory
from docsave_services.metrics.exposition import merge
from docsave_services.metrics.instruments import RPC_CALLS, RPC_SECONDS, measured_call
from docsave_services.metrics.registry import Gauge, Reading, Readings
from docsave_services.metrics.watch import Watch
from gateway_http.measures import NO_ROUTE, REQUESTS, note_request, template_of
from gateway_http.metrics_page import metrics_response

TOKEN = "sixteen-or-more-letters"
ONE = b"# HELP a_total A.\n# TYPE a_total counter\na_total 1.0\n# HELP b B.\n# TYPE b gauge\nb 2.0\n"
TWO = b'# HELP a_total A.\n# TYPE a_total counter\na_total{x="#"} 3.0\n'
GAUGE = Gauge("docsave_try", "Only here.", ("kind",))


def text_of(readings: Readings) -> str:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(readings)
    return generate_latest(registry).decode()


def test_lines_of_a_metric_stand_together() -> None:
    """With one head, in the order in which metrics came."""
    merged = merge([ONE, TWO])
    assert [family.name for family in text_string_to_metric_families(merged.decode())] == ["a", "b"]
    assert merged.count(b"# TYPE a_total") == 1
    assert merged.index(b'x="#"') < merged.index(b"# HELP b")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """One whose sockets have longer names than a socket may have."""
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    return directory


@contextlib.contextmanager
def listening(data_dir: Path, name: str, token: str = "", text: bytes = ONE) -> Iterator[Path]:
    opened = listen_in(sockets_directory(data_dir), name)
    assert opened is not None
    thread = eventlet.spawn(Endpoint(opened[0], lambda: text, token).run)
    try:
        yield opened[1]
    finally:
        thread.kill()
        opened[0].close()


def up(answer: bytes) -> dict[str, float]:
    families = {family.name: family for family in text_string_to_metric_families(answer.decode())}
    return {sample.labels["process"]: sample.value for sample in families["docsave_process_up"].samples}


def test_all_processes_of_a_data_directory_are_asked(data_dir: Path) -> None:
    """Also where the path is long; this process answers without a socket."""
    with listening(data_dir, "files-1"), listening(data_dir, "files-2", text=TWO):
        answer = gathering.gather(data_dir, "gateway")
    assert up(answer) == {f"gateway-{os.getpid()}": 1, "files-1": 1, "files-2": 1}
    assert b'a_total{x="#"} 3.0' in answer


def test_a_process_that_hangs_is_shown_as_such(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It listens and never answers; the others are there in time."""
    monkeypatch.setattr(gathering, "ANSWER_SECONDS", 0.1)
    opened = listen_in(sockets_directory(data_dir), "backup-7")
    assert opened is not None
    with contextlib.closing(opened[0]), listening(data_dir, "files-1"):
        assert up(gathering.gather(data_dir, "gateway"))["backup-7"] == 0


def test_what_a_killed_process_left_behind_goes(data_dir: Path) -> None:
    """It is no process, so it is not shown."""
    with listening(data_dir, "users-3") as path:
        pass
    assert path.exists()
    assert "users-3" not in up(gathering.gather(data_dir, "gateway"))
    assert not path.exists()


def test_a_place_without_sockets_is_no_failure(tmp_path: Path) -> None:
    """As in a container whose root cannot be written."""
    (tmp_path / "run").write_text("a file where a directory should be")
    assert listen_in(sockets_directory(tmp_path), "files-1") is None
    assert list(up(gathering.gather(tmp_path, "gateway"))) == [f"gateway-{os.getpid()}"]


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (f"GET /metrics HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n", b"200"),
        (f"GET /metrics HTTP/1.1\r\nauthorization:bearer {TOKEN}\r\n\r\n", b"200"),
        ("GET /metrics HTTP/1.1\r\nAuthorization: Bearer something else\r\n\r\n", b"401"),
        (f"GET /metrics HTTP/1.1\r\nAuthorization: Basic {TOKEN}\r\n\r\n", b"401"),
        ("GET /metrics HTTP/1.1\r\n\r\n", b"401"),
        (f"POST /metrics HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n", b"404"),
        ("GET / HTTP/1.1\r\n\r\n", b"404"),
        ("\r\n\r\n", b"404"),
        ("\x00" * 20_000, b"404"),
    ],
)
def test_the_token_guards_the_port(tmp_path: Path, request_head: str, status: bytes) -> None:
    """Nothing else than the one request with the one token is answered with metrics."""
    with listening(tmp_path, "x-1", TOKEN) as path, contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.connect(str(path))
        sock.sendall(request_head.encode())
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.split(b" ")[1] == status
    assert (ONE in answer) == (status == b"200")


def asked(token: str, address: str = "127.0.0.1", **headers: str) -> Any:
    metrics: Any = SimpleNamespace(settings=SimpleNamespace(metrics_token=token), all=lambda: ONE)
    request: Any = SimpleNamespace(environ={"REMOTE_ADDR": address, **headers})
    return metrics_response(request, metrics).get_data()


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "192.168.0.9", "fd00::1"])
def test_a_neighbour_needs_no_token(address: str) -> None:
    """By default whoever collects metrics comes from inside."""
    assert asked("", address) == ONE


@pytest.mark.parametrize(
    ("address", "headers"),
    [("8.8.8.8", {}), ("2001:4860::1", {}), ("", {}), ("127.0.0.1", {"HTTP_X_FORWARDED_FOR": "10.0.0.1"})],
)
def test_for_others_there_is_nothing_here(address: str, headers: dict[str, str]) -> None:
    """Neither for the outside nor for whoever comes by a proxy: that may be the outside."""
    with pytest.raises(NotFound):
        asked("", address, **headers)


def test_with_a_token_only_who_shows_it() -> None:
    """From wherever."""
    assert asked(TOKEN, "8.8.8.8", HTTP_AUTHORIZATION=f"Bearer {TOKEN}") == ONE
    for wrong in ("", TOKEN, f"Bearer {TOKEN}x", "Bearer \xff"):
        with pytest.raises(Unauthenticated):
            asked(TOKEN, "127.0.0.1", HTTP_AUTHORIZATION=wrong)


def test_what_clients_make_up_is_no_label() -> None:
    """Unknown methods and paths have one name each; ids are not in a route's name."""
    assert (
        template_of("/files/<id:file_id>/versions/<n:number>/content") == "/files/{file_id}/versions/{number}/content"
    )
    request: Any = SimpleNamespace(method="BREW", route=None, body=SimpleNamespace(received=0))
    before = REQUESTS.labels("other", NO_ROUTE, "404")._value.get()
    note_request(request, 404, 0, 0.1)
    assert REQUESTS.labels("other", NO_ROUTE, "404")._value.get() == before + 1


def test_a_call_is_counted_by_how_it_ends() -> None:
    """ok, the code of an error, and internal_error for what has none."""
    for error in (None, Unavailable(), ValueError()):
        with contextlib.suppress(Unavailable, ValueError), measured_call("nobody", "nothing"):
            if error:
                raise error
    counts = {outcome: RPC_CALLS.labels("nobody", "nothing", outcome)._value.get() for outcome in ("ok", "unavailable")}
    assert counts == {"ok": 1, "unavailable": 1}
    assert RPC_CALLS.labels("nobody", "nothing", "internal_error")._value.get() == 1
    assert RPC_SECONDS.labels("nobody", "nothing")._sum.get() > 0


def test_a_watch_keeps_what_it_read_last() -> None:
    """While reading fails, the values stay and their age shows; what is gone from a reading is gone."""
    steps: Iterator[Any] = iter([[Reading(GAUGE, 1, ("a",))], Unavailable(), ZeroDivisionError(), []])

    def read() -> list[Reading]:
        step = next(steps)
        if isinstance(step, Exception):
            raise step
        return list(step)

    watch = Watch("try", read)
    for kept in (True, True, True, False):
        watch._look()
        assert ('docsave_try{kind="a"} 1.0' in text_of(watch._readings)) == kept
        assert 'docsave_watch_timestamp_seconds{watch="try"}' in text_of(watch._readings)


def test_blobs_are_counted_part_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said before each part was counted once; then changes show with the next round."""
    for key, size in (("00/11/x", 3), ("ff/22/y", 5)):
        (tmp_path / key).parent.mkdir(parents=True)
        (tmp_path / key).write_bytes(b"z" * size)
    assert BlobCensus(tmp_path).look() == (2, 8)
    monkeypatch.setattr("docsave_services.files.census.LOOK_SECONDS", 0)
    slow = BlobCensus(tmp_path)
    looks = [slow.look() for _ in range(256)]
    assert looks == [None] * 255 + [(2, 8)]
    (tmp_path / "00/11/x").unlink()
    assert slow.look() == (1, 5)
