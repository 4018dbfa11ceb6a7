"""Each model's index of neighbours, for users with so many turns that comparing them one by one takes too long."""

from cmg.memory.embedding.embedder import Model
from cmg.storage.database import Database
from cmg.storage.named_sql import load
from cmg.telemetry.logs import get_logger

INDEXED_DIMENSIONS = 4000  # more than these pgvector's index of half-precision vectors does not take
_BUILD_S = 3600.0
_CLOSE_S = 5.0
_LOCK = 0x636D6705
# Names and numbers cannot be arguments here; both are ours. Concurrently: writers go on meanwhile.
_CREATE = (
    "CREATE INDEX CONCURRENTLY {name} ON memory_vectors USING hnsw ((turn::halfvec({dimension})) halfvec_cosine_ops) "
    "WHERE indexed AND model_no = {model_no}"
)
_DROP = "DROP INDEX CONCURRENTLY IF EXISTS {name}"
_log = get_logger("cmg.memory.vectors")


class IndexStore:
    """Makes and removes indexes. Raises what the database raises."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load("cmg.memory.vectors")

    async def ensure(self, model: Model, model_no: int) -> None:
        """Make the index if it is not there whole, or being made by another machine.

        A wider vector than can be indexed is compared one by one.
        """
        if model.dimension > INDEXED_DIMENSIONS:
            return
        name = index_name(model_no)
        if await self._database.fetchval(self._sql["index_is_whole"], name):
            return
        connection = await self._database.dedicated()  # the lock is the session's: this runs in no transaction
        try:
            # Never waiting for the lock: a build waits for every statement that began before it.
            if await connection.fetchval(self._sql["lock_indexes"], _LOCK):
                words = {"name": name, "dimension": int(model.dimension), "model_no": int(model_no)}
                await connection.execute(_DROP.format(name=name), timeout=_BUILD_S)  # what a killed attempt left
                await connection.execute(_CREATE.format(**words), timeout=_BUILD_S)
                _log.info("the index of a model's vectors was made", model=model.name, index=name)
        finally:
            await connection.close(timeout=_CLOSE_S)

    async def drop(self, model_no: int) -> None:
        """Remove the index of a model."""
        await self._database.execute(_DROP.format(name=index_name(model_no)), timeout_s=_BUILD_S)


def index_name(model_no: int) -> str:
    """The name of a model's index."""
    return f"memory_vectors_nearest_{int(model_no)}"
