"""`/admin/v1/settings`: what holds on this machine, and where it came from."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from cmg.config.origins import Origin
from cmg.config.settings import Settings
from cmg.config.telling import told
from cmg.kit.permissions import requires


class SettingItem(BaseModel):
    """One setting. Of a `secret` only whether it is `set` is told; of URLs neither user, password nor query.

    `place`: file and line, the variable, or the file that holds the secret.
    """

    name: str
    value: Any
    set: bool
    secret: bool
    origin: str = Field(description="default, file, environment, secret_file, command_line")
    place: str | None
    default: Any
    variable: str | None = Field(description="The variable of the environment that sets it")
    meaning: str


class SettingPage(BaseModel):
    """All of them, in the order of the documentation."""

    items: list[SettingItem]
    next: str | None


def router(settings: Settings, origins: Mapping[str, Origin]) -> APIRouter:
    """Read at the start; what another machine of a cluster is set to, that machine knows."""
    routes = APIRouter(prefix="/admin/v1/settings", tags=["settings"], dependencies=[requires("admin:all")])

    @routes.get("", response_model=SettingPage, summary="List settings")
    async def list_settings() -> Any:
        """Every setting with its value, where it came from, and what it means."""
        return {"items": told(settings, origins), "next": None}

    return routes
