"""What holds for every command, walked over the whole tree of them."""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cmg.cli.commands import GOOD, NO, USAGE, commands, run
from support.faulty_upstream import closed_port

# Needs neither the database nor a service, or runs until it is stopped.
ALONE = {
    "serve", "drill", "catalogue render", "alerts rules templates", "alerts test", "config show", "eval memory",
    "health", "doctor",
}  # fmt: skip


def _walk(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield words, command
        return
    for name in command.list_commands(click.Context(command)):
        found = command.get_command(click.Context(command), name)
        assert found is not None, name
        yield from _walk(found, (*words, name))


EVERY = list(_walk(commands, ()))
EACH = pytest.mark.parametrize(("words", "command"), EVERY, ids=[" ".join(words) for words, _ in EVERY])
USING = [(words, command) for words, command in EVERY if " ".join(words) not in ALONE]


@EACH
def test_help_says_what_it_does_and_what_each_option_is(words, command: click.Command, capsys):
    assert run((*words, "--help")) == GOOD
    shown = capsys.readouterr().out
    assert shown.startswith("Usage: cmg " + " ".join(words))
    assert command.help
    for option in command.params:
        if isinstance(option, click.Option):
            assert max(option.opts, key=len) in shown
            assert option.help or isinstance(option.type, click.Choice | click.IntRange), option.name


def test_every_command_can_answer_in_json():
    mute = [words for words, command in EVERY if "--json" not in {name for one in command.params for name in one.opts}]
    assert not mute


@EACH
def test_a_wrong_word_is_exit_2(words, command: click.Command, capsys):
    assert run((*words, "--json", "--no-such-option")) == USAGE
    told = capsys.readouterr()
    assert "--no-such-option" in told.err
    assert "--no-such-option" in json.loads(told.out)["error"]["message"]
    if any(isinstance(one, click.Argument) and one.required for one in command.params):
        assert run(words) == USAGE


def _word(option: click.Parameter, folder: Path) -> str:
    """A value that the option takes."""
    if isinstance(option.type, click.Choice):
        return str(option.type.choices[0])
    if isinstance(option.type, click.Path):
        file = folder / "file"
        if option.type.exists:
            file.write_text("# EOF\n")
        return str(file)
    if isinstance(option.type, click.types.IntParamType | click.types.FloatParamType):
        return str(max(1, int(getattr(option.type, "min", None) or 1)))
    return "ada@example.com" if option.name == "email" else "x"


def _called(words: tuple[str, ...], command: click.Command, folder: Path) -> list[str]:
    called = [*words, "--json"]
    for option in command.params:
        if option.required:
            value = _word(option, folder)
            called += [value] if isinstance(option, click.Argument) else [max(option.opts, key=len), value]
        elif isinstance(option, click.Option) and option.name == "yes":
            called.append("--yes")
    return called


@pytest.mark.parametrize(("words", "command"), USING, ids=[" ".join(words) for words, _ in USING])
def test_without_its_database_the_answer_is_no_and_json(words, command, tmp_path: Path, monkeypatch, capsys):
    for name in [name for name in os.environ if name.startswith("CMG_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CMG_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CMG_DATABASE_URL", f"postgresql://u:secret-word@127.0.0.1:{closed_port()}/none")
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        code = run(_called(words, command, tmp_path))
    finally:
        root.handlers[:], root.level = before
    told = capsys.readouterr()
    assert code in {NO, USAGE}, told
    assert json.loads(told.out)["error"]["message"]
    assert "secret-word" not in told.out + told.err
