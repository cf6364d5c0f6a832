"""The example of a listener in the documentation works as it says."""

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import kombu
import pytest
from nameko.containers import ServiceContainer
from nameko.standalone.events import event_dispatcher

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "audit_listener.py"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unique_service_names: Any) -> ModuleType:
    specification = importlib.util.spec_from_file_location("audit_listener", EXAMPLE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "AUDIT_FILE", tmp_path / "audit.jsonl")
    monkeypatch.setattr(module.AuditListener, "name", unique_service_names("audit"))
    return module


@pytest.fixture
def listening(example: ModuleType, rabbit_config: dict[str, Any]) -> Iterator[ModuleType]:
    container = ServiceContainer(example.AuditListener, config=rabbit_config)
    container.start()
    yield example
    container.kill()
    with kombu.Connection(rabbit_config["AMQP_URI"]) as connection:
        for kind in ("create", "update", "delete"):
            connection.default_channel.queue_delete(f"evt-files-File_{kind}--{example.AuditListener.name}.on_change")


def test_the_listener_writes_each_change_once(
    listening: ModuleType, rabbit_config: dict[str, Any], wait_until: Callable[..., Any]
) -> None:
    """Every kind of change, and a repeat only once."""
    dispatch = event_dispatcher(rabbit_config)
    for event_id, kind in ((1, "create"), (1, "create"), (2, "update"), (3, "delete")):
        dispatch("files", f"File_{kind}", {"event_id": event_id, "type": f"File_{kind}"})

    def written() -> list[int]:
        return sorted(json.loads(line)["event_id"] for line in listening.AUDIT_FILE.read_text().splitlines())

    wait_until(lambda: written() == [1, 2, 3])
