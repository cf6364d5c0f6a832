"""Downloads that the gateway hands over to nginx: a client cannot tell, neither by a header nor by a byte."""

import os
import random
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
import requests

from tests.integration.gateway_process import Desk, GatewayProcess, bearer, problem_of, stand_ins, stop_all
from tests.support.nginx import Nginx
from tests.support.rabbitmq import Broker
from tests.support.waiting import wait_until

DESK = Desk()
CONTENT = random.Random(1).randbytes(3_000_000)
ORIGIN = {"Origin": "https://crm.example", "X-Request-Id": "same-for-both"}
DATE_OF_BLOB = "Tue, 24 Nov 2026 10:14:59 GMT"
"""Nothing that a client may learn of; a second before the file's own."""

TAG_OF_BLOB = f'"{int(parsedate_to_datetime(DATE_OF_BLOB).timestamp()):x}-{len(CONTENT):x}"'
"""The one that nginx would make."""

OWN_TO_EACH = {"Date", "Server", "Connection", "Keep-Alive"}


class Pair:
    """A gateway that sends everything itself, and one that hands over to the nginx in front of it."""

    def __init__(self, broker: Broker, directory: Path) -> None:
        shared = {"CORS_ORIGINS": "https://crm.example"}
        (directory / "second").mkdir()
        self.plain = GatewayProcess(broker.amqp_uri, directory, **shared)
        shared["DATA_DIR"] = str(directory / "data")
        self.handing = GatewayProcess(broker.amqp_uri, directory / "second", ACCEL_REDIRECT="/_blobs/", **shared)
        self.blobs_of_nginx = directory / "blobs-of-nginx"
        self.blobs_of_nginx.symlink_to(self.plain.blob_dir)
        self.nginx = Nginx(directory, [self.handing.port], replace={"/data/blobs/": f"{self.blobs_of_nginx}/"})
        self.url = self.nginx.url
        wait_until(lambda: requests.get(f"{self.url}/health/live", timeout=5).ok, 20)

    def both(self, file_id: int, method: str = "GET", **headers: str) -> tuple[requests.Response, requests.Response]:
        """The same request sent to the plain gateway, and through nginx to the other one."""
        fields = {**bearer(), **ORIGIN, **{name.replace("_", "-"): value for name, value in headers.items()}}
        path = f"/files/{file_id}/content"
        return tuple(
            requests.request(method, url + path, headers=fields, timeout=30) for url in (self.plain.url, self.url)
        )  # type: ignore[return-value]

    def stop(self) -> None:
        self.nginx.stop()
        self.handing.stop()
        self.plain.stop()


@pytest.fixture(scope="module")
def pair(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    services = stand_ins(broker.amqp_uri, DESK)
    pair = Pair(broker, tmp_path_factory.mktemp("pair"))
    yield pair
    pair.stop()
    stop_all(services)


@pytest.fixture
def file(pair: Pair) -> dict:
    DESK.clear()
    row = DESK.add(CONTENT, pair.plain.blob_dir, name='Über "x".html', media_type="text/html; charset=utf-8")
    changed = parsedate_to_datetime(DATE_OF_BLOB).timestamp()
    os.utime(pair.plain.blob_dir / row["path"], (changed, changed))
    return row


def same(answers: tuple[requests.Response, requests.Response], *but: str) -> requests.Response:
    """The answer, when both are the same in all that counts, each header as often; ``but`` these."""
    plain, handed = answers
    raw = [[(k, v) for k, v in a.raw.headers.items() if k not in {*OWN_TO_EACH, *but}] for a in answers]
    assert sorted(raw[0]) == sorted(raw[1])
    assert handed.status_code == plain.status_code
    assert handed.content == plain.content
    return handed


def test_content_and_headers_are_the_same(pair: Pair, file: dict) -> None:
    """All of it; and it is nginx that reads the blob, the gateway's answer is empty."""
    answer = same(pair.both(file["id"]))
    assert answer.content == CONTENT
    assert answer.headers["ETag"] == f'"{file["sha256"]}"'
    direct = pair.handing.get(f"/files/{file['id']}/content", headers=bearer())
    assert (direct.content, direct.headers["X-Accel-Redirect"]) == (b"", f"/_blobs/{file['path']}")


TAG, DATE = "the tag", "Tue, 24 Nov 2026 10:15:00 GMT"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Range": "bytes=0-0"}, 206),
        ({"Range": "bytes=1000-1000999"}, 206),
        ({"Range": "bytes=2999999-999999999999999999"}, 206),
        ({"Range": "bytes=-5"}, 206),
        ({"Range": "bytes=-99999999"}, 206),
        ({"Range": "bytes=5-", "If-Range": TAG}, 206),
        ({"Range": "bytes=5-", "If-Range": DATE}, 206),
        ({"Range": "bytes=5-", "If-Range": '"another"'}, 200),
        ({"Range": "bytes=5-", "If-Range": "Tue, 24 Nov 2026 10:15:01 GMT"}, 200),
        ({"Range": "bytes=5-", "If-None-Match": '"another"'}, 206),
        ({"Range": "bytes=5-", "If-Match": TAG}, 206),
        ({"Range": "bytes=0-1,4-5"}, 200),
        ({"Range": "bytes= 0-1"}, 200),
        ({"Range": "bytes=0-99999999999999999999999"}, 200),
        ({"Range": "bytes=5-2"}, 200),
        ({"If-None-Match": '"another"', "If-Modified-Since": DATE}, 200),
        ({"If-None-Match": TAG_OF_BLOB}, 200),
        ({"If-None-Match": TAG}, 304),
        ({"If-Modified-Since": DATE}, 304),
        ({"If-Modified-Since": DATE_OF_BLOB}, 200),
        ({"Range": "bytes=5-", "If-Range": DATE_OF_BLOB}, 200),
        ({"If-Match": TAG}, 200),
        ({"If-Unmodified-Since": DATE}, 200),
        ({"Range": "bytes=3000000-"}, 416),
        ({"Range": "bytes=-0"}, 416),
        ({"If-Match": '"another"'}, 412),
        ({"If-Unmodified-Since": DATE_OF_BLOB}, 412),
    ],
)  # fmt: skip
def test_parts_and_conditions_are_the_same(pair: Pair, file: dict, headers: dict[str, str], status: int) -> None:
    """Whoever evaluates a condition or cuts a part, the answer is the same."""
    tag = f'"{file["sha256"]}"'
    given = {name: tag if value == TAG else value for name, value in headers.items()}
    assert same(pair.both(file["id"], **given)).status_code == status


def test_head_and_an_empty_file_are_the_same(pair: Pair, file: dict) -> None:
    """HEAD stays in the gateway."""
    assert same(pair.both(file["id"], "HEAD")).headers["Content-Length"] == str(len(CONTENT))
    empty = DESK.add(b"", pair.plain.blob_dir)
    assert same(pair.both(empty["id"])).headers["Content-Length"] == "0"
    assert same(pair.both(empty["id"], Range="bytes=0-")).status_code == 416


def test_damage_of_size_is_still_noticed(pair: Pair, file: dict) -> None:
    """The gateway looks at the size before it hands over."""
    DESK.rows[file["id"]]["size"] += 1
    problem_of(pair.both(file["id"])[1], 500, "blob_damaged")


def test_blobs_cannot_be_asked_for(pair: Pair, file: dict) -> None:
    """The location is nginx's own; not even an administrator gets a blob by its key."""
    for path in (f"/_blobs/{file['path']}", f"//_blobs/{file['path']}", f"/files/../_blobs/{file['path']}"):
        answer = requests.get(pair.url + path, headers=bearer(9, "admin"), timeout=10)
        problem_of(answer, 404, "not_found")


def test_a_blob_that_nginx_cannot_read(pair: Pair, file: dict) -> None:
    """The gateway sends it after all; here nginx looks into a directory that is not there."""
    pair.blobs_of_nginx.unlink()
    try:
        assert same(pair.both(file["id"]), "Accept-Ranges").status_code == 200
        assert same(pair.both(file["id"], Range="bytes=7-8")).status_code == 206
    finally:
        pair.blobs_of_nginx.symlink_to(pair.plain.blob_dir)
