"""What is deployed fits the code: settings, ports, metrics and files that `deploy/` names do exist.

There is no container engine here: the files are checked as data, and by `docker compose config` where it is.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from prometheus_client import CollectorRegistry

from learner.settings import LearnerSettings
from schemas.environment import ENV_PREFIX
from stream.metrics import Metrics
from stream.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
VARIABLES = {ENV_PREFIX + spec.name.upper() for kind in (Settings, LearnerSettings) for spec in fields(kind)}
INTERPOLATION = re.compile(r"\$\{(\w+)[^}]*\}")
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|DATABASE$")

serving = pytest.mark.parametrize("name", sorted(SERVICES))


def manifests() -> Iterator[dict[str, Any]]:
    for path in sorted((DEPLOY / "k8s").glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


MANIFESTS = list(manifests())
WORKLOADS = [manifest for manifest in MANIFESTS if manifest["kind"] in ("Deployment", "StatefulSet")]
workloads = pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload["metadata"]["name"])


def named(kind: str) -> set[str]:
    return {manifest["metadata"]["name"] for manifest in MANIFESTS if manifest["kind"] == kind}


def test_a_variable_that_two_processes_read_means_the_same_to_both() -> None:
    """One environment is given to worker and learner: a field of both has one default and one meaning."""
    worker, learner = (
        {spec.name: spec.default for spec in fields(kind)} for kind in (Settings, LearnerSettings)
    )
    assert {
        name: worker[name] for name in worker.keys() & learner.keys() if worker[name] != learner[name]
    } == {}


# --- compose


def test_compose_has_the_whole_loop() -> None:
    assert SERVICES.keys() >= {"kafka", "postgres", "worker", "learner", "prometheus", "grafana"}


@serving
def test_a_service_waits_only_for_what_it_can_see(name: str) -> None:
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        if wait["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        if wait["condition"] == "service_completed_successfully":
            assert SERVICES[other]["restart"] == "no"


@serving
def test_ports_are_bound_to_the_loopback(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


@serving
def test_secrets_come_from_the_environment_and_are_asked_for(name: str) -> None:
    example = (DEPLOY / ".env.example").read_text(encoding="utf-8")
    for variable, value in SERVICES[name].get("environment", {}).items():
        assert not SECRET.search(variable) or ":?" in value, f"{variable} holds its secret, or a default"
        for asked in INTERPOLATION.findall(value):
            assert f"\n{asked}=\n" in example


@serving
def test_settings_are_known_and_work(name: str) -> None:
    environment = SERVICES[name].get("environment", {})
    ours = {variable: value for variable, value in environment.items() if variable.startswith(ENV_PREFIX)}
    assert ours.keys() <= VARIABLES
    given = {variable: INTERPOLATION.sub("secret", value) for variable, value in ours.items()}
    Settings.from_env(given)
    LearnerSettings.from_env(given)


@serving
def test_volumes_are_declared_and_files_are_there(name: str) -> None:
    for mount in SERVICES[name].get("volumes", ()):
        source = mount.split(":")[0]
        if source.startswith("./"):
            assert (DEPLOY / source).exists()
        elif not source.startswith("$"):
            assert source in COMPOSE["volumes"]


def test_the_worker_is_probed_where_it_answers() -> None:
    worker = SERVICES["worker"]
    port = worker["environment"]["FRESHRANK_WEB_PORT"]
    assert worker["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f":{port}/healthz" in worker["healthcheck"]["test"][-1]


def test_compose_runs_the_kafka_that_the_tests_run() -> None:
    pom = ElementTree.parse(DEPLOY / "kafka" / "pom.xml")
    version = pom.findtext(".//{*}properties/{*}kafka.version")
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version}"


def test_docker_accepts_the_compose_file() -> None:
    compose = ["docker", "compose"]
    try:
        subprocess.run([*compose, "version"], capture_output=True, check=True, timeout=30)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("no `docker compose` on this machine: the file is checked as data only")
    command = [*compose, "-f", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    secrets = {"POSTGRES_PASSWORD": "x", "GRAFANA_PASSWORD": "x", "FRESHRANK_WEB_TOKEN": "x"}
    ran = subprocess.run(command, env=secrets, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr


# --- image


def test_the_image_copies_only_what_its_context_holds() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    context = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert all(any(source == held or source.startswith(f"{held}/") for held in context) for source in copied)
    assert [source for source in copied if not (ROOT / source).exists()] == []


def test_the_image_does_not_run_as_root_and_its_python_is_ours() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE) == ["10001"]
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {"python:3.11-slim"}
    assert set(re.findall(rf"{ENV_PREFIX}\w+", dockerfile)) <= VARIABLES


# --- Kubernetes


@workloads
def test_a_workload_selects_its_own_pods(workload: dict[str, Any]) -> None:
    wanted = workload["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= workload["spec"]["template"]["metadata"]["labels"].items()
    services = [m["spec"]["selector"] for m in MANIFESTS if m["kind"] == "Service"]
    assert wanted in services
    assert workload["spec"].get("serviceName", next(iter(named("Service")))) in named("Service")


@workloads
def test_a_workload_is_told_settings_that_exist(workload: dict[str, Any]) -> None:
    config = next(m for m in MANIFESTS if m["kind"] == "ConfigMap")
    for container in workload["spec"]["template"]["spec"]["containers"]:
        assert [source["configMapRef"]["name"] for source in container["envFrom"]] == [
            config["metadata"]["name"]
        ]
        direct = {entry["name"]: entry.get("value", "sqlite://") for entry in container.get("env", ())}
        assert {**config["data"], **direct}.keys() <= VARIABLES
        Settings.from_env({**config["data"], **direct})
        LearnerSettings.from_env({**config["data"], **direct})


@workloads
def test_a_workload_has_its_volumes_and_no_rights_it_does_not_need(workload: dict[str, Any]) -> None:
    pod = workload["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    claims = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", ())}
    volumes = claims | {volume["name"] for volume in pod["volumes"]}
    for container in pod["containers"]:
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
    claimed = {
        v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v
    }
    assert claimed <= named("PersistentVolumeClaim")


def test_the_worker_is_ready_only_when_it_says_so() -> None:
    (worker,) = (w for w in WORKLOADS if w["metadata"]["name"] == "freshrank-worker")
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    probes = {
        probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")
    }
    assert probes == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    secrets = {
        entry["valueFrom"]["secretKeyRef"]["name"] for entry in container["env"] if "valueFrom" in entry
    }
    assert secrets == {"freshrank"}, "the secret that deploy/README.md says how to make"


def test_the_learner_is_one_and_keeps_its_snapshots() -> None:
    (learner,) = (w for w in WORKLOADS if w["kind"] == "StatefulSet")
    assert learner["spec"]["replicas"] == 1
    assert [claim["metadata"]["name"] for claim in learner["spec"]["volumeClaimTemplates"]] == ["state"]


# --- Prometheus and Grafana

PROMETHEUS = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))
ALERTS = [
    rule
    for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
DASHBOARDS = {
    path.name: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
}


def queries() -> Iterator[str]:
    yield from (rule["expr"] for rule in ALERTS)
    for dashboard in DASHBOARDS.values():
        yield from (target["expr"] for panel in dashboard["panels"] for target in panel["targets"])


def exposed() -> set[str]:
    """Name of every series that a worker exposes."""
    registry = CollectorRegistry()
    Metrics(registry)
    suffixes = {
        "counter": ["_total"],
        "gauge": [""],
        "histogram": ["_bucket", "_sum", "_count"],
        "info": ["_info"],
    }
    return {family.name + suffix for family in registry.collect() for suffix in suffixes[family.type]}


def test_prometheus_scrapes_services_that_exist_and_reads_the_alerts() -> None:
    targets = [t for job in PROMETHEUS["scrape_configs"] for s in job["static_configs"] for t in s["targets"]]
    port = SERVICES["worker"]["environment"]["FRESHRANK_WEB_PORT"]
    assert targets == [f"worker:{port}"]
    mounted = {mount.split(":")[1] for mount in SERVICES["prometheus"]["volumes"]}
    assert set(PROMETHEUS["rule_files"]) <= mounted


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    names = [rule["alert"] for rule in ALERTS]
    assert len(set(names)) == len(names)
    assert {
        *("WorkerDown", "LearnerDown", "NoCheckpoint", "CheckpointRefused", "LagGrows", "LearnerFallsBehind"),
        *("ScorerFallsBehind", "FreshnessSlow", "DeadLetters", "WrongKeys"),
    } <= set(names)
    for rule in ALERTS:
        assert "expr" in rule
        assert rule["labels"]["severity"] in ("page", "warn")
        assert rule["annotations"].keys() == {"summary", "action"}


@pytest.mark.parametrize("query", sorted(set(queries())))
def test_every_query_asks_for_series_that_a_worker_exposes(query: str) -> None:
    names = set(re.findall(r"\bfreshrank_\w+", query))
    assert names <= exposed()
    assert names or 'up{job="worker"}' in query
    assert query.count("(") == query.count(")")


def test_dashboards_use_the_provisioned_source_and_lie_where_grafana_looks() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    sources = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text(encoding="utf-8"))
    providers = yaml.safe_load((provisioning / "dashboards" / "freshrank.yaml").read_text(encoding="utf-8"))
    (source,) = sources["datasources"]
    assert source["url"].removeprefix("http://").split(":")[0] in SERVICES
    mounted = {mount.split(":")[1] for mount in SERVICES["grafana"]["volumes"]}
    assert {provider["options"]["path"] for provider in providers["providers"]} <= mounted
    assert DASHBOARDS
    for dashboard in DASHBOARDS.values():
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(ids)) == len(ids)
        assert all(panel["datasource"]["uid"] == source["uid"] for panel in dashboard["panels"])
        assert all(panel["title"] and panel["description"] for panel in dashboard["panels"])
