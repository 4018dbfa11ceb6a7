"""The image's build without an engine: what the Dockerfile copies is enough to build the whole package."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def _copied(folder: Path) -> None:
    """What the COPY lines of the build stage bring."""
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for name in line.split():
            source, ignored = ROOT / name, shutil.ignore_patterns("__pycache__", "*.egg-info")
            if source.is_dir():
                shutil.copytree(source, folder / source.name, ignore=ignored)
            else:
                shutil.copy(source, folder)


def test_the_package_is_built_whole_from_what_is_copied(tmp_path: Path):
    _copied(tmp_path)
    (options,) = re.findall(r"-m pip install (--no-deps --no-build-isolation) \.", DOCKERFILE)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", *options.split(), "-w", tmp_path / "built", "."]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    (wheel,) = (tmp_path / "built").glob("*.whl")
    built = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        file.relative_to(ROOT / "src").as_posix()
        for file in (ROOT / "src" / "cmg").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert not wanted - built


def test_the_lock_that_is_copied_holds_what_builds_the_package():
    locked = (ROOT / "requirements.lock").read_text()
    assert re.search(r"^setuptools==", locked, re.MULTILINE), "the second step has no network for it"
    assert "--hash=sha256:" in locked
