"""What is told of settings: each with its origin, and never a secret, wherever it was given."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from cmg.config import Settings, read
from cmg.config.loading import ENVIRONMENT
from cmg.config.origins import leaves, shown_of
from cmg.config.telling import told, without_secrets

CANARY = "canary0a1b2c3d4e5f60718293a4b5"
FILE = f"""
port = 9000
data_dir = "data"
redis_url = "redis://:{CANARY}@cache:6379/0"
trusted_proxies = ["10.0.0.0/8"]

[oidc]
client_secret = "env:OIDC_SECRET"

[[upstreams]]
name = "near"
base_url = "http://user:{CANARY}@near/v1"
api_key = "{CANARY}"

[[upstreams]]
name = "far"
base_url = "http://user:{CANARY}@far/v1"
api_key = "file:KEYFILE"

[[upstreams]]
name = "unset"
base_url = "http://unset/v1"
api_key = "env:NOT_SET"

[memory]
token_budget = 900

[logs]
store = "s3://id:{CANARY}@bucket/logs?secret={CANARY}"

[[timeseries.targets]]
job = "node"
url = "http://node:9100/metrics?token={CANARY}"
"""
ENVIRON = {
    "CMG_PORT": "9001",
    "OIDC_SECRET": CANARY,
    "OPENROUTER_API_KEY": CANARY,
    "CMG_BOOTSTRAP_KEY": f"cmg_boot_{CANARY}",
    "CMG_MASTER_KEY": CANARY,
    "CMG_ADMIN_PASSWORD": CANARY,
    "CMG_PROMETHEUS_URL": f"https://me:{CANARY}@prometheus:9090/",
    "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://collector/{'v1'}?key={CANARY}",
}


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """By name; every secret setting holds the canary."""
    monkeypatch.chdir(tmp_path)
    for name in ("KEYFILE", "dsn"):
        (tmp_path / name).write_text(f"postgresql://cmg:{CANARY}@db/cmg" if name == "dsn" else CANARY)
    (tmp_path / "settings.toml").write_text(FILE)
    loaded = read({**ENVIRON, "CMG_DATABASE_URL_FILE": str(tmp_path / "dsn")}, Path("settings.toml"))
    return {one["name"]: one for one in told(loaded.settings, loaded.origins)}


def test_no_secret_is_told_though_each_is_set(rows: dict[str, dict[str, Any]]) -> None:
    assert CANARY not in msgspec.json.encode(rows).decode()
    hidden = [name for name, row in rows.items() if row["secret"]]
    assert {"openrouter_api_key", "master_key", "oidc.client_secret", "upstreams[0].api_key"} <= {*hidden}
    assert [name for name in hidden if rows[name]["value"] is not None] == []
    assert [name for name in hidden if not rows[name]["set"]] == ["upstreams[2].api_key"]


def test_every_setting_that_may_hold_one_was_tried(tmp_path: Path) -> None:
    """A new secret setting must come into the canary's file."""
    (tmp_path / "settings.toml").write_text(FILE.replace("KEYFILE", str(tmp_path / "key")))
    (tmp_path / "key").write_text(CANARY)
    loaded = read({**ENVIRON, "CMG_DATABASE_URL": f"postgresql://cmg:{CANARY}@db/cmg"}, tmp_path / "settings.toml")
    untried = [
        leaf.name
        for leaf in leaves(loaded.settings)
        if leaf.shown != "wholly" and CANARY not in str(leaf.value) and leaf.name not in {
            "upstreams[1].api_key", "upstreams[2].api_key", "upstreams[2].base_url", "logs.archive_store",
        }
    ]  # fmt: skip
    assert untried == []


def test_each_value_says_where_it_came_from(rows: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    where = {name: (row["origin"], row["place"]) for name, row in rows.items()}
    assert where["port"] == ("environment", "CMG_PORT")
    assert where["memory.token_budget"] == ("file", "settings.toml:26")
    assert where["trusted_proxies"] == ("file", "settings.toml:5")
    assert where["upstreams[1].name"] == ("file", "settings.toml:16")
    assert where["upstreams[1].api_key"] == ("secret_file", "KEYFILE, named in settings.toml:18")
    assert where["upstreams[2].api_key"] == ("file", "settings.toml:23")
    assert where["oidc.client_secret"] == ("environment", "OIDC_SECRET, named in settings.toml:8")
    assert where["database_url"] == ("secret_file", f"CMG_DATABASE_URL_FILE: {tmp_path / 'dsn'}")
    assert where["workers"] == ("default", None)
    assert where["upstreams[0].retries"] == ("default", None)
    assert rows["port"]["value"] == 9001
    assert rows["upstreams[0].base_url"]["value"] == "http://***@near/v1"
    assert rows["upstreams[1].base_url"]["value"] == "http://***@far/v1"
    assert rows["memory.token_budget"]["default"] == 1200
    assert rows["port"]["variable"] == "CMG_PORT"


def test_every_setting_has_a_meaning(rows: dict[str, dict[str, Any]]) -> None:
    assert [name for name, row in rows.items() if not row["meaning"] and "[" not in name] == ["routes", "prices"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("host=db password=secret", "***"),
        ("postgresql://db/cmg", "postgresql://db/cmg"),
        ("postgresql://u:p@[::1]:5432/cmg?sslpassword=x", "postgresql://***@[::1]:5432/cmg?***"),
        ("http://h:notaport/", "***"),
        ("file:///var/lib/logs", "file:///var/lib/logs"),
    ],
)
def test_a_url_is_told_without_what_it_hides(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


def test_the_defaults_alone_are_told_too() -> None:
    rows = told(Settings(), {})
    assert {row["origin"] for row in rows} == {"default"}
    assert {row["variable"] for row in rows if row["variable"]} == set(ENVIRONMENT)
    kinds = {field.name: shown_of(field.type) for field in msgspec.structs.fields(Settings)}
    assert (kinds["master_key"], kinds["redis_url"], kinds["host"]) == ("never", "place", "wholly")
