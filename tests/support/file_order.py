"""In which order files of tests are run, and which by one process: long ones first, so that none is left at the end."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

# Those that take over half a minute, mostly of waiting; the longest first. Then what starts whole services, then rooms.
LONG = (
    "acceptance/test_alerting_cluster.py",
    "acceptance/test_alerting_kills.py",
    "acceptance/test_drill.py",
    "acceptance/test_authorisation_matrix.py",
    "acceptance/test_metrics_over_crashes.py",
    "acceptance/test_alerting.py",
    "rooms/catalogue/test_rule_files.py",
    "acceptance/test_dashboards.py",
    "acceptance/test_console_dashboards.py",
    "acceptance/test_database_away.py",
    "acceptance/test_erasure.py",
    "acceptance/test_logs.py",
    "acceptance/test_facts.py",
    "acceptance/test_health.py",
    "acceptance/test_status_page.py",
    "acceptance/test_timeseries.py",
    "acceptance/test_long_conversations.py",
    "rooms/storage/test_embedded.py",
    "rooms/storage/test_crash.py",
    "rooms/timeseries/test_costs.py",
)
_ROOT = Path(__file__).resolve().parents[1]
_FOLDERS = ("acceptance", "rooms", "house")


def place(file: Path) -> tuple[int, int]:
    """Where a file stands in the run: less is earlier; files of the same place stay as they are."""
    name = file.relative_to(_ROOT).as_posix() if file.is_relative_to(_ROOT) else file.name
    if name in LONG:
        return 0, LONG.index(name)
    folder = name.partition("/")[0]
    return 1, _FOLDERS.index(folder) if folder in _FOLDERS else len(_FOLDERS)


def unit(nodeid: str) -> str:
    """What one process runs as a whole: a folder below the acceptance tests, which shares a service, else a file."""
    file = PurePosixPath(nodeid.partition("::")[0])
    shared = file.parent if file.parent.parent.name == "acceptance" else file
    return shared.as_posix()


def missing() -> Sequence[str]:
    """Named files that are not there."""
    return [name for name in LONG if not (_ROOT / name).exists()]
