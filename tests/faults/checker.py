"""Compares what was answered with what is there. Each function returns violations: sentences, none when all is well.

The journal is the middle: it is compared with the database's rows and the diaries, and everything else with it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from docsave_services.storage import blob_key
from tests.faults.diary import Diary, Outcome, Request
from tests.faults.evidence import Backups, Evidence, Rows

Event = Mapping[str, Any]
_STATUSES = {200, 201, 204, 404, 422, 503}
"""What docsave may answer to the requests of these tests, whatever is broken."""


def check_answers(requests: Iterable[Request], excused: Collection[int] = ()) -> list[str]:
    """Statuses are documented ones, what must be refused is, and nothing else is but with an ``excused`` status."""
    found = []
    uncertain = {request.file_id for request in requests if _maybe_deleted(request)}
    for request in requests:
        if request.status is not None and request.status not in _STATUSES and request.status not in excused:
            found.append(f"undocumented status {request.status}: {request}")
        if request.doomed and request.outcome is Outcome.ACK:
            found.append(f"acknowledged what must be refused: {request}")
        rejected = request.outcome is Outcome.REJECT and not request.doomed
        if rejected and request.status not in excused and not (request.status == 404 and request.file_id in uncertain):
            found.append(f"refused without reason: {request}")
    return found


def _maybe_deleted(request: Request) -> bool:
    return request.act == "delete" and request.outcome is Outcome.UNKNOWN


def check_kept(evidence: Evidence, diary: Diary, everything: Iterable[Request], killed: int) -> list[str]:
    """What is kept is what ``diary`` says; ``everything`` is what was ever asked of this system."""
    journal, rows = evidence.journal, evidence.rows
    return [
        *check_journal(journal, rows),
        *check_diary(diary.requests, diary.user_ids, journal),
        *check_accounts(diary, rows),
        *check_blobs(evidence.blobs, evidence.staging, journal, everything, killed),
        *check_backup(evidence.backups, journal),
    ]


def check_journal(journal: Sequence[Event], rows: Rows) -> list[str]:
    """Numbers and each file's versions are 1, 2, 3…; the RPC and the table agree; the files' rows are the end."""
    found = []
    if [event["event_id"] for event in journal] != list(range(1, rows.last + 1)):
        found.append(f"the journal is not 1..{rows.last} without a hole: {_breaks(journal)}")
    if [{key: event[key] for key in row} for event, row in zip(journal, rows.events, strict=False)] != rows.events:
        found.append("files.changes and the table file_event differ")
    state: dict[int, Event] = {}
    for event in journal:
        before = state.get(event["id"])
        found += _check_step(before, event)
        state[event["id"]] = event
    return found + _check_file_rows(state, rows.files)


def _breaks(journal: Sequence[Event]) -> str:
    ids = [0] + [event["event_id"] for event in journal]
    return ", ".join(f"{b} after {a}" for a, b in itertools.pairwise(ids) if b != a + 1) or f"ends at {ids[-1]}"


def _check_step(before: Event | None, event: Event) -> list[str]:
    found = []
    if event["version"] != (before["version"] + 1 if before else 1):
        found.append(f"version {event['version']} does not follow {before and before['version']}: {event}")
    if (event["type"] == "File_create") != (before is None):
        found.append(f"a file must begin with File_create, once: {event}")
    if before is not None and before["type"] == "File_delete":
        found.append(f"a deleted file changed: {event}")
    if event["path"] != blob_key(event["sha256"]):
        found.append(f"path and sha256 differ: {event}")
    return found


def _check_file_rows(state: Mapping[int, Event], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    found = []
    for row in rows:
        event = state.get(row["id"])
        if event is None:
            found.append(f"file {row['id']} exists but the journal does not know it")
            continue
        same = all(row[key] == event[key] for key in ("user_id", "name", "path", "size", "sha256", "version"))
        if not same or (row["deleted_at"] is not None) != (event["type"] == "File_delete"):
            found.append(f"the row of file {row['id']} is not what the journal says: {row}, {event}")
        if row["protected_version"] != row["version"]:
            found.append(f"file {row['id']} is protected up to version {row['protected_version']} of {row['version']}")
    missing = set(state) - {row["id"] for row in rows}
    return found + [f"file {file_id} is in the journal but has no row" for file_id in sorted(missing)]


def check_diary(requests: Sequence[Request], user_ids: set[int], journal: Sequence[Event]) -> list[str]:
    """Every ACK is one event with what was answered, every UNKNOWN one at most, a REJECT none, and none is made up."""
    found = []
    causes = {_cause_of(request): request for request in requests if request.act != "sign_up"}
    acknowledged = [request for request in requests if request.outcome is Outcome.ACK and request.act != "sign_up"]
    effects: dict[Any, list[Event]] = defaultdict(list)
    state: dict[int, Event] = {}
    for event in journal:
        if event["user_id"] in user_ids:
            effects[_effect_of(state.get(event["id"]), event)].append(event)
        state[event["id"]] = event
    for effect, events in effects.items():
        if len(events) > 1:
            found.append(f"happened {len(events)} times: {effect}")
        cause = causes.get(effect)
        if cause is None or not _may_have_effect(effect, requests):
            found.append(f"nobody asked for event {events[0]['event_id']}, or it was refused: {effect}")
    for request in acknowledged:
        found += _check_acknowledged(request, effects.get(_cause_of(request), []))
    return found + _check_order(acknowledged, requests, effects)


def _cause_of(request: Request) -> Any:
    return (request.act, request.file_id, request.sha256, request.name)


def _effect_of(before: Event | None, event: Event) -> Any:
    if event["type"] == "File_create":
        return ("upload", None, event["sha256"], event["name"])
    if event["type"] == "File_delete":
        return ("delete", event["id"], None, None)
    if before is not None and before["sha256"] != event["sha256"] and before["name"] == event["name"]:
        return ("replace", event["id"], event["sha256"], None)
    return ("rename", event["id"], None, event["name"])


def _may_have_effect(effect: Any, requests: Sequence[Request]) -> bool:
    return any(_cause_of(request) == effect and request.outcome is not Outcome.REJECT for request in requests)


def _check_acknowledged(request: Request, events: Sequence[Event]) -> list[str]:
    if not events:
        return [f"acknowledged and missing from the journal: {request}"]
    event, answer = events[0], request.answer
    if event["by"] != request.user_id or (request.size is not None and event["size"] != request.size):
        return [f"journaled wrongly: {request}, {event}"]
    keys = ("id", "user_id", "version", "name", "size", "sha256", "media_type")
    if answer and any(answer[key] != event[key] for key in keys):
        return [f"answered {answer}, journaled {event}"]
    return []


def _check_order(
    acknowledged: Sequence[Request], requests: Sequence[Request], effects: Mapping[Any, Sequence[Event]]
) -> list[str]:
    """What was acknowledged before another request began comes before it in the journal.

    A repeated request began when it was first sent: that one may have had the effect and lost its answer.
    """
    first = {_cause_of(request): request.began for request in sorted(requests, key=lambda r: r.began, reverse=True)}
    placed = [(r, effects[_cause_of(r)][0]["event_id"]) for r in acknowledged if effects.get(_cause_of(r))]
    ended = sorted((request.ended, event_id) for request, event_id in placed)
    found, highest, index = [], 0, 0
    for began, event_id in sorted((first[_cause_of(request)], event_id) for request, event_id in placed):
        while index < len(ended) and ended[index][0] < began:
            highest = max(highest, ended[index][1])
            index += 1
        if event_id < highest:
            found.append(f"event {event_id} began after event {highest} was acknowledged")
    return found


def check_accounts(requests: Iterable[Request], rows: Rows) -> list[str]:
    """An acknowledged account exists once, an uncertain one once at most."""
    logins = Counter(rows.logins)
    found = []
    for request in requests:
        if request.act == "sign_up":
            allowed = {Outcome.ACK: {1}, Outcome.UNKNOWN: {0, 1}, Outcome.REJECT: {0}}[request.outcome]
            if logins[request.name or ""] not in allowed:
                found.append(f"the account {request.name} exists {logins[request.name or '']} times: {request}")
    return found


def check_blobs(
    blobs: Mapping[str, str], staging: Sequence[str], journal: Sequence[Event], requests: Iterable[Request], killed: int
) -> list[str]:
    """Each blob is what its name says; each version has its blob; the rest belongs to requests of unknown outcome.

    ``killed`` is how many uploads in progress may have died with their process and left a staging file.
    """
    found = [f"blob {key} has other bytes: {sha256}" for key, sha256 in blobs.items() if key != blob_key(sha256)]
    wanted = {event["path"] for event in journal}
    found += [
        f"the blob of version {event['version']} of file {event['id']} is missing: {event['path']}"
        for event in journal
        if event["path"] not in blobs
    ]
    excused = {blob_key(r.sha256) for r in requests if r.sha256 and r.outcome is Outcome.UNKNOWN}
    found += [f"blob {key} belongs to no version and to no open request" for key in set(blobs) - wanted - excused]
    if len(staging) > killed:
        found.append(f"{len(staging)} unfinished uploads are left, {killed} at most died: {staging}")
    return found


def check_backup(backups: Backups, journal: Sequence[Event]) -> list[str]:
    """One complete, read-only entry for each version, the journal's event in it and the exact bytes; nothing else."""
    found = [f"does not belong into the history: {name}" for name in backups.strange]
    found += [f"is not read-only: {name}" for name in backups.writable]
    wanted = {(event["user_id"], event["id"], event["version"]): event for event in journal}
    for key, event in wanted.items():
        expected = [] if event["type"] == "File_delete" else [event["sha256"]]
        if key not in backups.events:
            found.append(f"the backup lacks version {event['version']} of file {event['id']}")
        elif {name: backups.events[key].get(name) for name in event} != dict(event):  # an entry says more: its link
            found.append(f"the backup's event differs: {backups.events[key]}, {event}")
        if backups.contents.get(key, []) != expected:
            found.append(
                f"the backup's content of version {event['version']} of file {event['id']} is not the version's: "
                f"{backups.contents.get(key)}"
            )
    extra = (set(backups.events) | set(backups.contents)) - set(wanted)
    found += [f"the backup has a version that the journal does not know: {key}" for key in sorted(extra)]
    return found + _check_objects(backups, {event["path"] for event in wanted.values()})


def _check_objects(backups: Backups, known: set[str]) -> list[str]:
    found = [f"object {key} has other bytes" for key, sha256 in backups.objects.items() if key != blob_key(sha256)]
    return found + [f"object {key} belongs to no version" for key in sorted(set(backups.objects) - known)]


def check_heard(who: str, heard: Sequence[Event], expected: Sequence[Event]) -> list[str]:
    """A listener heard all that concerns it, once, in order, and nothing else."""
    if list(heard) == list(expected):
        return []
    ids, wanted = [event["event_id"] for event in heard], [event["event_id"] for event in expected]
    missing, extra = sorted(set(wanted) - set(ids)), sorted(set(ids) - set(wanted))
    twice = sorted(event_id for event_id, times in Counter(ids).items() if times > 1)
    detail = f"missing {missing}, foreign {extra}, twice {twice}" if ids != wanted else "other fields than journaled"
    if not (missing or extra or twice) and ids != wanted:
        detail = "in another order"
    return [f"{who} did not hear exactly the journal: {detail}"]


def sha256(content: bytes) -> str:
    """The hash of ``content`` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
