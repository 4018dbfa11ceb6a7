"""The folder of sockets: the same for every process, and its start says what is wrong with it."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from cmg.kit.paths import make_runtime_dir, runtime_dir

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """No temporary file can be written to."""

    def opened(*_: object, **__: object) -> None:
        raise FULL

    monkeypatch.setattr("tempfile._io", SimpleNamespace(open=opened))


@pytest.mark.usefixtures("full")
def test_a_process_that_is_replaced_while_the_folder_is_full_finds_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert runtime_dir(tmp_path / "data").parent == tmp_path


@pytest.mark.parametrize("named", ["missing", "file"])
def test_a_folder_that_is_none_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TMPDIR", str(tmp_path / named))
    monkeypatch.setenv("TEMP", str(tmp_path))
    assert runtime_dir(tmp_path / "data").parent == tmp_path


def test_a_relative_folder_is_where_the_service_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", ".")
    assert runtime_dir(tmp_path / "data").parent == tmp_path


def test_a_good_folder_is_made_once_and_left_empty(tmp_path: Path) -> None:
    folder = tmp_path / "sockets"
    make_runtime_dir(folder)
    make_runtime_dir(folder)
    assert list(folder.iterdir()) == []
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("full")
def test_a_full_folder_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"sockets.* No space left on device; make room there, or set TMPDIR") as raised:
        make_runtime_dir(tmp_path)
    assert str(tmp_path) in str(raised.value)


def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"too long; make room there, or set TMPDIR to another folder, with a short path"):
        make_runtime_dir(tmp_path / ("x" * 100))
