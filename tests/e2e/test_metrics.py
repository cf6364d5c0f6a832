"""Metrics of the whole running system: what moves when documents are saved, and when the backup stands still."""

import os
import signal
import time
from collections.abc import Iterator

import pytest
import requests

from tests.e2e.accounts import Account, new_account
from tests.support.metrics import Scrape, declared
from tests.support.system import System
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process


ONLY_SOMETIMES = ("docsave_webhook_failing_since", "docsave_webhook_last_failure", "docsave_backup_target_")
"""What shows only while a webhook fails or once it did, and where the backup has further places."""


@pytest.fixture(scope="module")
def ann(system: System) -> Account:
    return new_account(system.base_url, "ann")


@pytest.fixture
def webhook(ann: Account) -> Iterator[int]:
    """An endpoint that is there; its name leads nowhere."""
    url = f"{ann.base_url}/webhooks"
    made = ann.session.post(url, json={"url": "https://docsave.invalid/x"}, timeout=30).json()["id"]
    yield made
    ann.session.delete(f"{url}/{made}", timeout=30)


def lag(scrape: Scrape, unit: str = "events") -> float:
    return scrape.value(f"docsave_reader_lag_{unit}", reader="backup")


def test_a_scrape_has_every_metric(system: System, ann: Account, webhook: int) -> None:
    """All that the code declares, and so all that dashboard and alerts name, is in one scrape of a gateway."""
    ann.download(ann.save("a.txt", b"some bytes")["id"])

    def missing() -> bool:
        families = Scrape.of(system.base_url).families
        wanted = {name.removesuffix("_total") for name in declared() if not name.startswith(ONLY_SOMETIMES)}
        assert wanted <= families.keys(), wanted - families.keys()
        return True

    wait_until(missing, 30)
    scrape = Scrape.of(system.base_url)
    assert scrape.value("docsave_webhook_lag_events", webhook=str(webhook)) >= 0
    services = {s.labels["service"] for s in scrape.samples if s.name == "docsave_process_up" and s.value == 1}
    assert services == {"gateway", "users", "files", "backup", "notifier", "webhooks"}
    assert scrape.value("process_resident_memory_bytes", service="files") > 1e7
    assert scrape.value("docsave_disk_free_bytes", place="backup") > 0
    assert {s.labels["process"].rpartition("-")[0] for s in scrape.samples} == services


def test_counters_move_with_uploads(system: System, ann: Account) -> None:
    """Requests by route, bytes, calls, the journal; a reader that was here for the change says how late."""
    before = Scrape.of(system.base_url)
    for n in range(5):
        ann.save(f"{n}.txt", b"x" * 1000 + str(n).encode())

    def grown(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    def all_seen() -> bool:
        nonlocal after
        after = Scrape.of(system.base_url)
        return grown("docsave_journal_head") >= 5 and grown("docsave_reader_delay_seconds_count", reader="backup") >= 5

    after = before
    wait_until(all_seen, 30)
    saved = {"method": "POST", "route": "/files", "status": "201"}
    assert grown("docsave_http_requests_total", **saved) == 5
    assert grown("docsave_http_request_seconds_count", method="POST", route="/files") == 5
    assert 5000 <= grown("docsave_http_received_bytes_total") < 6000
    assert grown("docsave_rpc_client_calls_total", target="files", method="apply", outcome="ok") == 5
    assert grown("docsave_work_total", service="files", method="apply", outcome="ok") == 5
    assert grown("docsave_reader_delay_seconds_count", reader="notifier") == 5
    assert after.value("docsave_backup_state", state="active") == 1


def test_the_lag_of_a_backup_that_stands_still(system: System, ann: Account) -> None:
    """It is told by others: it grows while the backup's process is stopped, which shows, and is 0 again afterwards."""
    wait_until(lambda: lag(Scrape.of(system.base_url)) == 0, 30)
    pid = system.hold_still("backup")
    try:
        ann.save("late.txt", b"not copied yet")
        wait_until(lambda: lag(Scrape.of(system.base_url)) == 1, 30)
        first = lag(Scrape.of(system.base_url), "seconds")
        wait_until(lambda: lag(Scrape.of(system.base_url), "seconds") > first, 30)
        scrape = Scrape.of(system.base_url)
        assert scrape.value("docsave_process_up", process=f"backup-{pid}") == 0
        assert scrape.value("docsave_process_up", service="files") == 1
        started = time.monotonic()
        ready = requests.get(f"{system.base_url}/health/ready", timeout=10).json()
        assert time.monotonic() - started < 2, "a second, and another for a busy machine"
        assert ready["checks"]["backup"] == {"status": "failed", "detail": "does not answer in time"}
        assert ready["checks"]["files"] == {"status": "ok"}
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: lag(Scrape.of(system.base_url)) == lag(Scrape.of(system.base_url), "seconds") == 0, 30)


def test_the_outside_sees_nothing(system: System) -> None:
    """Who comes by a proxy is not told that there are metrics."""
    answer = requests.get(f"{system.base_url}/metrics", headers={"X-Forwarded-For": "10.0.0.1"}, timeout=10)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
