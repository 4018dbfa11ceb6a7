"""`POST /v1/embeddings`: as chat, without memory and streams."""

from cmg.gateway.answering import answer_headers, closing_headers, used
from cmg.gateway.calls.admission import Estimate, admit, check_room, trace_of
from cmg.gateway.calls.answer import read_embeddings_answer
from cmg.gateway.calls.attempts import Recorded, first_good
from cmg.gateway.calls.client_watch import ClientWatch
from cmg.gateway.calls.ladder import Ladder
from cmg.gateway.parts import GatewayParts
from cmg.gateway.recording import Call
from cmg.gateway.requests.embeddings_request import EmbeddingsRequest, read_embeddings
from cmg.gateway.routing.router import Candidate
from cmg.identity.models import Caller
from cmg.identity.speaking.rules import USER_TOKEN
from cmg.kit.asgi import Request, Send, send_response
from cmg.kit.scopes import require

_PATH = "/embeddings"
_JSON = b"application/json"


class EmbeddingsHandler:
    """Answers embeddings calls. Built once per process."""

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts
        self._limits = parts.settings.limits

    async def handle(self, request: Request, send: Send, caller: Caller) -> None:
        """One call. Raises `CmgError` before anything was sent."""
        parts, started = self._parts, self._parts.clock.monotonic()
        require(caller.scopes, "embeddings")
        trace = trace_of(request, started)
        body = await request.body(self._limits.body_bytes)
        trace.add("receive", started, received := parts.clock.monotonic())
        admission = trace.begin("admission", received)
        asked = read_embeddings(body, caller.key.default_model, self._limits.json_depth)
        candidates = parts.router.candidates(asked.model, asked.models, caller)
        if asked.user:
            parts.speaking.check(caller, asked.user, request.header(USER_TOKEN), "user")
        check_room(parts)
        call = Call(caller, "embeddings", asked.model, started, trace)
        call.user = (asked.user, None, None)
        with ClientWatch(request, send) as watch:
            await admit(parts, call, candidates[0], Estimate(asked.size, 0))
            trace.end(admission, parts.clock.monotonic())
            await self._answer(call, asked, candidates, watch.send)

    async def _answer(self, call: Call, asked: EmbeddingsRequest, candidates: list[Candidate], send: Send) -> None:
        parts = self._parts
        ladder = Ladder(candidates, parts.breakers, parts.catalogue.context_length, parts.clock)
        with Recorded(call, ladder, parts.recorder):
            body, answer = await first_good(
                call,
                ladder,
                parts.clock,
                _PATH,
                lambda candidate: asked.body_for(candidate.model),
                read_embeddings_answer,
            )
            call.model_answered = answer.model
            parts.recorder.price(call, used(answer.usage, asked.texts, ""))
            parts.recorder.write(call)
            headers = answer_headers(call, _JSON) + closing_headers(call, parts.clock.monotonic())
            await send_response(send, 200, body, headers)
