"""One example of each thing that readers look at; tests hold them against the schemas."""

from __future__ import annotations

from typing import Any

_TIME = "2026-11-24T10:15:00.000Z"
_SHA256 = "c062197f34cc5df02888ee85b71055f442b64599179eea3b93753ecbecb7920a"
_EPOCH = "c2b10291-326c-42db-b246-e5ae34e5e15a"
_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIyIn0.c2lnbmF0dXJl"  # noqa: S105 - it is signed by nobody

_USER = {
    "id": 2,
    "login": "anna",
    "name": "Anna",
    "role": "user",
    "active": True,
    "created_at": _TIME,
    "updated_at": _TIME,
}
_FILE = {
    "id": 1,
    "user_id": 2,
    "name": "offer.txt",
    "size": 15,
    "media_type": "text/plain",
    "sha256": _SHA256,
    "version": 1,
    "created_at": _TIME,
    "updated_at": _TIME,
    "deleted_at": None,
    "folder": "clients/acme",
    "labels": {"crm.deal": "42"},
    "backup": {"state": "pending", "version": 0},
}
_HOLD = {
    "user_id": 2,
    "file_id": 1,
    "version": None,
    "reason": "lawsuit 12/2026",
    "by": 1,
    "at": _TIME,
    "released_by": None,
    "released_at": None,
}
_EVENT = {
    "event_id": 7,
    "type": "File_create",
    "id": 1,
    "user_id": 2,
    "name": "offer.txt",
    "path": f"c0/62/{_SHA256}",
    "size": 15,
    "media_type": "text/plain",
    "sha256": _SHA256,
    "version": 1,
    "at": _TIME,
    "by": 2,
    "folder": "clients/acme",
    "labels": {"crm.deal": "42"},
    "permanent": False,
    "cursor": f"{_EPOCH}:7",
}
_KEY = {
    "id": 3,
    "name": "CRM",
    "prefix": "dsk_3f9a",
    "scopes": ["files:read", "files:write"],
    "created_at": _TIME,
    "expires_at": None,
    "last_used_at": None,
}
_WEBHOOK = {
    "id": 4,
    "user_id": 2,
    "key_id": None,
    "url": "https://crm.example.com/docsave",
    "description": "the CRM",
    "events": ["File_create"],
    "folder": "clients",
    "labels": ["crm.deal"],
    "system": None,
    "all_users": False,
    "state": "active",
    "reason": None,
    "cursor": f"{_EPOCH}:7",
    "lag": 0,
    "lag_seconds": 0.0,
    "tries": 0,
    "failing_since": None,
    "retry_at": None,
    "last_at": _TIME,
    "last_code": 200,
    "last_error": None,
    "failed_at": _TIME,
    "failed_code": 503,
    "failed_error": "refused",
    "old_secret_until": None,
    "created_at": _TIME,
    "updated_at": _TIME,
}
_DELIVERY = {
    "id": 5,
    "message_id": "msg_4_7",
    "kind": "event",
    "event_id": 7,
    "type": "File_create",
    "cursor": f"{_EPOCH}:7",
    "state": "delivered",
    "tries": 1,
    "code": 200,
    "answer": "",
    "error": None,
    "milliseconds": 87,
    "created_at": _TIME,
    "updated_at": _TIME,
}

EXAMPLES: dict[str, Any] = {
    "NewUser": {"login": "anna", "password": "correct horse 1", "name": "Anna"},
    "Credentials": {"login": "anna", "password": "correct horse 1"},
    "RefreshToken": {"refresh_token": "dsr_9a1f2c"},
    "UserPatch": {"name": "Anna Amsel"},
    "UserPatchByAdmin": {"quota_bytes": 10**9},
    "NewApiKey": {"name": "CRM", "scopes": ["files:read", "files:write"]},
    "FilePatch": {"name": "offer-final.txt", "labels": {"crm.deal": "42"}},
    "Operations": {
        "operations": [
            {"op": "rename", "id": 1, "name": "offer-2.txt", "if_match": "v1"},
            {"op": "move", "id": 1, "folder": "done"},
            {"op": "delete", "id": 3},
        ]
    },
    "RestoreOrder": {"scope": {"folder": "clients/acme"}, "at": "2026-11-24T10:15:00Z", "dry_run": True},
    "HoldWanted": {"reason": "lawsuit 12/2026"},
    "Hold": _HOLD,
    "HoldList": {"items": [_HOLD], "next": None},
    "NewWebhook": {"url": "https://crm.example.com/docsave", "events": ["File_create"], "labels": ["crm.deal"]},
    "WebhookPatch": {"state": "paused"},
    "Redelivery": {"event_id": 7},
    "TokenPair": {"access_token": _TOKEN, "token_type": "Bearer", "expires_in": 900, "refresh_token": "dsr_9a1f2c"},
    "User": _USER,
    "UserDetails": {**_USER, "quota_bytes": None},
    "UserPage": {"items": [{**_USER, "quota_bytes": None}], "next": None},
    "AuditPage": {
        "items": [
            {
                "id": 9,
                "at": _TIME,
                "action": "logged_in",
                "user_id": 2,
                "by": 2,
                "address": "192.0.2.7",
                "session_id": "0f8fad5bd9cb469fa16570867728950e",
                "key_id": None,
                "detail": {},
            }
        ],
        "next": None,
    },
    "OwnSessions": {
        "items": [
            {
                "id": "0f8fad5bd9cb469fa16570867728950e",
                "created_at": _TIME,
                "last_used_at": _TIME,
                "address": "192.0.2.7",
                "agent": "curl/8.5.0",
                "current": True,
            }
        ]
    },
    "ApiKeys": {"items": [_KEY]},
    "ApiKeyWithKey": {**_KEY, "key": "dsk_3f9a8d6c1b"},
    "File": _FILE,
    "FilePage": {"items": [_FILE], "next": None},
    "FolderPage": {"items": [{"folder": "clients/acme", "files": 1}], "next": None},
    "Usage": {"user_id": 2, "files": 1, "used_bytes": 15, "quota_bytes": None},
    "BatchResults": {
        "results": [
            {"status": 200, "file": _FILE},
            {"status": 404, "code": "not_found", "detail": "There is nothing here."},
        ]
    },
    "Versions": {
        "items": [
            {
                "version": 1,
                "event": "File_create",
                "name": "offer.txt",
                "size": 15,
                "sha256": _SHA256,
                "at": _TIME,
                "media_type": "text/plain",
                "folder": "clients/acme",
                "labels": {},
                "by": 2,
                "permanent": False,
            }
        ],
        "next": None,
    },
    "VersionProof": {
        "format": "docsave-proof-1",
        "store_id": "5f1c2a3e-7d7e-4f58-9a52-2b1d4c6e8f00",
        "epoch": _EPOCH,
        "entry": {"event_id": 1, "type": "File_create", "id": 1, "version": 1, "sha256": _SHA256},
        "index": 0,
        "size": 2,
        "path": ["2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"],
        "root": "486ea46224d1bb4fb680f34f7c9ad96a8f24ec88be73ea8e5a6c65260e9cb8a7",
    },
    "RestoreReport": {
        "at": f"{_EPOCH}:7",
        "dry_run": True,
        "counts": {"unchanged": 4, "undeleted": 1},
        "items": [
            {
                "id": 1,
                "user_id": 2,
                "name": "offer.txt",
                "folder": "clients/acme",
                "action": "undeleted",
                "restored_version": 1,
                "version": 2,
            }
        ],
        "next": None,
    },
    "FileEvent": _EVENT,
    "ChangesPage": {"items": [_EVENT], "cursor": f"{_EPOCH}:7", "more": False},
    "Webhook": _WEBHOOK,
    "WebhookPage": {"items": [_WEBHOOK], "next": None},
    "Delivery": _DELIVERY,
    "DeliveryPage": {"items": [_DELIVERY], "next": None},
    "WebhookWithSecret": {**_WEBHOOK, "secret": "whsec_c2VjcmV0"},
    "NewSecret": {"id": 4, "secret": "whsec_c2VjcmV0", "old_secret_until": _TIME},
    "DownloadWanted": {"path": "/files/1/content"},
    "DownloadTicket": {"url": f"/files/1/content?ticket={_TOKEN}", "expires_in": 60},
    "BackupStatus": {
        "state": "active",
        "reason": None,
        "cursor": f"{_EPOCH}:7",
        "head": f"{_EPOCH}:7",
        "lag_events": 0,
        "waiting": 0,
        "copied": 7,
        "failing": [],
        "failing_total": 0,
    },
    "ConsoleSettings": {
        "version": "0.1.0",
        "notifier_url": None,
        "notifier_port": 8001,
        "registration": "open",
        "max_file_bytes": 5368709120,
    },
    "Live": {"status": "ok", "version": "0.1.0"},
    "Ready": {"status": "failed", "checks": {"broker": {"status": "ok"}, "files": {"status": "failed", "detail": "…"}}},
}
