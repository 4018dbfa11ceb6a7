"""Disks whose free space tests set."""

from pathlib import Path
from types import SimpleNamespace

GB = 2**30


class Disk:
    """In the place of `os.statvfs`: a disk of 100 GB."""

    def __init__(self) -> None:
        self.free = 50 * GB

    def __call__(self, _folder: Path) -> SimpleNamespace:
        return SimpleNamespace(f_bavail=self.free, f_frsize=1, f_blocks=100 * GB)
