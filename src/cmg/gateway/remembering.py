"""Which memory a call reads and writes, the note it gets, and the turns it leaves."""

import msgspec

from cmg.config import MemorySettings
from cmg.gateway.ports import Memory
from cmg.gateway.recording import Call
from cmg.gateway.requests.chat_request import ChatRequest
from cmg.kit.clock import Clock
from cmg.kit.errors import Forbidden
from cmg.kit.scopes import covers
from cmg.kit.turns import NOTE_MARK, Scope, Turn

_KEPT_ROLES = ("user", "assistant")


class Remembering:
    """Decides from the key, the request and its scopes; a key with memory off has none, whatever a request says."""

    def __init__(self, memory: Memory, settings: MemorySettings, clock: Clock) -> None:
        self._memory, self._role, self._clock = memory, settings.inject_role, clock

    def prepare(self, call: Call, chat: ChatRequest) -> None:
        """Set the call's people, its scope, and the turns it would leave.

        Raises `Forbidden` when the key may not speak for the user.
        """
        wish, key = chat.wish, call.caller.key
        call.user = (wish.user, wish.thread, wish.agent)
        prefix = key.user_prefix
        if prefix is not None and wish.user is not None and not wish.user.startswith(prefix):
            raise Forbidden(
                f"this API key speaks only for users whose id begins with `{prefix}`",
                param="user",
                code="user_not_allowed",
            )
        user = wish.user or (f"key:{key.id}" if key.memory_scope == "key" else None)
        if user is None or key.memory == "off" or wish.mode == "off":
            return
        call.scope = Scope(key.workspace_id, user, wish.thread or call.id, wish.agent, implicit=wish.thread is None)
        if wish.mode in {None, "on", "write"} and covers(call.caller.scopes, "memory:write"):
            now = self._clock.time()
            call.turns = [
                Turn(message.role, text, now, message.name)
                for message in chat.messages
                if message.role in _KEPT_ROLES and message.memory is not False and (text := message.text)
            ]
            last = chat.last_user()
            call.keeps_answer = last is None or chat.messages[last].memory is not False  # it may repeat the question

    async def recall(self, call: Call, chat: ChatRequest) -> bytes | None:
        """The note as a message in JSON, None when there is nothing to say; sets the call's memory figures."""
        if call.scope is None or chat.wish.mode == "write" or not covers(call.caller.scopes, "memory:read"):
            return None
        last = chat.last_user()
        if last is None or chat.messages[last].memory is False or not (query := chat.messages[last].text):
            call.memory_status = "ok"
            return None
        wish = chat.wish
        found = await self._memory.recall(
            call.scope,
            query,
            token_budget=wish.token_budget,
            purpose=wish.purpose,
            kinds=wish.kinds,
            present=[message.text for message in chat.messages],
        )
        call.memory_status, call.memory_items, call.memory_tokens = found.status, found.items, found.tokens
        if found.text is None:
            return None
        assert found.text.startswith(NOTE_MARK), "without its mark the note would be remembered as if somebody said it"
        return msgspec.json.encode({"role": self._role, "content": found.text})
