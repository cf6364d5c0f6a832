"""The Postman collection and its environment, made of the OpenAPI document and of the walk in ``walk/``.

The document tells what each call is: method, path, who may call it, which answers there are. The walk tells in which
order to call what with which values, and what to look at in the answers; one file a folder. What a step names must be
in the document, and every call of the document must be in the walk.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from gateway import Gateway
from gateway_http.openapi import document

POSTMAN = Path(__file__).parent
COLLECTION = POSTMAN / "docsave.postman_collection.json"
ENVIRONMENT = POSTMAN / "docsave.postman_environment.json"

_FORMAT = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
_IDS = ("0d6f5c5e-4f0b-4b7e-9f0e-2a9c7c1d5e10", "6b1f0f54-94cb-4a3c-8f0f-7f2f9d3b8c21")
_ADDRESSES = {"base_url": "http://127.0.0.1:8000", "socket_url": "http://127.0.0.1:8001"}
_ASKED_OF_THE_USER = ("admin_login", "admin_password")
_SAMPLES = {"offer": "offer.txt", "signed": "offer-signed.txt"}
_OF_EVERY_REQUEST = ("Content-Length", "Content-Type")
_VARIABLE = re.compile(r"({{\w+}})")

Item = dict[str, Any]
Step = dict[str, Any]


class WrongStep(ValueError):
    """A step asks for what the document does not have."""


class Maker:
    """Makes items of steps. ``called`` are the operations that the walk has called so far."""

    def __init__(self, api: dict[str, Any]) -> None:
        self._api = api
        self._operations = {
            each["operationId"]: (method.upper(), path, each)
            for path, item in api["paths"].items()
            for method, each in item.items()
        }
        self.called: set[str] = set()

    def item(self, step: Step) -> Item:
        """A folder, or one request."""
        if not {"call", "send"} & set(step):
            events = [*_script("prerequest", step.get("before")), *_script("test", step.get("then"))]
            folder = {"name": step["name"], "description": step.get("about", "")}
            return {**folder, "event": events, "item": [self.item(each) for each in step.get("steps", ())]}
        method, url, operation = self._target(step)
        self._check(step, operation)
        request = {
            "method": method,
            "header": _headers(step),
            "url": _url(url, step.get("query", {})),
            "description": _description(step, operation),
            **_auth(step, operation),
            **_body(step),
        }
        examples = self._examples(step, request, operation)
        events = [*_script("prerequest", step.get("before")), *_script("test", self._tests(step, operation))]
        return {"name": step["name"], "event": events, "request": request, "response": examples}

    def uncalled(self) -> set[str]:
        """Operations of the document that no step has called."""
        return set(self._operations) - self.called

    def _target(self, step: Step) -> tuple[str, str, dict[str, Any] | None]:
        if "send" in step:
            method, url = step["send"].split(" ", 1)
            return method, url, None
        if step["call"] not in self._operations:
            raise WrongStep(f"{step['name']}: there is no {step['call']}")
        method, path, operation = self._operations[step["call"]]
        values = step.get("path", {})
        filled = re.sub(r"{(\w+)}", lambda name: values.get(name[1], f"{{{{{name[1]}}}}}"), path)
        return method, "{{base_url}}" + filled, operation

    def _check(self, step: Step, operation: dict[str, Any] | None) -> None:
        """``WrongStep`` for a field, a header or an answer that the document does not tell of."""
        if operation is None:
            return
        parameters = [self._resolved(parameter) for parameter in operation["parameters"]]
        known = {(parameter["in"], parameter["name"]) for parameter in parameters}
        used = {("query", name) for name in step.get("query", ())} | {
            ("header", name) for name in step.get("headers", ()) if name not in _OF_EVERY_REQUEST
        }
        if used - known:
            raise WrongStep(f"{step['name']}: {sorted(used - known)} are not parameters of {step['call']}")
        status, code = _expected(step)
        if status is None:
            return
        answer = self._resolved(operation["responses"].get(status, {"description": ""}))
        told = code is None or f"`{code}`" in answer["description"]
        if status not in operation["responses"] or not told:
            raise WrongStep(f"{step['name']}: {status} {code} is no answer of {step['call']}")

    def _resolved(self, value: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in value:
            return value
        found: Any = self._api
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return dict(found)

    def _answer_schema(self, step: Step, operation: dict[str, Any] | None) -> dict[str, Any]:
        status, _ = _expected(step)
        if operation is None or status is None or not status.startswith("2"):
            return {}
        content = operation["responses"][status].get("content", {}).get("application/json", {})
        return self._resolved(content.get("schema", {}))

    def _tests(self, step: Step, operation: dict[str, Any] | None) -> str:
        status, code = _expected(step)
        tests = []
        if status is not None:
            lines = [f"    pm.response.to.have.status({status});"]
            lines += [f'    pm.expect(pm.response.json().code).to.eql("{code}");'] if code else []
            tests.append("\n".join([f'pm.test("{status} {code or ""}".trim(), () => {{', *lines, "});"]))
        fields = self._answer_schema(step, operation).get("required", [])
        if fields:
            keys = ", ".join(f'"{field}"' for field in fields)
            check = f"pm.expect(pm.response.json()).to.include.all.keys({keys});"
            tests.append(f'pm.test("the documented fields", () => {{\n    {check}\n}});')
        return "\n\n".join([*tests, *([step["then"]] if "then" in step else [])])

    def _examples(self, step: Step, request: Item, operation: dict[str, Any] | None) -> list[Item]:
        """What comes back, as the document shows it: with the first step that calls an operation."""
        status, _ = _expected(step)
        if operation is None or operation["operationId"] in self.called or (status or "2").startswith("4"):
            return []
        self.called.add(operation["operationId"])
        examples = self._answer_schema(step, operation).get("examples")
        if status is None or not examples:
            return []
        return [
            {
                "name": f"{status}: {operation['responses'][status]['description']}",
                "originalRequest": {key: request[key] for key in ("method", "header", "url")},
                "code": int(status),
                "_postman_previewlanguage": "json",
                "header": [{"key": "Content-Type", "value": "application/json"}],
                "body": json.dumps(examples[0], indent=2, ensure_ascii=False),
            }
        ]


def _expected(step: Step) -> tuple[str | None, str | None]:
    """Status and problem code that a step waits for; None where its own script looks at them."""
    if "expect" not in step:
        return None, None
    status, _, code = str(step["expect"]).partition(" ")
    return status, code or None


def _script(listen: str, text: str | None) -> list[Item]:
    if not text:
        return []
    return [{"listen": listen, "script": {"type": "text/javascript", "exec": text.splitlines()}}]


def _headers(step: Step) -> list[Item]:
    kind = "application/json" if "json" in step else step.get("type")
    named = {**({"Content-Type": kind} if kind else {}), **step.get("headers", {})}
    return [{"key": name, "value": value} for name, value in named.items()]


def _url(url: str, query: dict[str, str]) -> Item:
    host, *path = url.split("/")
    fields = [{"key": name, "value": _encoded(value)} for name, value in query.items()]
    raw = url + ("?" + "&".join(f"{field['key']}={field['value']}" for field in fields) if fields else "")
    return {"raw": raw, "host": [host], "path": path, **({"query": fields} if fields else {})}


def _encoded(value: str) -> str:
    """A value of a query, its variables left alone."""
    return "".join(part if _VARIABLE.fullmatch(part) else quote(part, safe="/,:=") for part in _VARIABLE.split(value))


def _auth(step: Step, operation: dict[str, Any] | None) -> Item:
    open_to_all = operation is None or not operation["security"] or {} in operation["security"]
    who = step.get("as", "nobody" if open_to_all and operation else None)
    if who is None:
        return {}
    if who == "nobody":
        return {"auth": {"type": "noauth"}}
    return {"auth": _bearer(who)}


def _bearer(token: str) -> Item:
    return {"type": "bearer", "bearer": [{"key": "token", "value": token, "type": "string"}]}


def _body(step: Step) -> Item:
    if "json" in step:
        text = json.dumps(step["json"], indent=2, ensure_ascii=False)
        return {"body": {"mode": "raw", "raw": text, "options": {"raw": {"language": "json"}}}}
    if "text" in step:
        return {"body": {"mode": "raw", "raw": step["text"], "options": {"raw": {"language": "text"}}}}
    if "file" in step:
        return {"body": {"mode": "file", "file": {"src": step["file"]}}}
    if "form" in step:
        fields = [
            {"key": name, "type": "file", "src": value[1:]}
            if value.startswith("@")
            else {"key": name, "type": "text", "value": value}
            for name, value in step["form"].items()
        ]
        return {"body": {"mode": "formdata", "formdata": fields}}
    return {}


def _description(step: Step, operation: dict[str, Any] | None) -> str:
    text: str = step["why"]
    if operation is None:
        return text
    statuses = ", ".join(operation["responses"])
    return f"{text}\n\n`{operation['operationId']}` in the OpenAPI document. Its answers: {statuses}."


def _samples() -> Iterator[tuple[str, str]]:
    """What the walk expects of the files that it uploads."""
    for prefix, name in _SAMPLES.items():
        content = (POSTMAN / "files" / name).read_bytes()
        yield f"{prefix}_sha256", hashlib.sha256(content).hexdigest()
        yield f"{prefix}_size", str(len(content))


def collection() -> dict[str, Any]:
    """The collection; ``WrongStep`` when walk and document do not fit."""
    head, *folders = [yaml.safe_load(path.read_text("utf-8")) for path in sorted((POSTMAN / "walk").glob("*.yml"))]
    maker = Maker(document(Gateway))
    items = [maker.item(folder) for folder in folders]
    if maker.uncalled():
        raise WrongStep(f"no step shows how these succeed: {sorted(maker.uncalled())}")
    variables = {**dict(_samples()), **head["variables"]}
    return {
        "info": {"_postman_id": _IDS[0], "name": head["name"], "description": head["about"], "schema": _FORMAT},
        "auth": _bearer("{{access_token}}"),
        "event": _script("test", head["then"]),
        "variable": [{"key": name, "value": value} for name, value in variables.items()],
        "item": items,
    }


def environment(made: dict[str, Any]) -> dict[str, Any]:
    """The variables that the scripts of a collection set, and what a person may enter before."""
    set_by_scripts = dict.fromkeys(re.findall(r'pm\.environment\.set\(\\"(\w+)\\"', json.dumps(made)))
    names = {**_ADDRESSES, **dict.fromkeys((*_ASKED_OF_THE_USER, *set_by_scripts), "")}
    values = [
        {"key": name, "value": value, "type": "secret" if _is_secret(name) else "default", "enabled": True}
        for name, value in names.items()
    ]
    return {"id": _IDS[1], "name": "docsave (local)", "values": values, "_postman_variable_scope": "environment"}


def _is_secret(name: str) -> bool:
    return name.endswith(("password", "token", "_key", "secret"))


def files() -> dict[Path, str]:
    """What ``make postman`` writes."""
    made = collection()
    values = {COLLECTION: made, ENVIRONMENT: environment(made)}
    return {path: json.dumps(value, indent=2, ensure_ascii=False) + "\n" for path, value in values.items()}


if __name__ == "__main__":  # make postman
    try:
        for place, content in files().items():
            place.write_text(content, encoding="utf-8")
    except WrongStep as exc:
        sys.exit(str(exc))
