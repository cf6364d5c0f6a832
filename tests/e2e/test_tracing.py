"""One request followed through all processes: by its id in their logs, and as one trace."""

import json
import uuid
from collections.abc import Iterator

import pytest

from tests.e2e.accounts import Account, new_account
from tests.support.collector import Collector, Span, collecting
from tests.support.system import System, running_system
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def system(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "DOCSAVE_LOG_FORMAT": "json"}
    with running_system(tmp_path_factory.mktemp("traced"), **settings) as started:
        yield started


@pytest.fixture(scope="module")
def ann(system: System) -> Account:
    return new_account(system.base_url, "ann")


def lines_of(system: System, request_id: str) -> set[tuple[str, str]]:
    """Logger and event of each line about that request."""
    lines = [json.loads(line) for line in system.output().splitlines() if line.startswith("{")]
    return {(line["logger"], line["event"]) for line in lines if line.get("request_id") == request_id}


def upload(ann: Account, **headers: str) -> None:
    answer = ann.session.post(f"{ann.base_url}/files?name=a.txt", data=uuid.uuid4().bytes, headers=headers, timeout=60)
    assert answer.status_code == 201


def test_a_request_is_found_in_the_logs_of_all_processes(system: System, ann: Account) -> None:
    """Gateway, files, notifier and backup each have a line with the id that the client sent."""
    request_id = f"follow-{uuid.uuid4().hex}"
    upload(ann, **{"X-Request-Id": request_id})
    wanted = {
        ("gateway_http.app", "request"),
        ("docsave_services.files.outbox", "event_dispatched"),
        ("notifier_bridge.service", "event_heard"),
        ("backup.session", "version_copied"),
    }
    wait_until(lambda: wanted <= lines_of(system, request_id), 30)


def test_an_upload_is_one_trace(collector: Collector, ann: Account) -> None:
    """From the caller's span over gateway, call, transaction and event to the copy: each below one that is there."""
    trace, caller = uuid.uuid4().hex, uuid.uuid4().hex[:16]
    upload(ann, traceparent=f"00-{trace}-{caller}-01")

    def spans() -> list[Span]:
        return [span for span in collector.spans if span.trace == trace]

    wanted = {
        ("docsave-gateway", "POST /files"),
        ("docsave-gateway", "save blob"),
        ("docsave-gateway", "call files.apply"),
        ("docsave-files", "files.apply"),
        ("docsave-files", "transaction"),
        ("docsave-files", "dispatch File_create"),
        ("docsave-notifier", "notifier.file_changed"),
        ("docsave-backup", "copy version"),
    }
    wait_until(lambda: wanted <= {(span.service, span.name) for span in spans()}, 30)
    known = {span.id for span in spans()} | {caller}
    assert {span.parent for span in spans()} <= known
    by_name = {span.name: span for span in spans()}
    assert by_name["POST /files"].parent == caller
    assert by_name["files.apply"].parent == by_name["call files.apply"].id
