"""What the gateway asks of its neighbours on the same floor; `app/wiring.py` puts the real ones in."""

from collections.abc import Sequence
from typing import Protocol

from cmg.kit.turns import Recollection, Scope, Turn


class Memory(Protocol):
    """A memory of what people said."""

    async def recall(
        self,
        scope: Scope,
        query: str,
        *,
        token_budget: int | None,
        purpose: str | None,
        kinds: Sequence[str] | None,
        present: Sequence[str],
    ) -> Recollection:
        """A note of what earlier turns say about the query. Never raises, and keeps its own deadline.

        `present`: contents that the request holds already, not to be repeated.
        """
        ...

    def remember(self, scope: Scope, turns: Sequence[Turn]) -> list[tuple[str, bytes]]:
        """The journal records that keep these turns of one thread, in their order."""
        ...

    def journalled(self, scope: Scope, position: int) -> None:
        """The records lie in the journal up to `position`: a recall that follows may wait for them."""
        ...
