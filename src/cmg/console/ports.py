"""What the console needs of the process that it runs in."""

from dataclasses import dataclass
from typing import Protocol

from cmg.kit.asgi import Handler, Headers, Scope
from cmg.kit.clock import Clock


class Visitors(Protocol):
    """Who asks, as far as a trusted proxy or the connection tells."""

    def address(self, scope: Scope) -> str:
        """The client's address."""
        ...

    def encrypted(self, scope: Scope) -> bool:
        """Whether the client speaks TLS."""
        ...


class Protection(Protocol):
    """The headers of an answer that nothing of may run in a browser."""

    def __call__(self, *, encrypted: bool, private: bool) -> Headers:
        """Of answers that were asked for over TLS or not, and that caches may keep or not."""
        ...


@dataclass(frozen=True)
class Surroundings:
    """`control_plane` answers a request in the name of its sender; `origin`: where browsers reach the console, if told.

    `api_port` is where clients call the service, for the examples that pages show; `api_url` beats it. `gateway_url` is
    where this process reaches it.
    """

    control_plane: Handler
    visitors: Visitors
    protection: Protection
    clock: Clock
    api_port: int
    gateway_url: str
    api_url: str | None = None
    origin: str | None = None
