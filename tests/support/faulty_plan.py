"""What the tests' upstream answers, told as data: one `Plan` is one answer with everything that may go wrong in it."""

import base64
import struct
from dataclasses import dataclass
from typing import Any, Literal

TEXT = "The quick brown fox jumps over the lazy dog."
Break = Literal["reset", "close", "end", "stall", "error_event", "bad_json"]


@dataclass(frozen=True)
class Plan:
    """One answer. Times in seconds; `text` None means the default text; `usage` None means none is reported.

    `break_after` counts content pieces of a stream (0: before the first) after which `break_with` happens:
    `reset` (RST), `close` (FIN without the chunked end), `end` (a clean end without finish reason and `[DONE]`),
    `stall` (silence), `error_event` (an in-band error, then a clean end), `bad_json` (one broken event, then on).
    """

    text: str | None = None
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    error: dict[str, Any] | None = None
    model: str | None = None
    cost: float | None = 0.00042
    reports_usage: bool = True
    usage_unasked: bool = False
    usage_extra: tuple[tuple[str, Any], ...] = ()
    reset: bool = False
    delay_s: float = 0.0
    chunk_delay_s: float = 0.0
    comments: int = 0
    break_after: int | None = None
    break_with: Break = "end"
    finish: str | None = "stop"
    done: bool = True
    hang_s: float = 0.0
    byte_by_byte: bool = False
    finish_in_last_piece: bool = False

    @property
    def pieces(self) -> list[str]:
        """The content as a stream's pieces: words with the space before them."""
        words = (TEXT if self.text is None else self.text).split(" ")
        return [word if place == 0 else f" {word}" for place, word in enumerate(words)]


def error_plan(status: int, message: str = "a scripted error", *, code: Any = None, retry_after: str = "") -> Plan:
    """An error answer in OpenAI's shape."""
    headers = (("retry-after", retry_after),) if retry_after else ()
    body = {"message": message, "type": "scripted_error", "param": None, "code": code}
    return Plan(status=status, error={"error": body}, headers=headers)


def count_tokens(value: Any) -> int:
    """A stand-in for a tokenizer: words of every string within `value`."""
    if isinstance(value, str):
        return len(value.split())
    if isinstance(value, list):
        return sum(count_tokens(item) for item in value)
    if isinstance(value, dict):
        return sum(count_tokens(item) for item in value.values())
    return 0


def usage_of(plan: Plan, request: dict[str, Any]) -> dict[str, Any]:
    """The usage object that this upstream reports for a chat call."""
    prompt = max(1, count_tokens(request.get("messages", [])))
    completion = len(plan.pieces) * int(request.get("n") or 1)
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        **dict(plan.usage_extra),
    }
    if plan.cost is not None:
        usage["cost"] = plan.cost
    return usage


def message_of(plan: Plan, request: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The assistant's message and finish reason: a tool call when tools are offered and none was answered yet."""
    last = (request.get("messages") or [{}])[-1]
    if request.get("tools") and last.get("role") != "tool" and plan.text is None:
        name = request["tools"][0]["function"]["name"]
        call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": '{"city":"Paris"}'}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    text = TEXT if plan.text is None else plan.text
    if (request.get("response_format") or {}).get("type") == "json_object" and plan.text is None:
        text = '{"answer": 42}'
    return {"role": "assistant", "content": text}, plan.finish


def chat_answer(plan: Plan, request: dict[str, Any], number: int) -> dict[str, Any]:
    """A whole chat completion."""
    message, finish = message_of(plan, request)
    logprobs = None
    if request.get("logprobs"):
        logprobs = {"content": [{"token": "The", "logprob": -0.25, "bytes": [84, 104, 101], "top_logprobs": []}]}
    choices = [
        {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish}
        for index in range(int(request.get("n") or 1))
    ]
    answer = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1700000000,
        "model": plan.model or request["model"],
        "choices": choices,
        "system_fingerprint": "fp_scripted",
        "x_upstream_field": {"kept": [1, 2.50, None]},
    }
    if plan.reports_usage:
        answer["usage"] = usage_of(plan, request)
    return answer


def embedding_answer(plan: Plan, request: dict[str, Any]) -> dict[str, Any]:
    """Embeddings of eight numbers, as floats or base64 as asked."""
    inputs = request["input"] if isinstance(request["input"], list) else [request["input"]]
    data = []
    for index, text in enumerate(inputs):
        vector = [float(len(str(text)) % 7), 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
        packed: Any = vector
        if request.get("encoding_format") == "base64":
            packed = base64.b64encode(struct.pack("<8f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": packed})
    tokens = max(1, count_tokens(inputs))
    usage: dict[str, Any] = {"prompt_tokens": tokens, "total_tokens": tokens}
    if plan.cost is not None:
        usage["cost"] = plan.cost
    return {"object": "list", "model": plan.model or request["model"], "data": data, "usage": usage}


def chunk_of(plan: Plan, request: dict[str, Any], number: int, delta: dict[str, Any]) -> dict[str, Any]:
    """One `chat.completion.chunk` with one choice."""
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": plan.model or request["model"],
        "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
    }


def tool_call_deltas(request: dict[str, Any]) -> list[dict[str, Any]]:
    """A streamed tool call: its name first, then its arguments in three pieces."""
    name = request["tools"][0]["function"]["name"]
    head = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}
    parts = ('{"city"', ':"Par', 'is"}')
    rest = [{"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in parts]
    return [{"role": "assistant", "content": None, "tool_calls": [head]}, *rest]
