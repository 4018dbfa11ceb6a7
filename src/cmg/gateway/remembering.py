"""Which memory a call reads and writes, the note it gets, what is left out for it, and the turns it leaves."""

from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from cmg.gateway.calls.ladder import ContextLengths
from cmg.gateway.parts import GatewayParts
from cmg.gateway.recording import Call
from cmg.gateway.requests.chat_request import UNCHANGED, ChatRequest, Injected, Message
from cmg.gateway.requests.shortening import left_out
from cmg.gateway.routing.router import Candidate
from cmg.identity.speaking.rules import is_staff
from cmg.kit.scopes import covers
from cmg.kit.turns import NOTE_MARK, Recollection, Scope, Shortened, Turn

_KEPT_ROLES = ("user", "assistant")
_NOTE_SHARE = 3  # of a model's window a third, at most, is given to what stands for a conversation's older part


class Remembering:
    """Decides from the key, the request and its scopes; a key with memory off has none, whatever a request says.

    `contexts` tells how many tokens a model takes (None: unknown).
    """

    def __init__(self, parts: GatewayParts, contexts: ContextLengths) -> None:
        self._memory, self._settings, self._contexts = parts.memory, parts.settings.memory, contexts
        self._speaking, self._clock = parts.speaking, parts.clock

    def prepare(self, call: Call, chat: ChatRequest, candidates: Sequence[Candidate], token: str | None) -> None:
        """Set the call's people, its scope, the turns it would leave, and the messages that are left out of it.

        Raises `Forbidden` when the caller may not speak for the user; `token`: what was sent as the user's own.
        """
        wish, key = chat.wish, call.caller.key
        call.user = (wish.user, wish.thread, wish.agent)
        if wish.user is not None:
            self._speaking.check(call.caller, wish.user, token, "user")
        user = wish.user or (f"key:{key.id}" if key.memory_scope == "key" else None)
        if user is None or key.memory == "off" or wish.mode == "off":
            return
        call.scope = Scope(
            key.workspace_id,
            user,
            wish.thread or call.id,
            wish.agent,
            implicit=wish.thread is None,
            key_id=None if is_staff(call.caller) else key.id,
        )
        last = chat.last_user()
        call.keeps_answer = last is None or chat.messages[last].memory is not False  # it may repeat the question
        if wish.mode in {None, "on", "write"} and covers(call.caller.scopes, "memory:write"):
            said = self._turns(chat.messages)
            if said:
                call.turns = said if wish.thread is not None else self._turns(_new(chat.messages))
        if wish.mode != "write" and covers(call.caller.scopes, "memory:read"):
            own = call.caller.workspace.memory.holdout_share
            held_out = is_held_out(call.scope, self._settings.holdout_share if own is None else own)
            call.memory_status = "holdout" if held_out else "ok"
            if not held_out:
                self._shorten(call, chat, candidates)

    async def recall(self, call: Call, chat: ChatRequest) -> Injected:
        """What memory changes in the request; sets the call's memory figures."""
        if call.scope is None or call.memory_status != "ok":
            return UNCHANGED
        last = chat.last_user()
        query = chat.messages[last].text if last is not None and call.keeps_answer else ""
        if not query and not call.left_out:
            return UNCHANGED
        found = await self._found(call.scope, call, chat, query)
        call.memory_status, call.memory_items, call.memory_tokens = found.status, found.items, found.tokens
        call.question, call.recalled = query, found.ids
        if found.status == "other_key":
            call.turns = None  # nor does it leave anything with another key's user
        if found.text is None:
            return Injected(left_out=call.left_out)
        assert found.text.startswith(NOTE_MARK), "without its mark the note would be remembered as if somebody said it"
        note = msgspec.json.encode({"role": self._settings.inject_role, "content": found.text})
        return Injected(note, call.left_out)

    async def _found(self, scope: Scope, call: Call, chat: ChatRequest, query: str) -> Recollection:
        wish, present = chat.wish, chat.texts(call.left_out)
        if call.left_out:
            gone = [chat.messages[place] for place in sorted(call.left_out)]
            shortened = Shortened(len(gone), self._turns(gone), call.note_room, present)
            return await self._memory.condense(scope, query, shortened, purpose=wish.purpose, kinds=wish.kinds)
        return await self._memory.recall(
            scope,
            query,
            token_budget=wish.token_budget,
            purpose=wish.purpose,
            kinds=wish.kinds,
            present=present,
        )

    def _shorten(self, call: Call, chat: ChatRequest, candidates: Sequence[Candidate]) -> None:
        """Leave messages out when the prompt has more than its share of every candidate's context window."""
        wished, share = chat.wish.token_budget, self._settings.context_share
        budget = self._settings.token_budget if wished is None else wished
        known = [length for one in candidates if (length := self._contexts(*one.place)) is not None]
        if not (budget and share and known):
            return
        limit = min(int(max(known) * share), max(known) - (chat.max_tokens or 0))
        call.note_room = min(budget + self._settings.summary_tokens, limit // _NOTE_SHARE)
        if call.note_room > 0:
            call.left_out = left_out(chat, limit, call.note_room)

    def _turns(self, messages: Sequence[Message]) -> list[Turn]:
        now = self._clock.time()
        return [
            Turn(message.role, text, now, message.name)
            for message in messages
            if message.role in _KEPT_ROLES and message.memory is not False and (text := message.text)
        ]


def _new(messages: Sequence[Message]) -> Sequence[Message]:
    """What was said since the assistant spoke or called a tool: what stands before came with an earlier call.

    An assistant's message at the very end is the beginning of the answer.
    """
    behind = len(messages)
    while behind and messages[behind - 1].role == "assistant":
        behind -= 1
    first = next((place for place in range(behind, 0, -1) if messages[place - 1].role == "assistant"), 0)
    return messages[first:]


def is_held_out(scope: Scope, share: float) -> bool:
    """Whether a conversation goes without memory: always the same for a thread; a call without one is its own."""
    if not share:
        return False
    name = f"{scope.workspace_id}\0{scope.user_id}\0{scope.thread_id}"
    drawn = blake2b(name.encode("utf-8", "replace"), digest_size=8, person=b"holdout")
    return int.from_bytes(drawn.digest(), "big") < share * 2**64
