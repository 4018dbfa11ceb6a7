"""The files of deploy/ and the Dockerfile hold together: what they name exists, is pinned, and needs no root."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from cmg import config
from cmg.logbook.intake.records import MOST_RECORDS
from house.tree import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = msgspec.yaml.decode((DEPLOY / "compose.yaml").read_bytes())
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
IMAGE = re.compile(r"[a-z0-9./_-]+:v?\d+(\.\d+)*[a-z0-9.-]*")


def test_every_image_has_a_fixed_version():
    images = [one["image"] for one in SERVICES.values()] + re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    loose = [image for image in images if not IMAGE.fullmatch(image) or image.endswith(":latest")]
    assert not loose


def test_every_file_that_is_mounted_exists():
    paths = [one["file"] for one in COMPOSE["configs"].values()]
    paths += [
        volume.split(":")[0]
        for one in SERVICES.values()
        for volume in one.get("volumes", [])
        if volume.startswith("./")
    ]
    missing = [path for path in paths if not (DEPLOY / path).exists()]
    assert not missing


def test_secrets_are_files_that_git_ignores_and_the_readme_makes():
    readme = (DEPLOY / "README.md").read_text()
    for name, told in COMPOSE["secrets"].items():
        assert told == {"file": f"./secrets/{name}"}
        assert f"secrets/{name}" in readme
    assert "deploy/secrets/" in (ROOT / ".gitignore").read_text()
    used = {secret for one in SERVICES.values() for secret in one.get("secrets", [])}
    assert used == set(COMPOSE["secrets"])


def test_every_machine_opens_what_another_one_sealed():
    """The worker keeps the secrets of channels, the monitor sends with them."""
    for name in ("gateway", "worker", "monitor"):
        file = SERVICES[name]["environment"]["CMG_MASTER_KEY_FILE"]
        assert file.removeprefix("/run/secrets/") in SERVICES[name]["secrets"], name


def test_grafanas_role_may_read_what_the_dashboards_ask_for():
    grants = re.compile(r"GRANT SELECT .+;")
    readme = grants.findall((DEPLOY / "README.md").read_text())
    datasource = (DEPLOY / "grafana" / "provisioning" / "datasources" / "cmg.yml").read_text()
    assert readme == grants.findall(datasource)


def test_no_secret_stands_in_the_environment():
    open_ones = [
        (name, variable)
        for name, one in SERVICES.items()
        for variable in one.get("environment", {})
        if re.search(r"PASS|SECRET|_KEY|DATABASE_URL", variable) and not variable.upper().endswith("FILE")
    ]
    assert not open_ones


def test_what_the_service_is_given_are_settings(tmp_path: Path):
    secrets = {"database_url": "postgresql://x", "redis_url": "redis://x", "bootstrap_key": "cmg_a_" + "b" * 32}
    for name in COMPOSE["secrets"]:
        (tmp_path / name).write_text(secrets.get(name, "x"))
    for name in ("gateway", "worker", "monitor"):
        environ = {
            variable: value.replace("/run/secrets", str(tmp_path))
            for variable, value in SERVICES[name]["environment"].items()
        }
        settings = config.load({**environ, "CMG_CONFIG": str(DEPLOY / "config" / "settings.toml")})
        assert settings.database_url == "postgresql://x"
        assert settings.metrics_allow == [COMPOSE["networks"]["inside"]["ipam"]["config"][0]["subnet"]]
        assert SERVICES[name]["command"][:3] == ["serve", "--role", name]


def test_the_console_is_where_the_gateways_lead_to():
    settings = config.load({"CMG_CONFIG": str(DEPLOY / "config" / "settings.toml")})
    assert settings.console_url
    port = settings.console_url.rsplit(":", 1)[1]
    assert f"127.0.0.1:{port}:{settings.port + 1}" in SERVICES["worker"]["ports"]


def test_there_are_two_gateways_and_each_part_is_watched():
    assert SERVICES["gateway"]["deploy"]["replicas"] == 2
    unwatched = [
        name
        for name, one in SERVICES.items()
        if "healthcheck" not in one and not name.endswith("-exporter") and name != "jaeger"
    ]
    assert not unwatched, "exporters are watched by their scrapes; Jaeger's image has nothing to ask it with"


def test_prometheus_finds_the_services_and_the_exporters():
    told = msgspec.yaml.decode((DEPLOY / "prometheus" / "prometheus.yml").read_bytes())
    hosts = []
    for job in told["scrape_configs"]:
        hosts += [name for one in job.get("dns_sd_configs", []) for name in one["names"]]
        hosts += [target.split(":")[0] for one in job.get("static_configs", []) for target in one["targets"]]
    hosts += [
        target.split(":")[0]
        for manager in told["alerting"]["alertmanagers"]
        for one in manager["static_configs"]
        for target in one["targets"]
    ]
    assert set(hosts) - {"localhost"} <= set(SERVICES)
    assert {name for name in SERVICES if name.endswith("-exporter")} <= set(hosts)


def test_alertmanagers_hook_is_a_service_with_its_key():
    told = msgspec.yaml.decode((DEPLOY / "alertmanager" / "alertmanager.yml").read_bytes())
    for receiver in told["receivers"]:
        (hook,) = receiver["webhook_configs"]
        host = re.match(r"http://([a-z-]+):8000/hooks/alertmanager", hook["url"])
        assert host
        assert host[1] in SERVICES
        key = hook["http_config"]["authorization"]["credentials_file"]
        assert key.removeprefix("/run/secrets/") in SERVICES["alertmanager"]["secrets"]


def test_services_stand_on_networks_volumes_and_services_that_exist():
    for name, one in SERVICES.items():
        assert set(one["networks"]) <= set(COMPOSE["networks"]), name
        assert set(one.get("depends_on", {})) <= set(SERVICES), name
        named = {volume.split(":")[0] for volume in one.get("volumes", []) if re.match(r"[a-z]+:", volume)}
        assert named <= set(COMPOSE["volumes"]), name
        assert all(port.startswith("127.0.0.1:") for port in one.get("ports", [])), name
        if "ports" in one:
            assert "outside" in one["networks"], f"{name}: an internal network opens no ports"


def test_the_image_runs_as_nobody_special_and_is_built_from_the_lock():
    last = DOCKERFILE.split("\nFROM ")[-1]
    user = re.search(r"^USER (\d+)", last, re.MULTILINE)
    assert user
    assert int(user[1]) > 0
    assert "--no-deps --require-hashes -r requirements.lock" in DOCKERFILE
    sources = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert all((ROOT / path).exists() for line in sources for path in line.split())
    ignored = (ROOT / ".dockerignore").read_text()
    assert all(f"!{path}" in ignored for line in sources for path in line.split())


def test_the_image_s_entry_point_is_a_command_of_the_package():
    scripts = (ROOT / "pyproject.toml").read_text()
    assert 'ENTRYPOINT ["cmg"]' in DOCKERFILE
    assert 'cmg = "cmg.cli:main"' in scripts


def test_hadolint_finds_nothing_in_the_dockerfile():
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None and sys.platform != "linux":
        return  # its package is for Linux; CI is one
    assert hadolint, "the development packages bring it"
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_collector_sends_every_source_to_the_intake_with_its_key():
    told = msgspec.yaml.decode((DEPLOY / "otel-collector.yaml").read_bytes())
    (pipeline,) = told["service"]["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        assert set(pipeline[kind]) == set(told[kind]), kind
    sources = " ".join([*told["receivers"], *str(told["receivers"]).split()])
    for source in ("journald", "syslog", "containers", "nginx", "redis", "postgresql", "otlp"):
        assert source in sources
    (exporter,) = told["exporters"].values()
    assert exporter["logs_endpoint"].endswith("/v1/logs")
    assert exporter["headers"]["authorization"] == "Bearer ${env:CMG_LOGS_KEY}"
    assert exporter["sending_queue"]["enabled"]
    assert told["processors"]["batch"]["send_batch_max_size"] <= MOST_RECORDS
