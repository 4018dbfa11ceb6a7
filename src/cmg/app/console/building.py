"""Builds the console of a backstage process."""

from typing import Any

from cmg.app.console.redirect import PATH, ConsoleRedirect
from cmg.app.data_plane import Routes
from cmg.app.forward import Within
from cmg.app.processes.orders import Orders
from cmg.app.security_headers import protection
from cmg.app.visitors import Visitors
from cmg.kit.asgi import Application
from cmg.kit.clock import Clock


def console_of(orders: Orders, control_plane: Application, clock: Clock) -> Any:
    """The console as an ASGI application; None where it is turned off or another role answers the control plane."""
    if orders.console < 0 or not orders.duties.control_plane:
        return None
    from cmg.console.building import build  # noqa: PLC0415  22 MB and 0.2 s that only this process needs
    from cmg.console.ports import Surroundings  # noqa: PLC0415  with it

    settings = orders.settings
    around = Surroundings(
        control_plane=Within(control_plane, settings.limits.body_bytes).handle,
        visitors=Visitors(settings.trusted_proxies),
        protection=protection,
        clock=clock,
        api_port=orders.port,
        gateway_url=_gateway_url(orders),
        api_url=settings.public_url,
        origin=settings.console_url,
    )
    return build(around)


def _gateway_url(orders: Orders) -> str:
    """On this machine, or where everybody reaches the gateways when there are none here or they speak TLS."""
    settings = orders.settings
    if settings.public_url is not None and (settings.tls_certificate is not None or not orders.duties.gateways):
        return settings.public_url
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104  to listen on
    scheme = "https" if settings.tls_certificate is not None else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{orders.port}"


def add_console_redirect(routes: Routes, orders: Orders) -> None:
    """`/console` and everything below it; and `/`, where whoever follows the address that a start prints arrives."""
    settings = orders.settings
    redirect = ConsoleRedirect(settings.console_url, orders.console_port, Visitors(settings.trusted_proxies))
    for method in ("GET", "HEAD"):
        routes.add_open(method, "/", redirect.handle)
        routes.add_open(method, PATH, redirect.handle)
        routes.add_below(method, f"{PATH}/", redirect.handle)
