"""What the extraction needs of a chat model; the composition root implements it by the gateway's way to upstreams."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from cmg.kit.errors import Unavailable


class Completion(msgspec.Struct, frozen=True):
    """What a model answered, and what the call cost in nano-USD."""

    text: str
    cost_nano: int


class Unanswered(Unavailable):
    """A model was asked and did not answer in time. `cost_nano`: what it costs at most if it answers all the same."""

    def __init__(self, message: str, cost_nano: int) -> None:
        super().__init__(message, code="timeout")
        self.cost_nano = cost_nano


class ChatModel(Protocol):
    """A chat model that is asked in a workspace's name; each call leaves a row in the ledger."""

    async def complete(self, workspace_id: str, body: Mapping[str, Any], timeout_s: float) -> Completion:
        """Answer a chat request without `model`. Raises `CmgError`; past the deadline `Unanswered`."""
        ...
