"""What the gateway is built from; `app/wiring/` fills it in."""

from dataclasses import dataclass

from cmg.config import Settings
from cmg.gateway.answers.idempotency import IdempotentCalls
from cmg.gateway.answers.response_cache import ResponseCache
from cmg.gateway.breaker import Breakers
from cmg.gateway.ports import Memory
from cmg.gateway.recording import Recorder
from cmg.gateway.routing.catalogue import Catalogue
from cmg.gateway.routing.router import Router
from cmg.identity.speaking.rules import Speaking
from cmg.kit.clock import Clock
from cmg.ledger.journal import Journal
from cmg.ledger.prices import PriceBook
from cmg.ledger.quota.estimator import Estimator
from cmg.ledger.quota.models import Quota


@dataclass(frozen=True)
class GatewayParts:
    """Every dependency of the handlers, each made once per process."""

    settings: Settings
    router: Router
    catalogue: Catalogue
    breakers: Breakers
    quota: Quota
    estimator: Estimator
    prices: PriceBook
    journal: Journal
    memory: Memory
    recorder: Recorder
    idempotent: IdempotentCalls
    responses: ResponseCache
    speaking: Speaking
    clock: Clock
