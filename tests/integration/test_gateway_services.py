"""The gateway with the real users and files services behind it, as processes, on SQLite and a real broker."""

from collections.abc import Iterator

import pytest
import requests

from docsave_services.db.migrate import upgrade
from tests.integration.gateway_process import GatewayProcess, problem_of
from tests.support.rabbitmq import Broker
from tests.support.waiting import wait_until

PASSWORD = "correct horse 1"


@pytest.fixture(scope="module")
def gateway(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(
        broker.amqp_uri, tmp_path_factory.mktemp("gateway"), ADMIN_LOGIN="admin", ADMIN_PASSWORD=PASSWORD
    )
    upgrade(f"sqlite:///{gateway.directory}/data/docsave.sqlite3")
    services = [
        gateway.run(f"docsave_services.{name}") for name in ("users.service:UsersService", "files.service:FilesService")
    ]
    wait_until(lambda: gateway.get("/health/ready").json()["checks"]["files"]["status"] == "ok", 30)
    wait_until(lambda: gateway.get("/health/ready").json()["checks"]["users"]["status"] == "ok", 30)
    yield gateway
    gateway.stop()
    for service in services:
        service.stop()


class Person:
    """Somebody with an account."""

    def __init__(self, gateway: GatewayProcess, login: str) -> None:
        self.gateway = gateway
        created = gateway.request("POST", "/users", json={"login": login, "password": PASSWORD, "name": login.title()})
        assert created.status_code == 201, created.text
        self.user = created.json()
        token = gateway.request("POST", "/login", json={"login": login, "password": PASSWORD}).json()
        assert token["token_type"] == "Bearer"
        self.headers = {"Authorization": f"Bearer {token['access_token']}"}

    def ask(self, method: str, path: str, **kwargs) -> requests.Response:
        return self.gateway.request(method, path, headers=self.headers, **kwargs)

    def save(self, name: str, content: bytes) -> dict:
        answer = self.ask("POST", "/files", files={"file": (name, content)})
        assert answer.status_code == 201, answer.text
        return answer.json()


def test_the_life_of_a_document(gateway: GatewayProcess) -> None:
    """Save, read, replace, rename, delete: versions, entity tags and bytes are right at each step."""
    anna = Person(gateway, "anna")
    file = anna.save("plan.txt", b"one")
    path = f"/files/{file['id']}"
    assert (file["version"], file["name"], file["size"], file["user_id"]) == (1, "plan.txt", 3, anna.user["id"])
    assert anna.ask("GET", path).json() == file
    again = anna.ask("PUT", f"{path}/content", data=b"one")
    assert again.json()["version"] == 1
    second = anna.ask("PUT", f"{path}/content", data=b"two!")
    assert (second.json()["version"], second.json()["size"]) == (2, 4)
    third = anna.ask("PATCH", path, json={"name": "Plan é.txt"})
    assert (third.json()["version"], third.json()["name"]) == (3, "Plan é.txt")
    content = anna.ask("GET", f"{path}/content")
    assert (content.content, content.headers["ETag"]) == (b"two!", f'"{third.json()["sha256"]}"')
    assert anna.ask("DELETE", path).status_code == 204
    for method, rest in [("GET", ""), ("GET", "/content"), ("DELETE", "")]:
        problem_of(anna.ask(method, path + rest), 404, "not_found")
    assert [f["id"] for f in anna.ask("GET", "/files?deleted=true").json()["items"]] == [file["id"]]
    assert anna.ask("GET", "/files").json() == {"items": [], "next": None}


def test_people_do_not_see_each_other(gateway: GatewayProcess) -> None:
    """Another user's file is 404 and in no list; the administrator sees it."""
    ben, cleo = Person(gateway, "ben"), Person(gateway, "cleo")
    file = ben.save("secret.txt", b"x")
    problem_of(cleo.ask("GET", f"/files/{file['id']}"), 404, "not_found")
    problem_of(cleo.ask("DELETE", f"/files/{file['id']}"), 404, "not_found")
    assert cleo.ask("GET", "/files").json()["items"] == []


def test_the_list_in_pages(gateway: GatewayProcess) -> None:
    """Pages by cursor, in the asked order, neither skip nor repeat."""
    dora = Person(gateway, "dora")
    for n in range(5):
        dora.save(f"{n}.txt", b"a" * n)
    names: list[str] = []
    after = ""
    while after is not None:
        page = dora.ask("GET", f"/files?limit=2&sort=-size{after and '&after=' + after}").json()
        names += [file["name"] for file in page["items"]]
        after = page["next"]
    assert names == [f"{n}.txt" for n in (4, 3, 2, 1, 0)]
    problem_of(dora.ask("GET", "/files?after=nonsense"), 422, "invalid_input")


def test_accounts(gateway: GatewayProcess) -> None:
    """Accounts: who am I, another name, another password with the current one; a login is taken once."""
    emil = Person(gateway, "emil")
    assert emil.ask("GET", "/users/me").json() == emil.user
    assert emil.ask("PATCH", "/users/me", json={"name": "E."}).json()["name"] == "E."
    new = {"password": "another horse 2"}
    problem_of(emil.ask("PATCH", "/users/me", json=new), 403, "wrong_password")
    problem_of(emil.ask("PATCH", "/users/me", json={"name": None}), 422, "invalid_input")
    assert emil.ask("PATCH", "/users/me", json={**new, "current_password": PASSWORD}).ok
    bad = [
        gateway.request("POST", "/login", json={"login": login, "password": PASSWORD}) for login in ("emil", "nobody")
    ]
    problems = [problem_of(answer, 401, "bad_credentials") for answer in bad]
    assert problems[0]["detail"] == problems[1]["detail"]
    taken = gateway.request("POST", "/users", json={"login": " EMIL ", "password": PASSWORD})
    problem_of(taken, 409, "login_taken")
    short = gateway.request("POST", "/users", json={"login": "x", "password": "short"})
    assert {e["field"] for e in problem_of(short, 422, "invalid_input")["errors"]} == {"login", "password"}
    assert PASSWORD not in gateway.program.output()
