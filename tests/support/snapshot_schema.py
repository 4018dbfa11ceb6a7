"""Write down the schema of a release, for later releases to be tested against: run it once, when the release is made.

    .venv/bin/python tests/support/snapshot_schema.py 0.1.0     writes tests/fixtures/{schema,statements}-0.1.0.sql

The schema is what `pg_dump` says of a freshly migrated database: tables, first rows, and the record of migrations. The
statements are all that the release runs, which must go on to run beside a later one.
"""

import asyncio
import pkgutil
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
sys.path.insert(0, str(FIXTURES.parent))

import cmg  # noqa: E402 - `support` is only importable from here on
from cmg.kit.clock import SystemClock  # noqa: E402 - as above
from cmg.storage import named_sql  # noqa: E402 - as above
from cmg.storage.embedded import EmbeddedPostgres  # noqa: E402
from cmg.storage.migrate import migrate  # noqa: E402
from cmg.storage.server.installation import MAJOR, _package  # noqa: E402
from support.clusters import UNSAFE, open_folder  # noqa: E402

# psql's own commands, comments, and settings of the session that older servers may not know.
_LEFT_OUT = re.compile(r"^(\\.*|--.*|SET .*|SELECT pg_catalog\.set_config.*|)$")


async def snapshot(release: str) -> Path:
    """Migrate a new database and write its dump; returns the file."""
    folder = open_folder(f"snapshot-{uuid.uuid4().hex[:8]}")
    server = EmbeddedPostgres(folder, SystemClock(), settings=UNSAFE)
    try:
        dsn = await server.start()
        await migrate(dsn)
        program = _package() / f"pginstall{MAJOR}" / "bin" / "pg_dump"
        command = [program, "--no-owner", "--no-privileges", "--inserts", "--dbname", dsn]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    finally:
        await server.stop()
        shutil.rmtree(folder)
    lines = [line for line in done.stdout.splitlines() if not _LEFT_OUT.match(line)]
    target = FIXTURES / f"schema-{release}.sql"
    target.write_text("\n".join(lines) + "\n")
    return target


def statements(release: str) -> Path:
    """Write every room's statements, each under the room's name and its own; returns the file."""
    rooms = [name for _, name, package in pkgutil.walk_packages(cmg.__path__, "cmg.") if package]
    found = [
        f"-- name: {room.removeprefix('cmg.')}.{query.name}\n-- {query.description}\n{query.sql};\n"
        for room in sorted(rooms)
        if (Path(cmg.__path__[0]).joinpath(*room.split(".")[1:]) / "queries.sql").is_file()
        for query in named_sql.described(room)
    ]
    target = FIXTURES / f"statements-{release}.sql"
    target.write_text("\n".join(found))
    return target


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(asyncio.run(snapshot(sys.argv[1])), statements(sys.argv[1]))
