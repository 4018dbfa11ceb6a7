"""`POST /v1/chat/completions`: admit → recall → route → call → stream or answer → record."""

import asyncio

import msgspec

from cmg.gateway.answering import answer_headers, closing_headers, used
from cmg.gateway.answers.replaying import Keeper, Replays
from cmg.gateway.calls.admission import Estimate, admit, check_room, trace_of
from cmg.gateway.calls.answer import beside_text, read_chat_answer
from cmg.gateway.calls.attempts import Recorded, first_good
from cmg.gateway.calls.client_watch import ClientWatch
from cmg.gateway.calls.description import recalled, spoken
from cmg.gateway.calls.ladder import Ladder
from cmg.gateway.calls.usage import Usage
from cmg.gateway.parts import GatewayParts
from cmg.gateway.recording import Call
from cmg.gateway.remembering import Remembering
from cmg.gateway.requests.chat_request import UNCHANGED, ChatRequest, Injected, read_chat
from cmg.gateway.routing.router import Candidate
from cmg.gateway.streams.reader import StreamReader
from cmg.gateway.streams.relay import PATH, Cut, Outgoing, Relay
from cmg.identity.models import Caller
from cmg.identity.speaking.rules import USER_TOKEN
from cmg.kit.asgi import ClientGone, Request, Send, send_response
from cmg.kit.errors import CmgError, Unavailable
from cmg.kit.scopes import require
from cmg.kit.turns import Turn

_JSON = b"application/json"
_INTERNAL = CmgError("an internal error; the log has the details", code="internal")
_STOPPING = Unavailable("the service stopped before the answer was whole; ask again", code="stopping")


class _Asked(msgspec.Struct, gc=False):
    """One call and everything that its steps need."""

    call: Call
    chat: ChatRequest
    candidates: list[Candidate]
    models: list[str] | None
    watch: ClientWatch
    injected: Injected = UNCHANGED
    admission: int = 0  # the trace's mark


class ChatHandler:
    """Answers chat calls. Built once per process."""

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts
        self._limits = parts.settings.limits
        self._remembering = Remembering(parts, parts.catalogue.context_length)
        self._replays = Replays(parts.idempotent, parts.responses, parts.recorder)

    async def handle(self, request: Request, send: Send, caller: Caller) -> None:
        """One call. Raises `CmgError` before anything was sent; what breaks later is told within the stream."""
        started = self._parts.clock.monotonic()
        require(caller.scopes, "chat")
        trace = trace_of(request, started)
        body = await request.body(self._limits.body_bytes)
        trace.add("receive", started, received := self._parts.clock.monotonic())
        admission = trace.begin("admission", received)
        chat = read_chat(body, request.headers, caller.key.default_model, self._limits.json_depth)
        candidates = self._parts.router.candidates(chat.model, chat.models, caller)
        check_room(self._parts)
        call = Call(caller, "chat", chat.model, started, trace)
        call.stream = chat.stream
        self._remembering.prepare(call, chat, candidates, request.header(USER_TOKEN))
        with ClientWatch(request, send) as watch:
            asked = _asked(call, chat, candidates, watch)
            asked.admission = admission
            await self._replays.around(
                request, watch.send, call, body, lambda keeper: self._run(asked, watch.send, keeper)
            )

    async def _run(self, asked: _Asked, send: Send, keeper: Keeper | None) -> None:
        """Admit, recall, call and record; every way out leaves exactly one record of an admitted call."""
        parts, call, chat = self._parts, asked.call, asked.chat
        await admit(parts, call, asked.candidates[0], Estimate(_size(call, chat), chat.max_tokens, chat.n))
        call.trace.end(asked.admission, parts.clock.monotonic())
        ladder = Ladder(asked.candidates, parts.breakers, parts.catalogue.context_length, parts.clock)
        with Recorded(call, ladder, parts.recorder):
            asked.injected = await self._recall(call, chat)
            if chat.stream:
                await self._stream(asked, ladder, Outgoing(send, keeper))
            else:
                await self._whole(asked, ladder, send, keeper)

    async def _recall(self, call: Call, chat: ChatRequest) -> Injected:
        if call.memory_status != "ok":
            return await self._remembering.recall(call, chat)
        mark = call.trace.begin("recall", self._parts.clock.monotonic())
        injected = await self._remembering.recall(call, chat)
        call.trace.end(mark, self._parts.clock.monotonic(), recalled(call))
        return injected

    async def _whole(self, asked: _Asked, ladder: Ladder, send: Send, keeper: Keeper | None) -> None:
        call, chat = asked.call, asked.chat
        body, answer = await first_good(
            call,
            ladder,
            self._parts.clock,
            PATH,
            lambda candidate: chat.body_for(candidate.model, injected=asked.injected, models=asked.models),
            read_chat_answer,
        )
        call.model_answered, call.finish_reason = answer.model, answer.finish_reason
        usage = answer.usage
        self._account(call, chat, usage, answer.text, 0 if usage is not None and usage.counts else beside_text(body))
        self._parts.recorder.write(call)
        headers = answer_headers(call, _JSON) + closing_headers(call, self._parts.clock.monotonic())
        if keeper is not None:
            await keeper.keep(headers, body, stream=False)
        await send_response(send, 200, body, headers)

    async def _stream(self, asked: _Asked, ladder: Ladder, out: Outgoing) -> None:
        call, chat = asked.call, asked.chat
        relay = Relay(chat, asked.injected, ladder, out, call, self._parts.clock)
        relay.models = asked.models

        def finish(reader: StreamReader) -> None:
            call.error_type = None
            call.finish_reason = reader.finish_reason
            self._streamed(call, chat, out, reader)
            self._parts.recorder.write(call)

        try:
            await relay.run(finish)
        except Cut as cut:
            await self._cut(asked, out, relay, cut.error)
        except (asyncio.CancelledError, ClientGone) as ended:
            if call.written:
                raise
            if out.begun and not asked.watch.gone and isinstance(ended, asyncio.CancelledError):
                call.error_type = _STOPPING.code
                await self._cut(asked, out, relay, _STOPPING)
            else:
                self._streamed(call, chat, out, relay.reader)
            raise
        except Exception:  # a fault of ours, which the data plane tells in the log
            if out.begun and not call.written:
                await self._cut(asked, out, relay, _INTERNAL)
            raise

    async def _cut(self, asked: _Asked, out: Outgoing, relay: Relay, error: CmgError) -> None:
        """Record what the client got, and tell it within the stream that this is not all."""
        call = asked.call
        call.status = "cut"
        self._streamed(call, asked.chat, out, relay.reader)
        call.error_type = call.error_type or error.code
        self._parts.recorder.write(call)
        await out.error(error)

    def _streamed(self, call: Call, chat: ChatRequest, out: Outgoing, reader: StreamReader) -> None:
        """Account for what reached the client so far."""
        self._account(call, chat, reader.usage, "".join(out.text), out.other)

    def _account(self, call: Call, chat: ChatRequest, usage: Usage | None, said: str, other_bytes: int = 0) -> None:
        """Price what was used; the answer is remembered as it was said."""
        texts = () if usage is not None and usage.counts else chat.texts(call.left_out)
        call.said = said if call.keeps_answer else ""
        if self._parts.settings.capture_content:
            call.content = spoken(chat.messages, said)
        self._parts.recorder.price(call, used(usage, texts, said, other_bytes))
        if call.turns is not None and said and call.keeps_answer:
            call.turns.append(Turn("assistant", said, self._parts.clock.time()))


def _size(call: Call, chat: ChatRequest) -> int:
    """Bytes of the prompt, without what is left out of it."""
    if not call.left_out:
        return chat.size
    sizes = chat.message_sizes()
    return chat.size - sum(sizes[place] for place in call.left_out)


def _asked(call: Call, chat: ChatRequest, candidates: list[Candidate], watch: ClientWatch) -> _Asked:
    """OpenRouter falls back by itself: its list is passed on when every candidate is its own."""
    if chat.models and all(candidate.upstream.openrouter for candidate in candidates):
        return _Asked(call, chat, candidates[:1], [candidate.model for candidate in candidates[1:]], watch)
    return _Asked(call, chat, candidates, None, watch)
