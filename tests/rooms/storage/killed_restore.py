"""A restore that stops and never ends: `killed_restore.py FILE DSN DATA_DIR rows|files|commit`.

It hangs when the rows are in their tables, when the files are in their place, or behind the commit.
"""

import asyncio
import sys
import time
from pathlib import Path

from cmg.storage import backup
from cmg.storage.archive.unfinished import Unfinished


def _hang() -> None:
    print("hanging", flush=True)
    time.sleep(3600)


def main(source: str, dsn: str, data_dir: str, where: str) -> None:
    """Restore up to there."""
    fill, files = backup.fill, backup._restore_files

    async def filled(*args):
        await fill(*args)
        _hang()

    def restored(*args):
        files(*args)
        _hang()

    if where == "rows":
        backup.fill = filled
    elif where == "files":
        backup._restore_files = restored
    else:
        Unfinished.end = lambda _self: _hang()
    asyncio.run(backup.restore(Path(source), dsn, Path(data_dir)))


if __name__ == "__main__":
    main(*sys.argv[1:])
