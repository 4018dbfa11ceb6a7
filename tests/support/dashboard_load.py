"""A load that leaves figures behind on every dashboard."""

import asyncio

from support.api import Api
from support.service import Service


async def use(service: Service, key: str) -> None:
    """Chats with memory, streams and errors of five users."""
    async with Api(service.url, key) as api:
        for number in range(60):
            model = ("sim/echo", "sim/memory", "sim/echo", "sim/fail-503")[number % 4]
            said = {"role": "user", "content": f"We decided to use Postgres {number}, my dog is called Bruno."}
            body = {"model": model, "user": f"u{number % 5}", "thread_id": f"t{number % 5}", "messages": [said]}
            await api.post("/v1/chat/completions", {**body, "stream": number % 2 == 0})
            await asyncio.sleep(0.05)
