"""kill -9 in the middle of an erasure: what its tombstone promised is kept by whoever runs next."""

import asyncio
from asyncio.subprocess import DEVNULL

import asyncpg

from support.api import Api
from support.processes import kill
from support.service import CMG, Service, eventually

HOLD = "SELECT user_no FROM memory_users WHERE user_id = $1 FOR UPDATE"
BEGUN = "SELECT count(*) FROM memory_erasures"


async def test_an_erasure_that_was_killed_is_finished_by_the_next_backstage(crashing: Service) -> None:
    user = "erased-half"
    async with Api(crashing.url, crashing.key) as api:
        await api.post("/v1/ingest", {"user_id": user, "content": "My canary sings", "wait": True})
        connection = await asyncpg.connect(crashing.database_url())
        try:
            async with connection.transaction():
                await connection.fetchval(HOLD, user)
                command = [str(CMG), "memory", "erase", "--user", user, "--yes"]
                erasing = await asyncio.create_subprocess_exec(*command, env=crashing._environ(), stdout=DEVNULL)

                async def begun() -> bool:
                    return bool(await connection.fetchval(BEGUN))

                await eventually(begun, 30, "the tombstone is written")
                kill(erasing.pid)
                await erasing.wait()
            assert (await api.get(f"/v1/memories?user_id={user}")).json["items"]
            (backstage,) = crashing.pids("backstage")
            kill(backstage)

            async def gone() -> bool:
                return not await connection.fetchval(BEGUN)

            await eventually(gone, 30, "the next backstage finishes the erasure")
        finally:
            await connection.close()
        assert (await api.get(f"/v1/memories?user_id={user}")).json["items"] == []
        (entry, *_) = (await api.get("/admin/v1/audit?action=memory.erase")).json["items"]
        assert entry["details"]["erased"]["turns"] == 1
