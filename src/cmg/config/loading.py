"""Reads and checks the settings file and the environment."""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from cmg.config.checking import CHECKS, SettingsError
from cmg.config.origins import Loaded, Origin, at, leaves
from cmg.config.settings import Settings
from cmg.kit.toml_lines import line_of

# Environment variable → setting. `<NAME>_FILE` names a file that holds the value instead.
ENVIRONMENT: dict[str, str] = {
    "CMG_HOST": "host",
    "CMG_PORT": "port",
    "CMG_CONSOLE": "console",
    "CMG_CONSOLE_PORT": "console_port",
    "CMG_DATA_DIR": "data_dir",
    "CMG_WORKERS": "workers",
    "CMG_DATABASE_URL": "database_url",
    "CMG_REDIS_URL": "redis_url",
    "CMG_BACKSTAGE_URL": "backstage_url",
    "OPENROUTER_API_KEY": "openrouter_api_key",
    "CMG_BOOTSTRAP_KEY": "bootstrap_key",
    "CMG_MASTER_KEY": "master_key",
    "CMG_ADMIN_EMAIL": "admin_email",
    "CMG_ADMIN_PASSWORD": "admin_password",
    "CMG_PROMETHEUS_URL": "prometheus_url",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "otlp_endpoint",
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "capture_content",
    "CMG_LOG_LEVEL": "log_level",
    "CMG_SHUTDOWN_GRACE_S": "shutdown_grace_s",
}
_REVEALED = {"upstreams[].api_key", "oidc.client_secret"}  # may be `env:NAME` or `file:PATH`
# What our documents and runbooks have a shell keep, for curl and promtool: no command may stop at that.
_OF_SHELLS = {"CMG_ADMIN_KEY", "CMG_KEY", "CMG_METRICS_KEY", "CMG_URL"}
_OURS_BUT_NOT_SETTINGS = {"CMG_CONFIG", "CMG_TEST_REQUIRE", *_OF_SHELLS}


def load(environ: Mapping[str, str] = os.environ, path: Path | None = None) -> Settings:
    """Read the settings file (`path`, else `CMG_CONFIG`, else `./cmg.toml` if it exists) and the environment."""
    return read(environ, path).settings


def read(environ: Mapping[str, str] = os.environ, path: Path | None = None) -> Loaded:
    """The same, with where each setting came from."""
    file = path or (Path(environ["CMG_CONFIG"]) if environ.get("CMG_CONFIG") else None)
    if file is None and Path("cmg.toml").exists():
        file = Path("cmg.toml")
    text, tree = _read_toml(file) if file else ("", {})
    if file:
        _convert(tree, lambda setting: line_of(file, text, setting))
    place = partial(line_of, file, text) if file else str
    written = dict(tree)
    given = _overlay(tree, environ)
    tree.setdefault("data_dir", "/var/lib/cmg" if os.geteuid() == 0 else "data")
    settings = _convert(tree, lambda setting: _variable(given, setting))
    for check in CHECKS:
        check(settings, place)
    return Loaded(_resolve_secrets(settings, environ, place), {**_in_file(written, settings, environ, place), **given})


def _variable(given: Mapping[str, Origin], setting: str) -> str:
    """How an error names the place of a setting that the environment gave."""
    origin = given.get(re.split(r"[\[.]", setting, maxsplit=1)[0])
    return setting if origin is None else f"environment variable {origin.place.partition('_FILE: ')[0]}"


def _in_file(tree: Mapping[str, Any], settings: Settings, environ: Mapping[str, str], place: Any) -> dict[str, Origin]:
    """Where the file gives a setting, and what it refers to there."""
    found = {}
    for leaf in leaves(settings):
        written = at(tree, leaf.name)
        if written is None:
            continue
        found[leaf.name] = origin = Origin("file", str(place(leaf.name)))
        kind, colon, named = str(written).partition(":")
        if leaf.kind in _REVEALED and colon and kind == "file":
            found[leaf.name] = Origin("secret_file", f"{named}, named in {origin.place}")
        elif leaf.kind in _REVEALED and colon and kind == "env" and _value_of(named, environ) is not None:
            found[leaf.name] = Origin("environment", f"{named}, named in {origin.place}")
    return found


def _read_toml(file: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{file}:{line}: not UTF-8: {error.reason}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: not valid TOML: {error}") from error


def _overlay(tree: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Origin]:
    """Lay the environment over the file's tree; returns what it gave, by setting."""
    known = set(ENVIRONMENT) | {f"{name}_FILE" for name in ENVIRONMENT} | _OURS_BUT_NOT_SETTINGS
    unknown = sorted(name for name in environ if name.startswith("CMG_") and name not in known)
    if unknown:
        raise SettingsError(f"environment variable {unknown[0]} is not a setting; known are: {', '.join(ENVIRONMENT)}")
    origins = {}
    for variable, setting in ENVIRONMENT.items():
        value = _value_of(variable, environ)
        if value is not None:
            tree[setting] = value
            file = environ.get(f"{variable}_FILE")
            secret = Origin("secret_file", f"{variable}_FILE: {file}")
            origins[setting] = secret if file else Origin("environment", variable)
    return origins


def _value_of(variable: str, environ: Mapping[str, str]) -> str | None:
    value, file = environ.get(variable), environ.get(f"{variable}_FILE")
    if value and file:
        raise SettingsError(f"both {variable} and {variable}_FILE are set; keep one")
    if file:
        return _secret_in(file, lambda: f"{variable}_FILE")
    return value or None


def _convert(tree: dict[str, Any], place: Any) -> Settings:
    try:
        return msgspec.convert(tree, Settings, strict=False, dec_hook=lambda kind, value: kind(value))
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        setting = path.rstrip("`").lstrip(".")
        unknown = re.search(r"unknown field `(.+?)`", message)
        if unknown:
            setting = f"{setting}.{unknown[1]}".lstrip(".")
            message = "unknown setting"
        raise SettingsError(f"{place(setting)}: {setting or 'settings'}: {message}") from error


def _resolve_secrets(settings: Settings, environ: Mapping[str, str], place: Any) -> Settings:
    """Replace `env:NAME` and `file:PATH` in keys. A missing variable leaves an upstream unconfigured."""
    resolved = []
    for number, upstream in enumerate(settings.upstreams):
        where = partial(place, f"upstreams[{number}].api_key")
        key = _revealed(upstream.api_key, environ, where)
        resolved.append(msgspec.structs.replace(upstream, api_key=key))
    secret = _revealed(settings.oidc.client_secret, environ, partial(place, "oidc.client_secret"))
    if settings.oidc.issuer and secret and secret.startswith("env:"):
        raise SettingsError(f"{place('oidc.client_secret')}: oidc.client_secret: {secret[4:]} is not set")
    oidc = msgspec.structs.replace(settings.oidc, client_secret=secret)
    return msgspec.structs.replace(settings, upstreams=resolved, oidc=oidc)


def _revealed(value: str | None, environ: Mapping[str, str], where: Callable[[], str]) -> str | None:
    """What `env:NAME` or `file:PATH` names; anything else, and the name of a variable that is not set, as it is."""
    if value and value.startswith("file:"):
        return _secret_in(value[5:], where)
    if value and value.startswith("env:"):
        return _value_of(value[4:], environ) or value
    return value


def _secret_in(file: str, where: Callable[[], str]) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{where()}: {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{where()}: {file} is not UTF-8") from error
