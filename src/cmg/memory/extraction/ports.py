"""What the extraction needs of a chat model; the composition root implements it by the gateway's way to upstreams."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec


class Completion(msgspec.Struct, frozen=True):
    """What a model answered, and what the call cost in nano-USD."""

    text: str
    cost_nano: int


class ChatModel(Protocol):
    """A chat model that is asked in a workspace's name; each call leaves a row in the ledger."""

    async def complete(self, workspace_id: str, body: Mapping[str, Any], timeout_s: float) -> Completion:
        """Answer a chat request without `model`. Raises `CmgError`, also past the deadline."""
        ...
