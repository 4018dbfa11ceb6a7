"""Upstreams, routes and models of this process, put together from the settings, the catalogue and the price book."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cmg.config import Settings
from cmg.gateway.routing.catalogue import Catalogue, ModelInfo
from cmg.gateway.routing.router import Router
from cmg.gateway.routing.upstreams import Upstream
from cmg.kit.clock import rfc3339
from cmg.kit.errors import InvalidRequest
from cmg.kit.parameters.pages import page_size
from cmg.ledger.prices import ModelPrice, PriceBook

_PICO_PER_TOKEN = 1_000_000  # is one USD per million tokens
_PER_CALL = 1e12


@dataclass(frozen=True)
class Offering:
    """Everything is in memory: the catalogue follows its table, the rest is of the settings."""

    settings: Settings
    upstreams: Sequence[Upstream]
    router: Router
    catalogue: Catalogue
    prices: PriceBook

    def listed_upstreams(self) -> list[dict[str, Any]]:
        """In the order in which their globs are tried."""
        syncs = {one.upstream: one for one in self.catalogue.syncs()}
        counted: dict[str, int] = {}
        for one in self.catalogue.models():
            counted[one.upstream] = counted.get(one.upstream, 0) + 1
        return [_upstream(one, syncs.get(one.name), counted.get(one.name, 0)) for one in self.upstreams]

    def listed_routes(self) -> list[dict[str, Any]]:
        """Names of our own with those who answer for them, in order."""
        return [
            {"model": route.model, "candidates": [self._candidate(name) for name in route.candidates]}
            for route in self.settings.routes
        ]

    def page(self, asked: Mapping[str, str | None]) -> dict[str, Any]:
        """A page of the catalogue, by id, and the cursor of the next. Raises `InvalidRequest` naming the parameter."""
        limit, words = page_size(asked.get("limit")), (asked.get("q") or "").lower().split()
        upstream, cursor = asked.get("upstream"), asked.get("cursor")
        if upstream is not None and all(upstream != one.name for one in self.upstreams):
            known = ", ".join(one.name for one in self.upstreams)
            raise InvalidRequest(f"there is no upstream `{upstream}`; there are {known}", param="upstream")
        found = sorted(
            (
                one
                for one in self.catalogue.models()
                if upstream in (None, one.upstream)
                and (cursor is None or one.id > cursor)
                and all(word in one.id.lower() for word in words)
            ),
            key=lambda one: one.id,
        )
        items = [self._model(one) for one in found[:limit]]
        return {"items": items, "next": items[-1]["id"] if len(found) > limit else None}

    def _candidate(self, name: str) -> dict[str, Any]:
        found, missing = self.router.place(name)
        place = None if found is None else (found.upstream.name, found.model)
        price = None if place is None else self.prices.price(*place)
        return {
            "name": name,
            "upstream": None if place is None else place[0],
            "model": None if place is None else place[1],
            "missing": missing,
            "listed": place is not None and self.catalogue.lists(*place),
            "price": _price(price),
        }

    def _model(self, info: ModelInfo) -> dict[str, Any]:
        price = self.prices.price(info.upstream, info.model)
        own = self.prices.own(info.upstream, info.model) is not None
        return {
            "id": info.id,
            "upstream": info.upstream,
            "model": info.model,
            "created": rfc3339(info.created),
            "context_length": info.context_length,
            "price": _price(price),
            "price_origin": None if price is None else "settings" if own else "upstream",
            "routes": [one.model for one in self.settings.routes if info.id in self._places(one.candidates)],
        }

    def _places(self, candidates: Sequence[str]) -> set[str]:
        found = (self.router.place(name)[0] for name in candidates)
        return {one.name for one in found if one is not None}


def _upstream(one: Upstream, sync: Any, models: int) -> dict[str, Any]:
    synced = None if sync is None else sync.synced_at
    return {
        "name": one.name,
        "globs": list(one.models),
        "missing": one.missing,
        "models": models,
        "synced_at": None if synced is None else rfc3339(synced),
        "sync_error": None if sync is None else sync.error,
        "retries": one.retries,
        "timeouts": {
            "connect_s": one.timeouts.connect_s,
            "first_token_s": one.timeouts.first_byte_s,
            "idle_s": one.timeouts.idle_s,
            "total_s": one.timeouts.total_s,
        },
    }


def _price(price: ModelPrice | None) -> dict[str, Any] | None:
    """USD per million tokens, and per call."""
    if price is None:
        return None
    per_mtok = {
        "prompt_usd_per_mtok": price.prompt,
        "completion_usd_per_mtok": price.completion,
        "cache_read_usd_per_mtok": price.cache_read,
        "cache_write_usd_per_mtok": price.cache_write,
        "reasoning_usd_per_mtok": price.reasoning,
    }
    told: dict[str, Any] = {
        name: None if value is None else value / _PICO_PER_TOKEN for name, value in per_mtok.items()
    }
    return {
        **told,
        "request_usd": price.request / _PER_CALL,
        "above": [{"prompt_tokens": tokens, "price": _price(other)} for tokens, other in price.above],
    }
