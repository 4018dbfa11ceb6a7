"""What a backup says about itself: every member with its hash, every table with its number of rows."""

import msgspec

FORMAT = 1
NAME = "manifest.json"


class TableDump(msgspec.Struct, frozen=True):
    """One table: its rows as COPY text, gzipped, in the tar's `member`; `columns` in their order there."""

    name: str
    columns: list[str]
    rows: int
    member: str


class Partition(msgspec.Struct, frozen=True):
    """A partition and its bound as PostgreSQL writes it: `FOR VALUES FROM (…) TO (…)` or `DEFAULT`."""

    name: str
    parent: str
    bound: str


class SequenceValue(msgspec.Struct, frozen=True):
    """The last value a sequence gave out; None when it was never used."""

    name: str
    last_value: int | None


class Database(msgspec.Struct, frozen=True):
    """The database's part. `migrations` (name → hash) is the schema that the tables have; tables come parents first."""

    server: str
    migrations: dict[str, str]
    tables: list[TableDump]
    partitions: list[Partition]
    sequences: list[SequenceValue]


class Manifest(msgspec.Struct, frozen=True):
    """The whole. `members` is tar member → SHA-256; `files` are those out of the data dir, below `data/`."""

    format: int
    release: str
    created_at: str
    database: Database
    files: list[str]
    members: dict[str, str]

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.database.tables)
