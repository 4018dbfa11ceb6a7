"""What makes settings wrong together, or in a way that their types do not tell."""

import ipaddress
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from cmg.config.settings import Settings


class SettingsError(Exception):
    """A setting that is unknown or invalid; the message names where it stands and what to do."""


def _check_tls(settings: Settings, place: Any) -> None:
    """Certificate and key come together, and can be read."""
    pair = {"tls_certificate": settings.tls_certificate, "tls_key": settings.tls_key}
    for name, path in pair.items():
        if any(pair.values()) and not (path and os.access(path, os.R_OK)):
            raise SettingsError(f"{place(name)}: {name}: {path or 'none'} cannot be read; both are needed")


def _check_oidc(settings: Settings, place: Any) -> None:
    """An identity provider is asked over TLS, or on this machine, and sends browsers back to where we are."""
    parts, loopback = urlsplit(settings.oidc.issuer or ""), ("127.0.0.1", "::1", "localhost")
    needs = {
        "must be an https URL": parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in loopback),
        "needs public_url: where browsers come back to": settings.public_url,
        "needs oidc.roles: else nobody may do anything": settings.oidc.roles,
    }
    for told, met in needs.items():
        if settings.oidc.issuer is not None and not met:
            raise SettingsError(f"{place('oidc.issuer')}: oidc.issuer: {told}")


def _check_embedder(settings: Settings, place: Any) -> None:
    """An embedder `<upstream>/<model>` names an upstream that there is."""
    upstream, slash, _ = settings.memory.embedder.partition("/")
    known = [*(one.name for one in settings.upstreams), "openrouter", "sim"]
    if slash and upstream not in known:
        where = place("memory.embedder")
        raise SettingsError(
            f"{where}: memory.embedder: there is no upstream {upstream!r}; known are: {', '.join(known)}"
        )


def _check_networks(settings: Settings, place: Any) -> None:
    """Lists of networks hold networks."""
    lists = {"metrics_allow": settings.metrics_allow, "trusted_proxies": settings.trusted_proxies}
    for name, listed in lists.items():
        for one in listed:
            try:
                ipaddress.ip_network(one, strict=False)
            except ValueError as error:
                raise SettingsError(f"{place(name)}: {name}: {error}; write it as 192.0.2.0/24") from error


def _check_names(settings: Settings, place: Any) -> None:
    """No two upstreams have one name, and no two routes one model: one of them would never be asked."""
    tables = {
        "upstreams": ("name", [one.name for one in settings.upstreams]),
        "routes": ("model", [one.model for one in settings.routes]),
    }
    for table, (field, names) in tables.items():
        for number, name in enumerate(names):
            if name in names[:number]:
                setting = f"{table}[{number}].{field}"
                raise SettingsError(f"{place(setting)}: {setting}: {name!r} is there already")


CHECKS: tuple[Callable[[Settings, Any], None], ...] = (
    _check_tls,
    _check_oidc,
    _check_embedder,
    _check_networks,
    _check_names,
)
