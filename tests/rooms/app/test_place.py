"""Where the database of a machine is: the embedded server has room for the processes that use it."""

import shutil
import uuid

import asyncpg
import pytest

from cmg.app.processes.orders import connections_most
from cmg.app.wiring.place import database_place
from cmg.config import Settings
from support.clusters import lend_cluster, open_folder


@pytest.mark.parametrize("workers", [1, 6, 64])
async def test_the_embedded_server_has_room_for_all_connections_of_its_machine(workers):
    folder = open_folder(f"place-{uuid.uuid4().hex[:8]}")
    lend_cluster(folder, migrated=False)
    try:
        async with database_place(Settings(data_dir=folder, workers=workers)) as place:
            connection = await asyncpg.connect(place.dsn)
            room = int(await connection.fetchval("SHOW max_connections"))
            await connection.close()
    finally:
        shutil.rmtree(folder)
    assert room > connections_most(workers)
    assert room >= 100  # commands have room beside the processes
