"""The data plane's operations, described by the structs that their handlers decode and encode."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Operation:
    """One operation: `parameters` are (name, place); `request` and `answer` are msgspec types."""

    method: str
    path: str
    name: str
    summary: str
    request: Any = None
    answer: Any = None
    status: int = 200
    parameters: tuple[tuple[str, str], ...] = ()


OPERATIONS: tuple[Operation, ...] = ()
