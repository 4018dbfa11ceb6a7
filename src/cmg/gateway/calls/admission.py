"""Whether a call may go: scope, room in the journal, limits and budget. A refused call leaves nothing behind."""

from cmg.gateway.parts import GatewayParts
from cmg.gateway.recording import Call
from cmg.gateway.routing.router import Candidate
from cmg.identity.models import Limits
from cmg.kit.asgi import Request
from cmg.kit.ids import uuid7_hex
from cmg.ledger import tokens
from cmg.ledger.models import JournalFull
from cmg.ledger.quota.models import Demand
from cmg.telemetry.tracing.context import context_of
from cmg.telemetry.tracing.trace import Trace, Unmarked

_NO_LIMITS = Limits()


def check_room(parts: GatewayParts) -> None:
    """Raise `JournalFull` when what a call used could not be written down."""
    if parts.journal.full:
        raise JournalFull(
            "the journal is full: usage waits for the database, or for room on the disk; try again later",
            headers={"retry-after": "5"},
        )


class Estimate:
    """What a call is reserved as: bytes of the prompt, a bound on the answer, number of answers."""

    __slots__ = ("answers", "max_tokens", "prompt_bytes")

    def __init__(self, prompt_bytes: int, max_tokens: int | None = None, answers: int = 1) -> None:
        self.prompt_bytes, self.max_tokens, self.answers = prompt_bytes, max_tokens, answers


async def admit(parts: GatewayParts, call: Call, first: Candidate, estimate: Estimate) -> None:
    """Take the call's share of the key's limits and budget. Raises `RateLimited`, `BudgetExceeded`."""
    key = call.caller.key
    if key.budget is None and key.limits == _NO_LIMITS:  # a limit of 0 is one
        return
    price = parts.prices.price(first.upstream.name, first.model)
    prompt = tokens.estimate(estimate.prompt_bytes)
    wanted, nano = parts.estimator.estimate(call.asked, prompt, estimate.max_tokens, price, estimate.answers)
    call.grant = await parts.quota.acquire(Demand(key, call.caller.workspace.timezone, wanted, nano))


def trace_of(request: Request, started: float) -> Trace:
    """The request's trace, which the data plane began."""
    trace: Trace | None = request.scope.get("cmg.trace")
    return trace or Unmarked(uuid7_hex(), context_of(request.headers), started, 0.0)
