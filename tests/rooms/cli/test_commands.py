"""The command line on a real embedded database: what it prints, and its exit codes."""

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cmg.cli.commands import run
from cmg.memory.control.export import Export
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.lines.terminal import visible


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


class Shell:
    """`cmg` in this process, on the settings of the environment."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def run(self, *words: str) -> Done:
        """Run one command to its end."""
        code = run(words)
        return Done(code, *self._capsys.readouterr())

    def json(self, *words: str, code: int = 0) -> Any:
        """Run one command with `--json`; its answer, when it ended with `code`."""
        done = self.run(*words, "--json")
        assert done.code == code, done
        return json.loads(done.out)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    """A shell without any setting but its folder and port."""
    for name in [name for name in os.environ if name.startswith("CMG_") or name == "OPENROUTER_API_KEY"]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CMG_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CMG_PORT", "0")
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield Shell(capsys)
    root.handlers[:], root.level = before


@pytest.fixture
def shell(bare: Shell, dsn: str, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell on a database of this test alone."""
    monkeypatch.setenv("CMG_DATABASE_URL", dsn)
    return bare


def test_a_key_lives_its_life(shell: Shell) -> None:
    made = shell.json("keys", "create", "--name", "app", "--scope", "chat,models", "--rpm", "60", "--tag", "a")
    key_id = made["id"]
    assert made["key"].startswith(f"cmg_{key_id}_")
    assert (made["scopes"], made["limits"]["rpm"], made["tags"]) == (["chat", "models"], 60, ["a"])
    changed = shell.json("keys", "update", key_id, "--budget-usd", "5", "--budget-period", "month", "--unset", "rpm")
    assert (changed["budget"]["usd"], changed["limits"]["rpm"]) == (5.0, None)
    rotated = shell.json("keys", "rotate", key_id, "--grace-s", "60")
    assert rotated["key"] != made["key"]
    clone = shell.json("keys", "clone", key_id, "--name", "app two")
    assert (clone["name"], clone["budget"]["usd"]) == ("app two", 5.0)
    assert shell.json("keys", "suspend", key_id, "--reason", "odd")["suspended_reason"] == "odd"
    assert shell.json("keys", "resume", key_id)["state"] == "active"
    assert shell.json("keys", "revoke", key_id)["state"] == "revoked"
    assert key_id not in [one["id"] for one in shell.json("keys", "list")["items"]]
    assert shell.json("keys", "show", key_id)["state"] == "revoked"


def test_people_read_a_table_and_see_a_secret_once(shell: Shell) -> None:
    made = shell.run("keys", "create", "--name", "for people")
    secret = made.out.split("\ncmg_")[1].split()[0]
    assert "shown this once" in made.out
    listed = shell.run("keys", "list").out
    assert listed.splitlines()[0].split() == ["id", "name", "state", "workspace", "owner", "scopes", "expires_at"]
    assert "for people" in listed
    assert secret not in listed


def test_workspaces_are_made_and_hold_keys(shell: Shell) -> None:
    made = shell.json("workspaces", "create", "--name", "Berlin", "--id", "berlin", "--timezone", "Europe/Berlin")
    assert made["timezone"] == "Europe/Berlin"
    assert {"berlin", "default"} <= {one["id"] for one in shell.json("workspaces", "list")["items"]}
    key = shell.json("keys", "create", "--name", "there", "--workspace", "berlin")
    assert [one["id"] for one in shell.json("keys", "list", "--workspace", "berlin")["items"]] == [key["id"]]


def test_a_workspaces_memory_policy_is_changed(shell: Shell) -> None:
    shell.json("workspaces", "create", "--name", "Rome", "--id", "rome")
    changed = shell.json("workspaces", "update", "rome", "--memory", '{"retention_days": 30, "shared": true}')
    assert (changed["memory"]["retention_days"], changed["memory"]["shared"]) == (30, True)
    assert shell.json("workspaces", "update", "rome", "--memory", "null")["memory"]["retention_days"] is None


def test_people_are_created_helped_and_disabled(shell: Shell) -> None:
    made = shell.json("accounts", "create", "Ada@example.org", "--role", "admin", "--name", "Ada")
    assert (made["email"], made["role"], made["must_change_password"]) == ("ada@example.org", "admin", True)
    invited = shell.run("accounts", "invite", "bob@example.org")
    assert (invited.code, invited.out.count("cmgt_")) == (0, 1), invited
    assert shell.json("accounts", "invite", "bob@example.org", code=1)["error"]["param"] == "email"
    assert shell.json("accounts", "reset", "ada@example.org")["token"].startswith("cmgt_")
    assert shell.json("accounts", "disable", "bob@example.org")["status"] == "disabled"
    assert shell.json("accounts", "enable", "bob@example.org")["status"] == "invited"
    assert shell.run("accounts", "disable", "ada@example.org").code == 1, "the last administrator stays"
    assert shell.run("accounts", "reset", "nobody@example.org").code == 1
    listed = shell.json("accounts", "list")["items"]
    assert [one["email"] for one in listed] == ["bob@example.org", "ada@example.org"]
    assert made["password"] not in shell.run("accounts", "list").out


def test_every_change_of_the_shell_is_in_the_trail(shell: Shell) -> None:
    before = shell.json("audit", "verify")
    shell.json("keys", "create", "--name", "audited")
    after = shell.json("audit", "verify")
    assert after["ok"]
    assert after["entries"] == before["entries"] + 1


def test_usage_is_reported_as_json_csv_and_text(shell: Shell) -> None:
    report = shell.json("usage", "report", "--group-by", "key,day", "--from", "2026-01-01", "--to", "2026-01-31")
    assert report["items"] == []
    assert report["totals"]["calls"] == 0
    assert shell.run("usage", "report", "--csv").out.startswith("day,calls,")
    assert "There was no call." in shell.run("usage", "report").out


def test_the_doctor_is_content_with_a_fresh_place(shell: Shell) -> None:
    found = shell.json("doctor")
    levels = {one["check"]: one["level"] for one in found["checks"]}
    assert found["ok"]
    assert (levels["database"], levels["data dir"], levels["port"]) == ("ok", "ok", "ok")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("keys", "show", "nosuchkey234"), 1, "no API key"),
        (("keys", "create"), 2, "`name`"),
        (("keys", "create", "--name", "x", "--scope", "everything"), 2, "scopes"),
        (("keys", "create", "--name", "x", "--ip-allow", "home"), 2, "ip_allow"),
        (("keys", "create", "--name", "x", "--workspace", "nowhere"), 1, "workspace"),
        (("keys", "update", "nosuchkey234"), 2, "what to change"),
        (("keys", "list", "--state", "lost"), 2, "--state"),
        (("usage", "report", "--group-by", "mood"), 2, "group_by"),
        (("nosuch",), 2, "nosuch"),
        (("restore", "nosuch.tar"), 2, "nosuch.tar"),
    ],
)
def test_a_refusal_has_its_exit_code_and_says_why(shell: Shell, words: tuple[str, ...], code: int, told: str) -> None:
    done = shell.run(*words)
    assert done.code == code, done.out + done.err
    assert told in done.err
    assert "Traceback" not in done.err


def test_a_mistyped_workspace_is_told_and_not_shown_as_an_empty_one(shell: Shell) -> None:
    """Every command with `--workspace` asks at one place (`cli/session.py`)."""
    there = ("list", "oncall", "lint", "noise", "feeds list")
    others = ("keys list", "accounts list", "usage report", "traces list", "logs search", "memory export --user ada")
    for words in (*others, *(f"alerts {one}" for one in there)):
        told = shell.json(*words.split(), "--workspace", "defualt", code=1)["error"]["message"]
        assert told.startswith("there is no workspace `defualt`"), words
    assert shell.json("alerts", "list", "--workspace", "default") == {"groups": [], "alerts": []}


ABOUT_WHAT_IS_STORED = (
    "backup b.tar",
    "memory export --user ada",
    "memory erase --user ada --yes",
    "audit verify",
    "usage report",
    "keys list",
    "keys revoke 0123456789abcdef",
    "workspaces list",
    "accounts list",
    "accounts reset ada@example.com",
    "logs search",
    "incidents list",
    "alerts list",
)


@pytest.mark.parametrize("words", ABOUT_WHAT_IS_STORED)
def test_a_place_where_nothing_was_ever_stored_is_told_and_not_made(bare: Shell, tmp_path: Path, words: str) -> None:
    """As with a mistyped or forgotten CMG_DATA_DIR: an empty backup or list would look like a good one."""
    done = bare.run(*words.split())
    assert (done.code, done.out) == (1, "")
    assert "is CMG_DATA_DIR right?" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_database_where_nothing_was_ever_stored_is_told_and_not_filled(
    bare: Shell, empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CMG_DATABASE_URL", empty_dsn)
    for _ in range(2):
        assert "is CMG_DATABASE_URL right?" in bare.run("backup", "b.tar").err
        assert "is CMG_DATABASE_URL right?" in bare.run("keys", "list").err


def test_what_may_be_made_first_makes_its_place(bare: Shell, empty_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMG_DATABASE_URL", empty_dsn)
    made = bare.json("keys", "create", "--name", "before the first start")
    assert [one["id"] for one in bare.json("keys", "list")["items"]] == [made["id"]]


def test_a_user_without_a_name_is_no_user(shell: Shell) -> None:
    """As a script's variable that is not set: nobody was erased then."""
    for words in (("export", "--user", ""), ("erase", "--yes", "--user", "")):
        done = shell.run("memory", *words)
        assert (done.code, done.out) == (2, "")
        assert "--user" in done.err


def test_a_dash_is_standard_output_and_never_a_file(shell: Shell, tmp_path: Path) -> None:
    done = shell.run("memory", "export", "--user", "ada", "--output", "-")
    assert [json.loads(line)["type"] for line in done.out.splitlines()] == ["export", "end"]
    assert shell.run("backup", "-").code == 2, "it is put together in a folder"
    assert not (tmp_path / "-").exists()


def test_an_export_that_fails_leaves_no_half_of_a_file(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person's words, and in the way of the next attempt; what is there already stays."""
    words, file = ("memory", "export", "--user", "ada", "--output", "ada.jsonl"), tmp_path / "ada.jsonl"

    async def cut_off(*_: object) -> AsyncIterator[bytes]:
        yield b"{}\n"
        raise DatabaseAway("it went away")

    with monkeypatch.context() as patched:
        patched.setattr(Export, "lines", cut_off)
        assert shell.run(*words).code == 1
        assert not file.exists()
    assert shell.run(*words).code == 0
    written = file.read_bytes()
    assert shell.run(*words).code == 2
    assert file.read_bytes() == written


def test_a_refusal_is_json_for_programs(shell: Shell) -> None:
    assert shell.json("keys", "show", "nosuchkey234", code=1)["error"]["code"] == "not_found"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that an unprivileged user may enter (pytest's own has mode 0700)."""
    made = Path(tempfile.mkdtemp(prefix="cmg-cli-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def test_a_backup_brings_everything_back_in_an_empty_place(
    shell: Shell, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, file = shell.json("keys", "create", "--name", "kept"), folder / "backup.tar"
    written, trail = shell.json("backup", str(file)), shell.json("audit", "verify")
    assert written["rows"] > 0
    assert shell.run("backup", str(file)).code == 2, "a backup is never overwritten"
    assert shell.run("restore", str(file)).code == 1, "nor is what is there"
    monkeypatch.delenv("CMG_DATABASE_URL")
    monkeypatch.setenv("CMG_DATA_DIR", str(folder / "data"))
    assert shell.json("restore", str(file), "--verify")["rows"] == written["rows"]
    assert shell.json("keys", "show", key["id"])["name"] == "kept"
    assert shell.json("audit", "verify") == trail


def test_a_backup_names_the_key_of_sealed_secrets_that_is_not_in_it(
    shell: Shell, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would open what lies beside it; whoever forgets it loses second factors and secrets of channels."""
    file, key = folder / "backup.tar", tmp_path / "data" / "master.key"
    key.parent.mkdir(exist_ok=True)
    key.write_text("k" * 44)
    assert f"Not in it: {key}" in shell.run("backup", str(file)).err
    assert b"k" * 44 not in file.read_bytes()
    monkeypatch.delenv("CMG_DATABASE_URL")
    monkeypatch.setenv("CMG_DATA_DIR", str(folder / "data"))
    told = shell.run("restore", str(file))
    assert (told.code, f"master.key at {folder / 'data' / 'master.key'}" in told.err) == (0, True)


def test_help_names_every_command_without_a_database(bare: Shell, tmp_path: Path) -> None:
    done = bare.run("--help")
    assert done.code == 0
    for command in ("serve", "keys", "workspaces", "usage", "audit", "backup", "restore", "doctor"):
        assert f"  {command}" in done.out
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("words", [("serve",), ("keys", "list"), ("doctor",)])
def test_a_wrong_setting_stops_every_command_and_names_its_place(
    bare: Shell, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "cmg.toml").write_text("\nprot = 1\n")
    done = bare.run(*words)
    assert done.code == 2
    assert "cmg.toml:2" in done.err


def test_the_module_is_the_command(tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "CMG_PROT": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "cmg", "doctor"], env=environ, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "CMG_PROT" in done.stderr


def test_an_incidents_life_on_the_command_line(shell: Shell, tmp_path: Path) -> None:
    made = shell.json("incidents", "declare", "Calls fail", "--severity", "SEV-2", "--component", "api=major_outage")
    name = made["id"]
    assert (made["created_by"], made["components"]) == ("cli", {"api": "major_outage"})
    assert name in shell.run("incidents", "list", "--state", "open").out
    assert shell.json("incidents", "update", name, "--commander", "ben", "--status", "identified")["commander"] == "ben"
    assert shell.json("incidents", "note", name, "Restarted it.")["text"] == "Restarted it."
    assert (
        "API: unavailable"
        in shell.run("incidents", "say", name, "--kind", "update", "--audience", "customer", "--preview").out
    )
    words = ("--kind", "update", "--audience", "internal", "--channel", "nowhere")
    (delivery,) = shell.json("incidents", "say", name, *words)["deliveries"]
    assert (delivery["channel"], delivery["outcome"]) == ("nowhere", "failed")
    assert shell.json("incidents", "resolve", name)["impact"]["calls"] == 0
    done = shell.run("incidents", "close", name)
    assert (done.code, "did not answer" in done.err) == (1, True), "nothing runs that could be called"
    assert shell.json("incidents", "close", name, "--override", "It is off on purpose.")["status"] == "closed"
    assert "Restarted it." in shell.run("incidents", "show", name).out
    shell.json("incidents", "actions", "add", name, "Watch the disk", "--owner", "ada")
    assert "Watch the disk" in shell.run("incidents", "actions", "list").out
    assert shell.json("incidents", "actions", "set", name, "1", "done")["state"] == "done"
    assert shell.run("incidents", "review", name).code == 1
    assert shell.json("incidents", "review", name, "--cause", "A full disk.", "--factor", "No alert")["factors"] == [
        "No alert"
    ]
    assert shell.json("incidents", "post-mortem", name, "--output", str(tmp_path / "pm"))["plots"] == 0
    assert "A full disk." in (tmp_path / "pm" / f"{name}.md").read_text()
    assert shell.json("incidents", "metrics")["incidents"]["count"] == 1


def test_wrong_words_are_told(shell: Shell) -> None:
    assert shell.run("incidents", "declare", "x", "--severity", "SEV-9").code == 2
    assert shell.run("incidents", "declare", "x", "--severity", "SEV-1", "--component", "api=bad").code == 2
    assert shell.run("incidents", "show", "INC-x").code == 2
    assert shell.run("incidents", "show", "INC-99").code == 1


def test_what_others_said_is_shown_and_never_obeyed_by_the_terminal() -> None:
    said = "good\x1b]0;owned\x07\n2026-11-29T10:00:00Z CRITICAL cmg: forged \u202etxt.exe \x9b2J é"
    shown = visible(said)
    assert shown == ("good\\x1b]0;owned\\x07\\n2026-11-29T10:00:00Z CRITICAL cmg: forged \\u202etxt.exe \\x9b2J é")


def test_settings_are_shown_with_their_origin_and_without_secrets(bare: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-canary")
    rows = {one["name"]: one for one in bare.json("config", "show")["items"]}
    assert (rows["openrouter_api_key"]["set"], rows["openrouter_api_key"]["value"]) == (True, None)
    assert (rows["port"]["origin"], rows["workers"]["origin"]) == ("environment", "default")
    shown = bare.run("config", "show")
    assert "OPENROUTER_API_KEY" in shown.out
    assert "sk-canary" not in shown.out + str(rows)
