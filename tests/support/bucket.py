"""A server that speaks S3, as a process on loopback; its buckets are in memory and gone with it."""

from __future__ import annotations

import http.client
import itertools
import sys
from pathlib import Path

import obstore
from obstore.store import S3Store

from docsave_services.runtime.ports import LOOPBACK, free_ports
from docsave_services.settings import BucketSettings
from tests.support.programs import Program
from tests.support.waiting import wait_until

KEY_ID = "AKIATESTKEY"
SECRET = "the-secret-of-the-bucket"

_numbers = itertools.count(1)


class S3Server:
    """moto's server on a port of its own."""

    def __init__(self, directory: Path) -> None:
        [port] = free_ports(1)
        self.address = f"{LOOPBACK}:{port}"
        self.url = f"http://{self.address}"
        moto = str(Path(sys.executable).with_name("moto_server"))
        self._program = Program([moto, "-H", LOOPBACK, "-p", str(port)], directory / "moto.log")

    def wait_ready(self) -> None:
        """Until it answers."""
        wait_until(self._answers, 60)

    def bucket(self, endpoint: str | None = None) -> BucketSettings:
        """A new, empty bucket, reached at ``endpoint``; the settings for a place in it."""
        name = f"backup-{next(_numbers)}"
        self._ask("PUT", f"/{name}")
        return BucketSettings(f"s3://{name}/of/docsave", endpoint or self.url, "us-east-1", KEY_ID, SECRET)

    def forbid(self) -> None:
        """From now on every key is refused."""
        self._ask("POST", "/moto-api/reset-auth", b"0")

    def allow(self) -> None:
        """From now on every key is taken."""
        self._ask("POST", "/moto-api/reset-auth", b"1000000000")

    def objects(self, bucket: BucketSettings) -> dict[str, bytes]:
        """Everything in the place."""
        store = _store(bucket)
        keys = [found["path"] for page in obstore.list(store) for found in page]
        return {key: bytes(obstore.get(store, key).bytes()) for key in keys}

    def put(self, bucket: BucketSettings, key: str, content: bytes | None) -> None:
        """Put an object there, or with None remove it, behind everybody's back."""
        if content is None:
            obstore.delete(_store(bucket), key)
        else:
            obstore.put(_store(bucket), key, content)

    def stop(self) -> None:
        """End it."""
        self._program.stop()

    def _ask(self, method: str, path: str, body: bytes = b"") -> None:
        connection = http.client.HTTPConnection(self.address, timeout=30)
        connection.request(method, path, body, {"Content-Type": "text/plain"})
        status = connection.getresponse().status
        connection.close()
        assert status < 400, f"{method} {path}: {status}"

    def _answers(self) -> bool:
        try:
            self._ask("GET", "/moto-api/data.json")
        except OSError:
            return False
        return True


def _store(bucket: BucketSettings) -> S3Store:
    return S3Store(
        bucket.bucket,
        prefix=bucket.prefix,
        config={
            "endpoint": bucket.endpoint,
            "region": bucket.region,
            "access_key_id": bucket.key_id,
            "secret_access_key": bucket.secret,
            "virtual_hosted_style_request": False,
        },
        client_options={"allow_http": True},
    )


def settings_of(bucket: BucketSettings) -> dict[str, str]:
    """The variables that name the bucket."""
    return {
        "DOCSAVE_BACKUP_S3_URL": bucket.url,
        "DOCSAVE_BACKUP_S3_ENDPOINT": bucket.endpoint,
        "DOCSAVE_BACKUP_S3_KEY_ID": bucket.key_id,
        "DOCSAVE_BACKUP_S3_SECRET": bucket.secret,
    }
