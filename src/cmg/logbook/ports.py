"""What the logbook needs of its neighbours."""

from collections.abc import Mapping
from typing import Any, Protocol

from fastapi import Request


class Trail(Protocol):
    """Takes note of what an administrator did."""

    async def record(self, conn: Any, by: str, action: str, target: str, details: Mapping[str, Any]) -> None:
        """Append an entry in the caller's transaction, as its last step before an announcement."""
        ...


class Callers(Protocol):
    """Who makes a request, and what they may see."""

    def visible(self, request: Request, workspace: str | None) -> str | None:
        """The workspace whose lines a caller may see, of the one that they name; None: all. Raises `NotFound`."""
        ...

    def name(self, request: Request) -> str:
        """How the audit trail names the caller."""
        ...
