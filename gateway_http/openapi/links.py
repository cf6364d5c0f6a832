"""Where one goes on from an answer: what was just made has an ``id``, which other operations take in their path."""

from __future__ import annotations

from typing import Any

Paths = dict[str, dict[str, Any]]


def add_links(paths: Paths) -> None:
    """From each POST that makes something to what can be done with it by its id alone."""
    for path, item in paths.items():
        made = item.get("post", {}).get("responses", {}).get("201", {})
        links = dict(_links(paths, f"{path}/{{id}}"))
        if links:
            made["links"] = links


def _links(paths: Paths, place: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (
            operation["operationId"],
            {"operationId": operation["operationId"], "parameters": {"id": "$response.body#/id"}},
        )
        for path, item in paths.items()
        if path.startswith(place) and path.count("{") == 1
        for operation in item.values()
    ]
