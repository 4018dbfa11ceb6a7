"""Chat calls that the service makes for itself, in a workspace's name: routed, tried and recorded like any other."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from cmg.gateway.answering import used
from cmg.gateway.breaker import Breakers
from cmg.gateway.calls.answer import ChatAnswer, read_chat_answer
from cmg.gateway.calls.attempts import first_good
from cmg.gateway.calls.ladder import Ladder
from cmg.gateway.recording import Call, record_of
from cmg.gateway.routing.catalogue import Catalogue
from cmg.gateway.routing.router import Router
from cmg.identity.models import ApiKey, Caller, Workspace
from cmg.kit.asgi import CLIENT_GONE
from cmg.kit.clock import Clock
from cmg.kit.errors import CmgError, Unavailable, UpstreamTimeout
from cmg.ledger.models import encode_usage
from cmg.telemetry.tracing.tracer import untraced

_PATH = "/chat/completions"
Keep = Callable[[bytes], Awaitable[None]]


class Overdue(Unavailable):
    """503: no answer came in time. `cost_nano`: what it costs at most, should upstreams answer all the same."""

    def __init__(self, message: str, cost_nano: int) -> None:
        super().__init__(message, code="timeout")
        self.cost_nano = cost_nano


class InternalChat:
    """Calls without a key: their rows in the ledger carry `key_id`. `keep` stores one record for good."""

    def __init__(self, router: Router, catalogue: Catalogue, breakers: Breakers, clock: Clock, keep: Keep) -> None:
        self._router, self._catalogue, self._breakers = router, catalogue, breakers
        self._clock, self._keep = clock, keep

    async def ask(self, caller: Caller, model: str, body: Mapping[str, Any], timeout_s: float) -> tuple[str, int]:
        """(answer, cost in nano-USD).

        Raises `CmgError`, past the deadline `Overdue`; the call is recorded then too.
        """
        started = self._clock.monotonic()
        call = Call(caller, "chat", model, started, untraced(started))
        candidates = self._router.candidates(model, (), caller)
        ladder = Ladder(candidates, self._breakers, self._catalogue.context_length, self._clock)
        try:
            async with asyncio.timeout(timeout_s):
                _, answer = await first_good(
                    call,
                    ladder,
                    self._clock,
                    _PATH,
                    lambda candidate: msgspec.json.encode({**body, "model": candidate.model}),
                    read_chat_answer,
                )
            self._account(call, body, answer)
        except asyncio.CancelledError:
            call.status, call.http_status = "cancelled", CLIENT_GONE
            raise
        except TimeoutError:
            call.status, call.http_status, call.error_type = "error", 504, "timeout"
            raise Overdue(f"{model} did not answer within {timeout_s:g} s", self._at_most(call, body)) from None
        except CmgError as error:
            call.status, call.http_status = "error", error.status
            call.error_type = call.error_type or error.code
            if isinstance(error, UpstreamTimeout):
                raise Overdue(error.message, self._at_most(call, body)) from error
            raise
        finally:
            ladder.abandoned()
            await self._keep(encode_usage(record_of(call, self._clock.time(), self._clock.monotonic() - call.started)))
        return answer.text, call.cost_nano

    def _at_most(self, call: Call, body: Mapping[str, Any]) -> int:
        """Nano-USD of a call that nobody waits for any more: each attempt as if it answered at its full length."""
        if call.candidate is None:
            return 0
        asked = used(None, [str(one["content"]) for one in body["messages"]], "")
        longest = msgspec.structs.replace(asked, completion=int(body["max_tokens"]))
        cost, _ = self._catalogue.prices.cost(call.candidate.upstream.name, call.candidate.model, longest)
        return cost * max(1, call.attempts)

    def _account(self, call: Call, body: Mapping[str, Any], answer: ChatAnswer) -> None:
        call.model_answered, call.finish_reason = answer.model, answer.finish_reason
        call.usage = used(answer.usage, [str(one["content"]) for one in body["messages"]], answer.text)
        if call.candidate is not None:
            place = call.candidate.upstream.name, call.candidate.model
            call.cost_nano, call.cost_origin = self._catalogue.prices.cost(*place, call.usage)


def internal_caller(workspace: Workspace, key_id: str) -> Caller:
    """Who makes the service's own calls in a workspace."""
    key = ApiKey(id=key_id, workspace_id=workspace.id, name=key_id, scopes=("chat",), memory="off")
    return Caller(key, workspace, frozenset(key.scopes), "")
