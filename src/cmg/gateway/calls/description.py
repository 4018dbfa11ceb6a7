"""What the trace of a call tells of it, in OpenTelemetry's names: figures and names, never a word of anybody."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from cmg.kit.money import nano_to_usd
from cmg.telemetry.tracing import names
from cmg.telemetry.tracing.trace import Attributes

if TYPE_CHECKING:  # a call describes itself by this
    from cmg.gateway.recording import Call
    from cmg.gateway.requests.chat_request import Message
    from cmg.gateway.routing.router import Candidate

_CONTENT_BYTES = 16 * 1024
OPERATIONS = {"chat": "chat", "embeddings": "embeddings"}


def described(call: "Call") -> Attributes:
    """The attributes of the whole call. What is not known is left out."""
    usage, candidate = call.usage, call.candidate
    told: Attributes = {
        names.OPERATION: OPERATIONS[call.route],
        names.REQUEST_MODEL: call.asked,
        names.REQUEST_STREAM: call.stream,
        names.KEY: call.caller.key_id,
        names.CALL_STATUS: call.status,
        names.ATTEMPTS: call.attempts,
        names.COST: nano_to_usd(call.cost_nano),
        names.INPUT_TOKENS: usage.prompt,
        names.OUTPUT_TOKENS: usage.completion,
        names.WAITED_MS: round(call.waited_s * 1000, 3),
        names.MEMORY_STATUS: call.memory_status,
    }
    known = {
        names.PROVIDER: candidate.upstream.name if candidate is not None else None,
        names.RESPONSE_MODEL: call.model_answered,
        names.FINISH_REASONS: [call.finish_reason] if call.finish_reason else None,
        names.ERROR_TYPE: call.error_type,
        names.FIRST_MS: None if call.ttft_s is None else round(call.ttft_s * 1000, 3),
        names.CACHE_READ_TOKENS: usage.cached or None,
        names.CACHE_CREATION_TOKENS: usage.cache_write or None,
        names.REASONING_TOKENS: usage.reasoning or None,
        names.MEMORY_TOKENS: call.memory_tokens or None,
        names.LEFT_OUT: len(call.left_out) or None,
        names.REPLAYED: call.replayed or None,
    }
    told |= call.content
    return told | {name: value for name, value in known.items() if value is not None}


def spoken(messages: "Sequence[Message]", said: str) -> Attributes:
    """What was said, where the settings want it: in OpenTelemetry's form, as JSON, cut at a bound."""
    asked = [{"role": one.role, "parts": [{"type": "text", "content": one.text}]} for one in messages]
    answered = [{"role": "assistant", "parts": [{"type": "text", "content": said}]}]
    return {names.INPUT_MESSAGES: _cut(asked), names.OUTPUT_MESSAGES: _cut(answered)}


def _cut(value: list[dict[str, Any]]) -> str:
    return msgspec.json.encode(value)[:_CONTENT_BYTES].decode("utf-8", "replace")


def attempted(candidate: "Candidate") -> Attributes:
    """Whom an attempt asks for what."""
    return {names.PROVIDER: candidate.upstream.name, names.REQUEST_MODEL: candidate.model}


def recalled(call: "Call") -> Attributes:
    """What recall brought."""
    return {
        names.OPERATION: "search_memory",
        names.MEMORY_STORE: call.caller.workspace_id,
        names.MEMORY_COUNT: call.memory_items,
        names.MEMORY_STATUS: call.memory_status,
    }
