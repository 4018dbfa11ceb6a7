"""What every answer of the data plane shares: headers of the contract, estimates, and the outgoing trace."""

from collections.abc import Sequence

from cmg.gateway.calls.usage import Usage
from cmg.gateway.recording import Call
from cmg.kit.money import nano_to_usd
from cmg.ledger import tokens
from cmg.ledger.models import TokenUsage

Headers = list[tuple[bytes, bytes]]
_PER_MESSAGE = 4  # tokens that a message's frame takes in the usual chat formats
_BYTES_PER_TOKEN = 4


def answer_headers(call: Call, content_type: bytes) -> Headers:
    """The `x-cmg-*` and rate headers of an answer that begins now; `x-cmg-cost-usd` is the caller's to add."""
    candidate = call.candidate
    headers = [
        (b"content-type", content_type),
        (b"x-cmg-request-id", call.id.encode()),
        (b"x-cmg-attempts", str(call.attempts).encode()),
        (b"x-cmg-memory-items", str(call.memory_items).encode()),
        (b"x-cmg-memory-tokens", str(call.memory_tokens).encode()),
        (b"x-cmg-memory-status", call.memory_status.encode()),
        *call.grant.headers,
    ]
    if call.left_out:
        headers.append((b"x-cmg-memory-trimmed", str(len(call.left_out)).encode()))
    if candidate is not None:
        headers.append((b"x-cmg-upstream", candidate.upstream.name.encode()))
        headers.append((b"x-cmg-model", _printable(call.model_answered or candidate.model)))
    return headers


def closing_headers(call: Call, now: float) -> Headers:
    """What is known only when the answer is whole: its cost, and what the gateway itself took."""
    overhead_ms = max(0.0, now - call.started - call.waited_s) * 1000
    return [
        (b"x-cmg-cost-usd", f"{nano_to_usd(call.cost_nano):.9f}".rstrip("0").rstrip(".").encode()),
        (b"x-cmg-overhead-ms", b"%.2f" % overhead_ms),
    ]


def trace_headers(call: Call) -> dict[str, str]:
    """What the upstream is told of the trace: the caller's goes on, with the attempt as the parent.

    Never the caller's baggage: it may name people, and upstreams are others' machines.
    """
    trace = call.trace
    told = {"traceparent": trace.traceparent(call.attempt)}
    return {**told, "tracestate": trace.state} if trace.state else told


def used(usage: Usage | None, texts: Sequence[str], answered: str, other_bytes: int = 0) -> TokenUsage:
    """What the upstream counted, else an estimate from the words that went each way."""
    counted = usage.tokens() if usage is not None else None
    if counted is not None:
        return counted
    prompt = sum(tokens.count(text) + _PER_MESSAGE for text in texts)
    completion = tokens.count(answered) + other_bytes // _BYTES_PER_TOKEN if answered or other_bytes else 0
    return TokenUsage(prompt, completion, cost_nano=None if usage is None else usage.cost_nano, estimated=True)


def _printable(text: str) -> bytes:
    """A header's value: an upstream's words may hold anything."""
    if not text.isprintable():
        text = "".join(letter for letter in text if letter.isprintable())
    return text[:200].encode("latin-1", "replace")
