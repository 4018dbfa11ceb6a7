"""What is installed: no larger than the note says, and without what nobody loads."""

import csv
import fnmatch
import re
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from house.tree import ROOT

SITE = Path(sysconfig.get_path("platlib"))
AIM_MB = 600
_BLOCKS_MB = 45  # what `du` counts beyond the bytes of files: blocks, folders, pip
_PINNED = re.compile(r"^([a-z0-9._-]+)==", re.MULTILINE)
_LISTED = [
    word
    for line in (ROOT / "requirements.unused").read_text().splitlines()
    for word in line.partition("#")[0].split()
]  # fmt: skip


def _files(name: str) -> list[str]:
    """A package's files, compiled ones and those that were taken away included; none for what other platforms need."""
    try:
        record = distribution(name).read_text("RECORD") or ""  # `files` leaves out what was taken away, from 3.12 on
    except PackageNotFoundError:
        return []
    return [path for path, *_ in csv.reader(record.splitlines())]


RUNTIME = {name: _files(name) for name in _PINNED.findall((ROOT / "requirements.lock").read_text())}


def test_what_nobody_loads_is_not_installed() -> None:
    left = [str(path.relative_to(SITE)) for pattern in _LISTED for path in SITE.glob(pattern)]
    assert not left, "requirements.unused names these: remove .venv/stamps and run `make check` again"


@pytest.mark.skipif(sys.platform != "linux", reason="wheels of other platforms lack some of it")
@pytest.mark.parametrize("pattern", _LISTED)
def test_what_is_called_unused_is_in_a_package_of_the_lock(pattern: str) -> None:
    """A path that a later release no longer has says nothing, and would hide that it has grown elsewhere."""
    assert any(fnmatch.filter(files, pattern) or fnmatch.filter(files, f"{pattern}/*") for files in RUNTIME.values())


def test_the_runtime_is_no_larger_than_the_note_says() -> None:
    sizes = {
        name: sum(path.stat().st_size for one in files if (path := SITE / one).is_file()) / 10**6
        for name, files in RUNTIME.items()
    }
    told = re.search(r"\*\*(\d+) MB\*\*", (ROOT / "docs" / "adr" / "0002-size.md").read_text())
    assert told is not None
    largest = sorted(sizes.items(), key=lambda one: -one[1])[:12]
    assert int(told[1]) - _BLOCKS_MB < sum(sizes.values()) <= int(told[1]) <= AIM_MB, largest
