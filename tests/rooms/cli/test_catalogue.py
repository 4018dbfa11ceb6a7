"""`cmg catalogue render`: what is written, what differs, what is superfluous."""

import json
from pathlib import Path

import pytest

from cmg.cli.commands import run


def test_rendered_files_are_written_once_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["catalogue", "render", "--folder", str(tmp_path)]
    assert run([*words, "--check"]) == 1
    assert not list(tmp_path.iterdir()), "a check writes nothing"
    capsys.readouterr()
    assert run(words) == 0
    assert run([*words, "--check", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.split("written\n")[-1])
    assert (told["ok"], told["differing"]) == (True, [])
    written = {file.relative_to(tmp_path).parts[0] for file in tmp_path.rglob("*.*")}
    assert written == {"alertmanager", "grafana", "prometheus"}


def test_what_differs_or_is_superfluous_is_told_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["catalogue", "render", "--folder", str(tmp_path)]
    run(words)
    (tmp_path / "alertmanager" / "alertmanager.yml").write_text("route: {}")
    (tmp_path / "prometheus" / "rules" / "old.yml").write_text("groups: []")
    capsys.readouterr()
    assert run([*words, "--check"]) == 1
    shown = capsys.readouterr().out
    assert "alertmanager.yml" in shown
    assert "old.yml" in shown
    assert run(words) == 0
    assert run([*words, "--check"]) == 0
    assert not (tmp_path / "prometheus" / "rules" / "old.yml").exists()
