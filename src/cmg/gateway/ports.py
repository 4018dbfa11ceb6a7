"""What the gateway asks of its neighbours on the same floor; `app/wiring/` puts the real ones in."""

from collections.abc import Sequence
from typing import Protocol

from cmg.kit.turns import Recollection, Scope, Shortened, Told, Turn


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

    async def condense(
        self, scope: Scope, query: str, shortened: Shortened, *, purpose: str | None, kinds: Sequence[str] | None
    ) -> Recollection:
        """A note that stands for what is left out of a call: a summary, and quotes that fit the query.

        Never raises, and keeps its own deadline; without the database it is made from the turns alone.
        """
        ...

    def remember(self, scope: Scope, turns: Sequence[Turn]) -> list[tuple[str, bytes]]:
        """The journal records that keep these turns of one thread, in their order."""
        ...

    def told(self, scope: Scope, told: Told) -> list[tuple[str, bytes]]:
        """The journal records from which it is judged later whether an answer made use of what memory gave."""
        ...

    def journalled(self, scope: Scope, position: int) -> None:
        """The records lie in the journal up to `position`: a recall that follows may wait for them."""
        ...
