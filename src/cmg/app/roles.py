"""What `cmg serve --role` runs on a machine, and which role answers a path that this one does not."""

from dataclasses import dataclass
from typing import Literal

from cmg.kit.asgi import Handler, Request, Send
from cmg.kit.errors import NotFound

Role = Literal["all", "gateway", "worker", "monitor"]
_DATA_PLANE = "/v1/"
_PROMETHEUS = "/api/v1/"
_OPERATIONS = ("/metrics", "/health", "/status")
_BELOW = ("/health/", "/status/")


@dataclass(frozen=True, kw_only=True)
class Duties:
    """The parts of a machine; health and metrics belong to every one.

    `gateways`: the data plane, and the drain of its journals. `control_plane`: `/admin/v1`, `/docs`. `jobs`: what runs
    once in a cluster: retention, the sync of models. `monitor`: time series and Prometheus' API.
    """

    gateways: bool = False
    control_plane: bool = False
    jobs: bool = False
    monitor: bool = False

    @property
    def drain(self) -> bool:
        """Journals are files of their machine: whoever may have some drains them."""
        return self.gateways or self.jobs


DUTIES: dict[Role, Duties] = {
    "all": Duties(gateways=True, control_plane=True, jobs=True, monitor=True),
    "gateway": Duties(gateways=True),
    "worker": Duties(control_plane=True, jobs=True),
    "monitor": Duties(monitor=True),
}


def is_operations(path: str) -> bool:
    """Whether every machine answers it for itself: health, metrics and the status page."""
    return path in _OPERATIONS or path.startswith(_BELOW)


def served(role: Role, path: str) -> bool:
    """Whether a machine of this role answers the path itself."""
    if is_operations(path):
        return True
    return _answers(DUTIES[role], path)


def _answers(duties: Duties, path: str) -> bool:
    if path.startswith(_DATA_PLANE):
        return duties.gateways
    return duties.monitor if path.startswith(_PROMETHEUS) else duties.control_plane


class AnsweredElsewhere(NotFound):
    """404: another role answers this path; the message names it."""

    code = "answered_by_another_role"

    def __init__(self, role: Role, path: str) -> None:
        answering = [one for one, duties in DUTIES.items() if _answers(duties, path)]
        control_plane = not path.startswith((_DATA_PLANE, _PROMETHEUS))
        hint = "; set `backstage_url` to one of them to have it passed on" if control_plane else ""
        told = f"{path} is answered by machines of the roles {' and '.join(answering)}; this one is a {role}{hint}"
        super().__init__(told, code=self.code)


def by_role(role: Role, local: Handler, remote: Handler | None) -> Handler:
    """A handler for what is no route of the data plane: here, else by `remote` for the control plane, else 404."""

    async def handle(request: Request, send: Send) -> None:
        if served(role, request.path):
            await local(request, send)
        elif remote is not None and not request.path.startswith((_DATA_PLANE, _PROMETHEUS)):
            await remote(request, send)
        else:
            raise AnsweredElsewhere(role, request.path)

    return handle
