"""Which messages of a too long conversation are left out: the oldest, and never half of what belongs together.

System and developer messages stay, and so does the newest exchange: the last user message and all behind it. An
exchange (a user message and what answers it, tools included) goes as a whole. Where the newest one alone is too long,
as in an agent's many steps, its oldest steps go: an assistant's message with the results of the tools it called.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

from cmg.gateway.requests.chat_request import ChatRequest
from cmg.ledger import tokens

_PINNED = frozenset({"system", "developer"})
_RESULTS = frozenset({"tool", "function"})
_STEPS = (
    4  # what is left out grows by a quarter of the room, so that between two steps the upstream's prompt cache holds
)
_SAMPLED, _SAMPLE_CHARACTERS = 16, 1000  # messages, and of each, that are counted exactly
_FRAME_TOKENS = 4  # of a message, in the usual chat formats
_FRAME_BYTES = 32  # of a message in JSON: what stands around its text
_BYTES_PER_TOKEN = 4
_LEAST_BYTES_PER_TOKEN = 2  # fewer have only texts that no vocabulary knows
NOTHING: frozenset[int] = frozenset()
Unit = list[int]


def left_out(chat: ChatRequest, limit: int, note: int) -> frozenset[int]:
    """The places of the messages to leave out so that the prompt, with a note of so many tokens, keeps to the limit.

    Nothing when the prompt keeps to it as it is, and when no shortening could help. Token counts are estimates from
    a sample (about 1 ms for the longest bodies).
    """
    if chat.size <= limit * _LEAST_BYTES_PER_TOKEN:
        return NOTHING
    in_bytes = chat.message_sizes()
    others, sizes = (chat.size - sum(in_bytes)) // _BYTES_PER_TOKEN, _in_tokens(chat, in_bytes)
    if others + sum(sizes) <= limit:
        return NOTHING
    roles = [message.role for message in chat.messages]
    pinned = sum(size for size, role in zip(sizes, roles, strict=True) if role in _PINNED)
    return _oldest(roles, sizes, limit - others - pinned - note)


def _in_tokens(chat: ChatRequest, sizes: Sequence[int]) -> list[int]:
    """About how many tokens each message has: its bytes, at the rate of a sample of their texts.

    Texts alone make the rate: an image or a tool's arguments beside a short text would pass for text of few tokens.
    """
    counted = weighed = 0
    for place in range(0, len(sizes), len(sizes) // _SAMPLED | 1):  # an odd step, or only one speaker is sampled
        text = chat.messages[place].text
        if text:
            seen = text[:_SAMPLE_CHARACTERS]
            counted += tokens.count(seen) * len(text) // len(seen) + _FRAME_TOKENS
            in_json = len(json.dumps(seen, ensure_ascii=chat.is_escaped).encode("utf-8", "replace"))
            weighed += min(sizes[place], in_json * len(text) // len(seen) + _FRAME_BYTES)
    if not counted:
        return [size // _BYTES_PER_TOKEN + 1 for size in sizes]
    return [size * counted // weighed + 1 for size in sizes]


def _oldest(roles: Sequence[str], sizes: Sequence[int], room: int) -> frozenset[int]:
    exchanges = _exchanges(roles)
    if not exchanges or roles[exchanges[-1][0][0]] != "user":
        return NOTHING

    def weight(units: Sequence[Unit]) -> int:
        return sum(sizes[place] for unit in units for place in unit)

    *older, newest = exchanges
    if weight(newest) <= room:
        return _places(unit for exchange in _first(older, weight, room - weight(newest), room) for unit in exchange)
    asked, steps = newest[:1], newest[1:]
    if not steps or weight(asked) + weight(steps[-1:]) > room:
        return NOTHING
    gone = _first([[step] for step in steps[:-1]], weight, room - weight(asked) - weight(steps[-1:]), room)
    return _places(unit for exchange in [*older, *gone] for unit in exchange)


def _first(
    parts: Sequence[list[Unit]], weight: Callable[[Sequence[Unit]], int], left: int, room: int
) -> Sequence[list[Unit]]:
    """The first of these parts that go, so that the rest fits into what is left of the room."""
    weights = [weight(part) for part in parts]
    need, step = sum(weights) - left, max(1, room // _STEPS)
    if need <= 0:
        return []
    goal = -(-need // step) * step
    for count, gone in enumerate(accumulate(weights), 1):
        if gone >= goal:
            return parts[:count]
    return parts


def _exchanges(roles: Sequence[str]) -> list[list[Unit]]:
    """Messages that may go, in units that only go together, by the user message that they follow."""
    exchanges: list[list[Unit]] = []
    for place, role in enumerate(roles):
        if role in _PINNED:
            continue
        if role in _RESULTS and exchanges:
            exchanges[-1][-1].append(place)
        elif role == "user" or not exchanges:
            exchanges.append([[place]])
        else:
            exchanges[-1].append([place])
    return exchanges


def _places(units: Iterable[Unit]) -> frozenset[int]:
    return frozenset(place for unit in units for place in unit)
