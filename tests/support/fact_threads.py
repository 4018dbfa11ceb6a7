"""Conversations that facts are drawn from, and waiting until they are."""

from support.api import Api
from support.service import eventually

THREAD = [
    ("user", "Help me to migrate the billing service to PostgreSQL."),
    ("assistant", "Sure. Do you want to keep the old database as a replica?"),
    ("user", "The migration must not take longer than 30 minutes. I need to write the rollback plan."),
    ("assistant", "We agreed to freeze writes first, see deploy/freeze.sh."),
    ("user", "1. stop the writers\n2. dump the billing tables\n3. restore them"),
    ("user", "Which version of PostgreSQL is it?"),
]


async def ingest_thread(api: Api, user: str, thread: str, turns) -> str:
    """Take turns in and wait for their vectors; the operation's id."""
    messages = [{"id": f"m{place}", "role": role, "content": text} for place, (role, text) in enumerate(turns)]
    answer = await api.post("/v1/ingest", {"user_id": user, "thread_id": thread, "messages": messages, "wait": True})
    assert answer.status == 200, answer.body
    assert answer.json["facts"] in {"queued", "done"}, "they may be drawn before the vectors are there"
    return answer.json["operation_id"]


async def facts_drawn(api: Api, operation_id: str, within_s: float = 15) -> None:
    """Wait until the thread was read for facts."""

    async def read() -> bool:
        state = await api.get(f"/v1/operations/{operation_id}")
        return state.json["facts"] == "done"

    await eventually(read, within_s, "the thread was read for facts")
