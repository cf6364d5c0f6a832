"""deploy/kubernetes and deploy/systemd, as far as they can be proved without a cluster and without booting."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from docsave_services.runtime.environment import FROM_FILES, ROOT
from docsave_services.runtime.programs import SERVICES, bootstrap_command, service_command

MANIFESTS = ROOT / "deploy" / "kubernetes"
KUSTOMIZATION = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OBJECTS = [found for name in KUSTOMIZATION["resources"] for found in yaml.safe_load_all((MANIFESTS / name).read_text())]
WORKLOADS = {found["metadata"]["name"]: found for found in OBJECTS if found["kind"] in ("Deployment", "Job")}
VERSION = kubernetes_validate.latest_version()


def _pod(name: str) -> dict[str, Any]:
    return WORKLOADS[name]["spec"]["template"]["spec"]


def _container(name: str) -> dict[str, Any]:
    (container,) = _pod(name)["containers"]
    return container


def _name(found: dict[str, Any]) -> str:
    return f"{found['kind']}-{found['metadata']['name']}"


@pytest.mark.parametrize("found", OBJECTS, ids=_name)
def test_object_fits_kubernetes_schema(found):
    """Every object is one that Kubernetes knows, without a key it does not know."""
    kubernetes_validate.validate(found, VERSION, strict=True)


def test_every_manifest_is_used():
    """Each file beside the kustomization is one of its resources."""
    files = {path.name for path in MANIFESTS.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(KUSTOMIZATION["resources"]) == files


def test_pods_run_what_the_supervisor_runs():
    """Each service has a workload with the command line of ``make run``, and so has the preparation."""
    for name in SERVICES:
        assert _container(name)["args"] == service_command(name, "python")
    assert _container("bootstrap")["args"] == bootstrap_command("python")
    assert set(WORKLOADS) == {*SERVICES, "bootstrap"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_pod_gets_only_the_secrets_it_needs(name):
    """Secrets are mounted as files, only those the service uses, each with its setting."""
    wanted = {variable.removeprefix("DOCSAVE_").lower() for variable in SERVICES[name].secrets}
    (mounted,) = [volume["secret"] for volume in _pod(name)["volumes"] if "secret" in volume]
    files = {item["path"]: item["key"] for item in mounted["items"]}
    assert files == {**{secret: secret for secret in wanted}, "amqp_uri": f"amqp_uri_{name}"}
    given = {entry["name"]: entry["value"] for entry in _container(name)["env"]}
    assert given == {f"DOCSAVE_{secret.upper()}_FILE": f"/run/secrets/{secret}" for secret in wanted}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_pod_has_the_volumes_of_its_container(name):
    """A service sees the same directories in a pod as under compose, read-only where it is there."""
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in _pod(name)["volumes"]
        if "persistentVolumeClaim" in volume
    }
    mounts = {
        (claims[mount["name"]].replace("-", "_"), mount["mountPath"], mount.get("readOnly", False))
        for mount in _container(name)["volumeMounts"]
        if mount["name"] in claims
    }
    assert mounts == {_of_compose(volume) for volume in COMPOSE["services"][name].get("volumes", [])}


def _of_compose(volume: str) -> tuple[str, str, bool]:
    name, path, *mode = volume.split(":")
    return name, path, mode == ["ro"]


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_pod_has_no_privileges(name):
    """No root, no capabilities, no writable image, no token of the cluster, and a bound on memory."""
    pod, container = _pod(name), _container(name)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]


def test_only_one_backup_works():
    """The new backup pod starts after the old one has ended, and there is one."""
    backup = WORKLOADS["backup"]["spec"]
    assert (backup["replicas"], backup["strategy"]) == (1, {"type": "Recreate"})


def test_no_secret_is_in_a_manifest():
    """Settings hold no secret; what a pod gets as a value is a setting's name or a file's."""
    literals = {text.partition("=")[0] for text in KUSTOMIZATION["configMapGenerator"][0]["literals"]}
    assert not literals & set(FROM_FILES)
    assert not [found for found in OBJECTS if found["kind"] == "Secret"]


def _unit() -> Iterator[tuple[str, str]]:
    section = ""
    for line in (ROOT / "deploy" / "systemd" / "docsave.service").read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            yield f"{section}.{key}", value


def test_unit_is_what_systemd_accepts(tmp_path: Path):
    """systemd finds nothing wrong in the unit, once its program exists; it starts what ``make run`` starts."""
    unit = dict(_unit())
    assert unit["Service.ExecStart"].split()[1:] == ["-m", "docsave_services.runtime.supervise"]
    assert unit["Service.KillMode"] == "mixed"
    text = (ROOT / "deploy" / "systemd" / "docsave.service").read_text()
    here = tmp_path / "docsave.service"
    here.write_text(text.replace("/opt/docsave/.venv/bin/python", shutil.which("python3") or ""))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(here)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
