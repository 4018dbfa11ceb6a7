"""Puts the console together: the framework, the pages, and the origin around them."""

from fastapi import FastAPI
from nicegui import core, ui

from cmg.console import pages
from cmg.console.ports import Surroundings
from cmg.console.server import STATIC, Console

_RECONNECT_S = 10.0  # a phone between two cells keeps its page
_MESSAGES = 200  # kept for a browser that was away for a moment


def build(around: Surroundings) -> Console:
    """The ASGI application. One of a process: the framework keeps its pages in globals."""
    pages.register()
    outside = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    ui.run_with(
        outside,
        title="Context Memory Gateway",
        favicon=STATIC / "icon.svg",
        dark=None,
        language="en-US",
        tailwind=False,
        binding_refresh_interval=None,
        reconnect_timeout=_RECONNECT_S,
        message_history_length=_MESSAGES,
        show_welcome_message=False,
    )
    core.app.config.socket_io_js_transports = ["websocket"]
    return Console(outside, around)
