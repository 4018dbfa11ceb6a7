"""In which order files of tests are run, and which by one process: long ones first, so that none is left at the end."""

import functools
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

# Units that take over half a minute, the longest first. Those that mostly wait (W) stand apart: one process waits while
# the others work. Then what starts whole services, the house's rules, and the rooms.
LONG = (
    "acceptance/test_alerting_kills.py",  # W
    "acceptance/console",
    "acceptance/one_service",
    "acceptance/test_alerting_cluster.py",  # W
    "acceptance/dashboards",
    "acceptance/killed",
    "acceptance/callers",
    "acceptance/test_control_plane_openapi.py",
    "acceptance/test_drill.py",  # W
    "acceptance/observed",  # W
    "rooms/storage/test_crash.py",  # W
    "rooms/catalogue/test_rule_files.py",
    "acceptance/test_alerting.py",
    "acceptance/test_database_away.py",
    "acceptance/test_vectors.py",  # W
    "rooms/ledger/quota/test_redis_late.py",  # W
    "acceptance/test_erasure.py",
    "acceptance/test_roles.py",
    "acceptance/test_health.py",  # W
    "acceptance/test_facts.py",
    "acceptance/test_status_page.py",  # W
    "rooms/timeseries/test_costs.py",
    "rooms/storage/test_embedded.py",
    "rooms/storage/test_figures.py",
)
_ROOT = Path(__file__).resolve().parents[1]
_FOLDERS = ("acceptance", "house", "rooms")


@functools.cache
def place(file: Path) -> tuple[int, int]:
    """Where a file stands in the run: less is earlier; files of the same place stay as they are."""
    name = unit(file.relative_to(_ROOT).as_posix() if file.is_relative_to(_ROOT) else file.name)
    if name in LONG:
        return 0, LONG.index(name)
    folder = name.partition("/")[0]
    return 1, _FOLDERS.index(folder) if folder in _FOLDERS else len(_FOLDERS)


def unit(nodeid: str) -> str:
    """What one process runs as a whole: a file, or a folder whose files share a service or what they have read."""
    file = PurePosixPath(nodeid.partition("::")[0])
    shares = file.parent.parent.name == "acceptance" or file.parent.name == "house"
    return (file.parent if shares else file).as_posix()


def missing() -> Sequence[str]:
    """Named files and folders that are not there."""
    return [name for name in LONG if not (_ROOT / name).exists()]
