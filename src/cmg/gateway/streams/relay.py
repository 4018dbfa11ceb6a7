"""Passing a stream on to the client, over as many attempts as it takes, without ever passing off a cut as whole."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from cmg.gateway.answering import Headers, answer_headers, trace_headers
from cmg.gateway.answers.idempotency import BODY_BYTES_MAX
from cmg.gateway.answers.replaying import Keeper
from cmg.gateway.calls.description import attempted
from cmg.gateway.calls.exchange import Failed, ask, is_event_stream, refuse, whole_body
from cmg.gateway.calls.failure import Failure, from_body, from_transport, refuses_field
from cmg.gateway.calls.ladder import Ladder
from cmg.gateway.recording import Call
from cmg.gateway.requests.chat_request import ChatRequest, Injected
from cmg.gateway.routing.router import Candidate
from cmg.gateway.sse import EventTooLarge, SseEvent, SseParser
from cmg.gateway.streams.continuation import Continuation
from cmg.gateway.streams.reader import Broken, StreamReader
from cmg.gateway.upstreams.transport import FirstByteTimeout, TransportError, UpstreamResponse
from cmg.kit.asgi import Message, Send
from cmg.kit.clock import Clock
from cmg.kit.errors import CmgError
from cmg.telemetry.tracing import names
from cmg.telemetry.tracing.trace import Attributes

EVENT_STREAM = b"text/event-stream; charset=utf-8"
DONE_EVENT = b"data: [DONE]\n\n"
_AFTER_FINISH_S = 1.0  # how long usage and [DONE] may take after the finish reason
_TAIL_S = 0.25  # how long the end of the body may take after [DONE], so that its connection can be used again
PATH = "/chat/completions"
_NULL_USAGE = re.compile(rb',\s*"usage"\s*:\s*null')  # never within a string: quotes are escaped there


class Outgoing:
    """The client's side: the bytes sent, and the text in them. `keeper` gets the whole answer before its last byte."""

    def __init__(self, send: Send, keeper: Keeper | None) -> None:
        self._send, self._keeper = send, keeper
        self._headers: Headers = []
        self._kept: list[bytes] = []
        self._room = BODY_BYTES_MAX  # a longer answer is kept nowhere, so it need not be held here
        self.begun = False
        self.plain = True  # nothing but text of one choice was sent
        self.text: list[str] = []
        self.other = 0

    async def start(self, headers: Headers) -> None:
        """Send the head."""
        self.begun, self._headers = True, headers
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    def pass_on(self, data: bytes, *, more: bool = True) -> Awaitable[None]:
        """Send bytes of the body; the last ones with `more` false."""
        message: Message = {"type": "http.response.body", "body": data, "more_body": more}
        if self._keeper is None:
            return self._send(message)
        self._kept.append(data)
        self._room -= len(data)
        if self._room < 0:
            self._keeper, self._kept = None, []
            return self._send(message)
        return self._send(message) if more else self._keep(self._keeper, message)

    async def _keep(self, keeper: Keeper, last: Message) -> None:
        """Keep the whole answer, then send its last bytes."""
        await keeper.keep(self._headers, b"".join(self._kept), stream=True)
        await self._send(last)

    async def error(self, error: CmgError) -> None:
        """End with an SSE `error` event and no `[DONE]`."""
        event = b"event: error\ndata: " + msgspec.json.encode(error.body()) + b"\n\n"
        await self._send({"type": "http.response.body", "body": event})


class Relay:
    """One streamed call. `finish(reader)` is called once, before the last bytes, when the stream is whole."""

    def __init__(
        self, chat: ChatRequest, injected: Injected, ladder: Ladder, outgoing: Outgoing, call: Call, clock: Clock
    ) -> None:
        self._chat, self._injected, self._ladder = chat, injected, ladder
        self._out, self._call, self._clock = outgoing, call, clock
        self.models: list[str] | None = None
        self.reader = StreamReader(chat.n, "")
        self._passage: _Passage | None = None
        self._stream = 0  # the trace's mark
        self._hear_until = 0.0

    async def run(self, finish: Callable[[StreamReader], None]) -> None:
        """Stream to the end. Raises `CmgError` when nothing was sent yet; later failures end the stream in-band."""
        while True:
            try:
                candidate = await self._next()
                await self._attempt(candidate, finish)
            except (Failed, Broken) as broken:
                self._call.error_type = broken.failure.kind
                self._mark_end({names.ERROR_TYPE: broken.failure.kind})
                if not self._out.begun:
                    self._ladder.failed(broken.failure)
                    await self._unless_others(broken.failure)
                    continue
                self._ladder.leave(broken.failure)
                if self._ladder.exhausted or not self._out.plain:
                    raise Cut(broken.failure.error) from broken
            except CmgError as error:
                if self._out.begun:
                    raise Cut(error) from error
                raise
            else:
                return

    async def _unless_others(self, failure: Failure) -> None:
        """Deliver what the last attempt had of the answer when nobody is left to begin afresh. Raises `Cut`."""
        passage = self._passage
        if self._ladder.exhausted and passage is not None and passage.open:
            await self._flush(passage)
            raise Cut(failure.error)

    async def _next(self) -> Candidate:
        call, waiting = self._call, self._clock.monotonic()
        candidate = await self._ladder.next()
        now = self._clock.monotonic()
        call.waited_s += now - waiting
        call.candidate, call.attempts = candidate, self._ladder.attempts
        call.attempt = call.trace.open("attempt", now, attempted(candidate))
        return candidate

    def _mark_end(self, attributes: Attributes | None = None) -> None:
        self._call.trace.end(self._call.attempt, self._clock.monotonic(), attributes)

    async def _attempt(self, candidate: Candidate, finish: Callable[[StreamReader], None]) -> None:
        sent = "".join(self._out.text)
        prefill = sent if sent and candidate.upstream.prefill else None
        self._passage = None
        response, hides_usage = await self._open(candidate, prefill)
        self.reader = reader = StreamReader(self._chat.n, candidate.name)
        going_on = Continuation("" if prefill else sent, candidate.name)
        self._passage = passage = _Passage(reader, going_on, hides_usage=hides_usage)
        self._hear_until = self._clock.monotonic() + candidate.upstream.timeouts.first_byte_s
        pieces, parser, ended = response.chunks(), SseParser(), False
        try:
            while not reader.done and not ended:
                events, ended = await self._events(pieces, parser, reader)
                if not events:
                    continue
                try:
                    passage.take(events)
                finally:  # what came before a broken event is delivered, unless another candidate can begin afresh
                    if passage.open and not reader.done and (self._out.begun or not passage.broken):
                        await self._flush(passage)
            await self._end(passage, finish)
            await _tail(pieces)
        finally:
            response.close()
        self._mark_end()
        self._ladder.answered()

    async def _events(
        self, pieces: AsyncIterator[bytes], parser: SseParser, reader: StreamReader
    ) -> tuple[list[SseEvent], bool]:
        """The whole events that came together, and whether nothing comes behind them. Raises `Broken`.

        After the finish reason a failure or a short silence ends the stream as well as `[DONE]` does. Before the first
        event keep-alives prolong nothing.
        """
        waiting = self._clock.monotonic()
        try:
            if reader.finished or not reader.heard:
                async with asyncio.timeout(_AFTER_FINISH_S if reader.finished else self._hear_until - waiting):
                    piece = await anext(pieces)
            else:
                piece = await anext(pieces)
        except StopAsyncIteration:
            piece = None
        except TimeoutError as error:
            if not reader.finished:
                late = FirstByteTimeout("nothing but keep-alives came from the upstream in time")
                raise Broken(from_transport(late, reader.name)) from error
            piece = None
        except TransportError as error:
            if reader.finished:
                return [], True
            raise Broken(from_transport(error, reader.name)) from error
        finally:
            self._call.waited_s += self._clock.monotonic() - waiting
        try:
            return (parser.finish(), True) if piece is None else (parser.feed(piece), False)
        except EventTooLarge as error:
            raise Broken(from_body(str(error), reader.name)) from error

    async def _open(self, candidate: Candidate, prefill: str | None) -> tuple[UpstreamResponse, bool]:
        """The answer, and whether it was asked for a usage that the client did not ask for.

        An upstream that refuses the field gets the same call without it.
        """
        upstream, now = candidate.upstream, self._clock.monotonic()
        asks = not self._chat.wants_usage and upstream.asks_usage(now)
        try:
            return await self._ask(candidate, self._body(candidate, prefill, ask_usage=asks)), asks
        except Failed as failed:
            if not asks or not refuses_field(failed.failure, "stream_options") or not upstream.forgo_usage(now):
                raise
        return await self._ask(candidate, self._body(candidate, prefill, ask_usage=False)), False

    def _body(self, candidate: Candidate, prefill: str | None, *, ask_usage: bool) -> bytes:
        return self._chat.body_for(
            candidate.model, injected=self._injected, models=self.models, prefill=prefill, ask_usage=ask_usage
        )

    async def _ask(self, candidate: Candidate, body: bytes) -> UpstreamResponse:
        asked = self._clock.monotonic()
        try:
            response = await ask(candidate, PATH, body, trace_headers(self._call))
        finally:
            self._call.waited_s += self._clock.monotonic() - asked
        if not is_event_stream(response):
            try:
                refuse(await whole_body(response, candidate), candidate, "no stream of events")
            finally:
                response.close()
        return response

    async def _flush(self, passage: "_Passage") -> None:
        if not self._out.begun:
            await self._begin(passage.reader)
        data = passage.take_out(self._out)
        if data:
            await self._out.pass_on(data)

    async def _begin(self, reader: StreamReader) -> None:
        call = self._call
        call.model_answered = reader.model
        now = self._clock.monotonic()
        call.ttft_s = now - call.started
        self._stream = call.trace.open("stream", now)
        overhead_ms = max(0.0, call.ttft_s - call.waited_s) * 1000
        headers = answer_headers(call, EVENT_STREAM)
        headers += [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        await self._out.start([*headers, (b"x-cmg-overhead-ms", b"%.2f" % overhead_ms)])

    async def _end(self, passage: "_Passage", finish: Callable[[StreamReader], None]) -> None:
        reader = passage.reader
        if not reader.finished and not (reader.done and reader.began):
            raise Broken(from_body("its stream ended before it was finished", reader.name))
        if not passage.going_on.over:
            raise Broken(from_body("its answer is shorter than the one that was cut", reader.name))
        if not self._out.begun:
            await self._begin(reader)
        self._call.model_answered = reader.model or self._call.model_answered
        data = passage.take_out(self._out)
        self._call.trace.end(self._stream, self._clock.monotonic())
        finish(reader)
        await self._out.pass_on(data if reader.done else data + DONE_EVENT, more=False)


class _Passage:
    """What one attempt's events let through and was not sent yet. `hides_usage`: the client did not ask for it."""

    def __init__(self, reader: StreamReader, going_on: Continuation, *, hides_usage: bool) -> None:
        self.reader, self.going_on, self._hides_usage = reader, going_on, hides_usage
        self.broken = False
        self._held: list[bytes] = []
        self._text: list[str] = []

    @property
    def open(self) -> bool:
        """Whether there is something of the answer that the client does not have."""
        return self.reader.began and self.going_on.over

    def take(self, events: list[SseEvent]) -> None:
        """Look at events. Raises `Broken` at the first that is not good; those before it stay taken."""
        reader, going_on = self.reader, self.going_on
        for event in events:
            if reader.done:
                return  # nothing of an answer comes behind its end
            before, finished = len(reader.text), reader.finished
            try:
                reader.take(event)
                if self._hides_usage and _without_usage(event, reader):
                    continue
                over = going_on.over
                passed = going_on.rest(event, reader, before)
            except Broken:
                if finished and going_on.over:
                    continue  # the answer is whole: what comes behind it is left out
                self.broken = True
                raise
            self._held.append(passed)
            if over:
                self._text += reader.text[before:]
            elif going_on.over:
                self._text.append(going_on.left)

    def take_out(self, out: Outgoing) -> bytes:
        """The bytes to send now; tells `out` what text is in them."""
        data = b"".join(self._held)
        out.text += self._text
        out.plain, out.other = out.plain and self.reader.plain, self.reader.other
        self._held, self._text = [], []
        return data


def _without_usage(event: SseEvent, reader: StreamReader) -> bool:
    """Take the field off that is null until the usage comes; true for the event that is nothing but the usage."""
    if b'"usage"' not in event.raw:
        return False
    event.raw = _NULL_USAGE.sub(b"", event.raw)
    hidden, reader.told_usage = reader.told_usage, False
    return hidden


class Cut(Exception):
    """The stream broke after something of it had reached the client, and nobody could go on."""

    def __init__(self, error: CmgError) -> None:
        super().__init__(error.message)
        self.error = error


async def _tail(pieces: AsyncIterator[bytes]) -> None:
    """Read the end of a body whose last event has come; whatever happens to it no longer matters."""
    try:
        async with asyncio.timeout(_TAIL_S):
            async for _ in pieces:
                pass
    except (TimeoutError, TransportError):
        return
