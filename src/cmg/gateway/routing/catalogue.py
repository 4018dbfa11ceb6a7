"""What upstreams say about their models, as a gateway process knows it: read from the database, never from them."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from cmg.config import Settings
from cmg.gateway.routing import catalogue_store
from cmg.gateway.routing.catalogue_store import KeptModel, SyncState
from cmg.gateway.routing.listing import read_listing
from cmg.gateway.routing.upstreams import SIMULATOR, simulates
from cmg.gateway.upstreams.simulator import SIMULATOR_MODELS
from cmg.kit.clock import Clock, SystemClock
from cmg.ledger.prices import ModelPrice, PriceBook
from cmg.storage.database import Database


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A model that an upstream lists.

    `id` is `<upstream>/<model>`, which routes to exactly that upstream; `created` epoch seconds (when we first saw
    it, where the upstream does not say); `context_length` tokens; `pricing` USD per token as strings, None: unknown.
    """

    id: str
    upstream: str
    model: str
    created: int
    context_length: int | None
    pricing: Mapping[str, Any] | None

    @property
    def owned_by(self) -> str:
        """Who answers: the upstream's name."""
        return self.upstream


class Catalogue:
    """The synced models of every upstream, and their prices put into the price book.

    Holds nothing but the `built_in` models, which need no sync, until `load`. Subscribe `changed` to the topic "models"
    and give `load` to `on_reset` of the change feed.
    """

    def __init__(
        self,
        database: Database,
        price_book: PriceBook,
        clock: Clock | None = None,
        built_in: Sequence[KeptModel] = (),
    ) -> None:
        self._database, self.prices = database, price_book
        self._clock = clock or SystemClock()
        self._built_in = built_in
        self._listed: list[ModelInfo] = []
        self._by_place: dict[tuple[str, str], ModelInfo] = {}
        self._syncs: dict[str, SyncState] = {}
        self.version = 0  # grows with every look at the database
        self.stored: tuple[list[KeptModel], list[SyncState]] = ([], [])
        self.take([], [])

    async def load(self) -> None:
        """Read everything anew. Raises `DatabaseAway`; what was known before then stays."""
        kept = await catalogue_store.all_models(self._database)
        self.take(kept, await catalogue_store.all_syncs(self._database))
        self.version += 1

    def take(self, stored: list[KeptModel], syncs: list[SyncState]) -> None:
        """Know exactly these from now on, and the built-in ones that are not among them."""
        self.stored = stored, syncs
        known = {(one.upstream, one.model) for one in stored}
        kept = [*stored, *(one for one in self._built_in if (one.upstream, one.model) not in known)]
        prices = _prices(kept)
        infos = [_info(one, priced=f"{one.upstream}/{one.model}" in prices) for one in kept]
        self._by_place = {(info.upstream, info.model): info for info in infos}
        self._listed = [info for info, one in zip(infos, kept, strict=True) if not one.vanished]
        self._syncs = {one.upstream: one for one in syncs}
        self.prices.replace(prices)

    async def changed(self, upstreams: list[str]) -> None:
        """The change feed says that these upstreams were asked again."""
        del upstreams  # all of it is one query of some hundred rows, four times an hour
        await self.load()

    def models(self) -> list[ModelInfo]:
        """What upstreams listed at their last good sync, by upstream and name."""
        return self._listed

    def find(self, upstream: str, model: str) -> ModelInfo | None:
        """One model by its upstream and the upstream's own name, also when it has just vanished from the listing."""
        return self._by_place.get((upstream, model))

    def lists(self, upstream: str, model: str) -> bool:
        """Whether an upstream lists a model."""
        return self.find(upstream, model) is not None

    def context_length(self, upstream: str, model: str) -> int | None:
        """Tokens of prompt and completion together; None: unknown."""
        info = self._by_place.get((upstream, model))
        return None if info is None else info.context_length

    def age_s(self, upstream: str) -> float | None:
        """Seconds since the upstream's last good sync; None: there was none."""
        sync = self._syncs.get(upstream)
        return None if sync is None or sync.synced_at is None else max(0.0, self._clock.time() - sync.synced_at)

    def syncs(self) -> list[SyncState]:
        """How the last sync of each upstream went, by upstream."""
        return list(self._syncs.values())


def built_in_models(settings: Settings) -> list[KeptModel]:
    """The simulator's models, with their prices known from the first call on; none when an upstream took its name."""
    if not simulates(settings):
        return []
    listed = read_listing(msgspec.json.encode({"data": SIMULATOR_MODELS}), f"{SIMULATOR}/")
    return [
        KeptModel(**msgspec.structs.asdict(one), upstream=SIMULATOR, first_seen=one.created or 0, vanished=False)
        for one in listed
    ]


def _info(kept: KeptModel, *, priced: bool) -> ModelInfo:
    return ModelInfo(
        id=f"{kept.upstream}/{kept.model}",
        upstream=kept.upstream,
        model=kept.model,
        created=kept.first_seen if kept.created is None else kept.created,
        context_length=kept.context_length,
        pricing={field: _usd(value) for field, value in (kept.pricing or {}).items()} if priced else None,
    )


def _prices(kept: Iterable[KeptModel]) -> dict[str, ModelPrice]:
    """By `upstream/model`. A vanished model keeps its price: calls to it may still be answered, and cost."""
    prices = {}
    for one in kept:
        price = None if one.pricing is None else ModelPrice.from_openrouter(one.pricing)
        if price is not None:
            prices[f"{one.upstream}/{one.model}"] = price
    return prices


def _usd(value: Any) -> Any:
    """A number as the string that OpenRouter would write; everything else (strings, `overrides`) as it is."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return format(Decimal(str(value)), "f")
    return value
