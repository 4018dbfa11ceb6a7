"""Where a data dir keeps its sockets: a socket path may have 107 bytes, a data dir may be deep."""

import hashlib
import tempfile
from pathlib import Path

EMBEDDER_SOCKET = "embedder.sock"
HEALTH_REPORT = "health.report"


def runtime_dir(data_dir: Path) -> Path:
    """The folder for unix sockets of one data dir, `<temporary folder>/cmg-<hash>`; not created here."""
    digest = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"cmg-{digest}"


def faults_file(data_dir: Path) -> Path:
    """What a drill makes fail."""
    return runtime_dir(data_dir) / "faults.json"
