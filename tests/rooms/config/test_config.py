"""Settings: the environment wins, secrets come from files, and what is wrong is named with its place."""

import re
from pathlib import Path

import pytest

from cmg.config import Settings, SettingsError, load
from cmg.config.loading import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings file of the developer's own is read."""
    monkeypatch.chdir(tmp_path)


def _load(text: str, **environ: str) -> Settings:
    Path("settings.toml").write_text(text)
    return load(environ, Path("settings.toml"))


def _error(text: str, **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        _load(text, **environ)
    return str(caught.value)


def test_without_any_setting_it_listens_on_loopback_with_one_worker() -> None:
    settings = load({})
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert settings.database_url is None
    assert settings.upstreams == []


def test_the_file_is_found_by_variable_and_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "cmg.toml").write_text("port = 1")
    (tmp_path / "other.toml").write_text("port = 2")
    assert load({}).port == 1
    assert load({"CMG_CONFIG": str(tmp_path / "other.toml")}).port == 2


def test_the_environment_wins_over_the_file() -> None:
    settings = _load('port = 9000\nhost = "0.0.0.0"', CMG_PORT="9001", CMG_DATA_DIR="elsewhere")
    assert (settings.host, settings.port, settings.data_dir) == ("0.0.0.0", 9001, Path("elsewhere"))


def test_an_embedder_of_an_unknown_upstream_stops_the_start() -> None:
    assert "settings.toml:2: memory.embedder: there is no upstream 'nowhere'" in _error(
        '[memory]\nembedder = "nowhere/model"'
    )


@pytest.mark.parametrize("embedder", ["local", "static", "none", "openrouter/openai/text-embedding-3-small"])
def test_known_embedders_are_accepted(embedder: str) -> None:
    assert _load(f'[memory]\nembedder = "{embedder}"').memory.embedder == embedder


def test_an_empty_variable_is_as_none() -> None:
    assert _load("port = 9000", CMG_PORT="").port == 9000


@pytest.mark.parametrize(
    ("text", "place", "setting"),
    [
        ("host = 'a'\nprot = 1\n", "settings.toml:2", "prot"),
        ("[memory]\ntoken_budget = -1\n", "settings.toml:2", "memory.token_budget"),
        ("[memory]\n\nbudget = 1\n", "settings.toml:3", "memory.budget"),
        ("port = 70000", "settings.toml:1", "port"),
        ('backstage_url = "worker:8000"', "settings.toml:1", "backstage_url"),
        ('backstage_url = "http://key@worker/admin"', "settings.toml:1", "backstage_url"),
        ('[[upstreams]]\nname = "a"\nbase_url = "http://b"\nstream_usage = "yes"\n',
         "settings.toml:4", "upstreams[0].stream_usage"),
        ('[[upstreams]]\nname = "a"\nbase_url = "http://b"\n\n[[upstreams]]\nbase_url = "http://b"\nname = "B!"\n',
         "settings.toml:7", "upstreams[1].name"),
        ('[[routes]]\nmodel = "smart"\ncandidates = []\n', "settings.toml:3", "routes[0].candidates"),
        ('[[upstreams]]\nname = "a"\n', "settings.toml:1", "upstreams[0]"),
        ('[[upstreams]]\nname = "a"\nbase_url = "ftp://b"\n', "settings.toml:3", "upstreams[0].base_url"),
        ('[[upstreams]]\nname = "a"\nbase_url = "http://b/v1?key=1"\n', "settings.toml:3", "upstreams[0].base_url"),
        ('[[upstreams]]\nname = "a"\nbase_url = "http://b"\nkind = "x"\n', "settings.toml:4", "upstreams[0].kind"),
        ('[[upstreams]]\nname = "a"\nbase_url = "http://b"\ntimeout_idle_s = inf\n',
         "settings.toml:4", "upstreams[0].timeout_idle_s"),
        ('[[upstreams]]\nname = "a"\nbase_url = "http://b"\n[[upstreams]]\nname = "a"\nbase_url = "http://c"\n',
         "settings.toml:5", "upstreams[1].name"),
        ('[[routes]]\nmodel = "m"\ncandidates = ["a"]\n[[routes]]\nmodel = "m"\ncandidates = ["b"]\n',
         "settings.toml:5", "routes[1].model"),
        ('[[prices]]\nmodel = "m"\nrequest_usd = inf\n', "settings.toml:3", "prices[0].request_usd"),
        ('port = 1\ntrusted_proxies = ["10.0.0.0/8", "10.0.0.0/99"]\n', "settings.toml:2", "trusted_proxies"),
        ('metrics_allow = ["here"]\n', "settings.toml:1", "metrics_allow"),
        ('database_url = "mysql://x"\n', "settings.toml:1", "database_url"),
        ('redis_url = "localhost:6379"\n', "settings.toml:1", "redis_url"),
        ('log_level = "loud"\n', "settings.toml:1", "log_level"),
        ('[memory]\ninject_role = "tool"\n', "settings.toml:2", "memory.inject_role"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_with_file_and_line(text: str, place: str, setting: str) -> None:
    told = _error(text)
    assert told.startswith(f"{place}: {setting}")


def test_an_unknown_setting_is_called_unknown() -> None:
    assert "unknown setting" in _error("prot = 1")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CMG_PORT", "many"),
        ("CMG_BOOTSTRAP_KEY", "cmg_short_key"),
        ("CMG_DATABASE_URL", "host=db"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, value: str) -> None:
    told = _error("", **{variable: value})
    assert f"environment variable {variable}" in told
    assert value not in told


def test_bytes_that_are_no_text_are_named_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_bytes(b"port = 1\n# \xff\n")
    with pytest.raises(SettingsError, match=r"settings\.toml:2: not UTF-8"):
        load({}, tmp_path / "settings.toml")
    (tmp_path / "key").write_bytes(b"\xff")
    assert _error("", OPENROUTER_API_KEY_FILE=str(tmp_path / "key")).startswith("OPENROUTER_API_KEY_FILE: ")


def test_an_unknown_variable_is_refused_with_the_known_ones() -> None:
    told = _error("", CMG_PROT="1")
    assert "CMG_PROT" in told
    assert "CMG_PORT" in told


def test_a_file_that_is_no_toml_is_named() -> None:
    assert _error("port =").startswith("settings.toml: not valid TOML")


def test_a_file_that_is_missing_is_named() -> None:
    with pytest.raises(SettingsError, match=r"gone\.toml: cannot be read"):
        load({"CMG_CONFIG": "gone.toml"})


def test_a_secret_can_come_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-or-1\n")
    assert _load("", OPENROUTER_API_KEY_FILE=str(tmp_path / "key")).openrouter_api_key == "sk-or-1"


def test_a_secret_given_twice_is_refused() -> None:
    assert "OPENROUTER_API_KEY_FILE" in _error("", OPENROUTER_API_KEY="a", OPENROUTER_API_KEY_FILE="b")


def test_a_secret_whose_file_is_missing_is_refused() -> None:
    assert "CMG_BOOTSTRAP_KEY_FILE" in _error("", CMG_BOOTSTRAP_KEY_FILE="gone")


def test_a_key_of_an_upstream_is_read_from_variable_and_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    text = "\n".join(
        f'[[upstreams]]\nname = "u{number}"\nbase_url = "http://h/v1"\napi_key = "{key}"'
        for number, key in enumerate(["env:LOCAL_KEY", f"file:{tmp_path / 'key'}", "plain", "env:NOT_SET"])
    )
    keys = [upstream.api_key for upstream in _load(text, LOCAL_KEY="from-variable").upstreams]
    assert keys == ["from-variable", "from-file", "plain", "env:NOT_SET"]


def test_a_key_file_that_is_missing_is_named_with_its_line() -> None:
    told = _error('[[upstreams]]\nname = "a"\nbase_url = "http://b"\napi_key = "file:gone"\n')
    assert told.startswith("settings.toml:4")


def test_what_our_documents_have_a_shell_keep_stops_no_command(tmp_path: Path) -> None:
    """Whoever follows the README, or a runbook at night, calls `cmg` from the same shell."""
    texts = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "src/cmg/catalogue/runbooks").glob("*.md")]
    named = {name for file in texts for name in re.findall(r"\$\{?(CMG_[A-Z_]+)", file.read_text(encoding="utf-8"))}
    assert {"CMG_KEY", "CMG_ADMIN_KEY"} <= named
    kept = {name: "of-a-shell" for name in named if name not in ENVIRONMENT}
    assert load({"CMG_DATA_DIR": str(tmp_path), **kept}).data_dir == tmp_path
