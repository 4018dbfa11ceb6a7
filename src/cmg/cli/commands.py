"""The table of commands, and the one place where errors become messages and exit codes."""

import importlib
from collections.abc import Sequence

import click
import msgspec

import cmg
from cmg.config import SettingsError
from cmg.kit.errors import CmgError, InvalidRequest
from cmg.storage.errors import StorageError

# Command → module that holds it, and its line in the list: a command's parts are only loaded when it runs.
COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("serve", "Run the service on this machine."),
    "keys": ("identity", "Create, show, change and revoke API keys."),
    "workspaces": ("identity", "Create, change and list workspaces."),
    "accounts": ("people.accounts", "List, create, invite, help and disable people."),
    "usage": ("records", "Sum up calls, tokens and costs."),
    "audit": ("records", "Verify the audit trail."),
    "memory": ("records", "Export or erase what is stored about a person."),
    "incidents": ("incidents.commands", "Declare, show and close incidents."),
    "logs": ("monitoring.logs", "Search and follow what was logged."),
    "eval": ("evaluation.command", "Measure how well the memory finds what is asked for."),
    "traces": ("monitoring.traces", "Show where the time of requests and jobs went."),
    "timeseries": ("archives", "Import samples of metrics."),
    "alerts": ("monitoring.alerts", "Show alerts and act on them, check the set-up, test rule files."),
    "drill": ("monitoring.drill", "Game-days: put a fault on, and see who notices, and when."),
    "catalogue": ("monitoring.catalogue", "Write the files of Prometheus, Alertmanager and Grafana."),
    "backup": ("archives", "Write everything that is stored to one file."),
    "restore": ("archives", "Fill an empty place from a backup."),
    "health": ("doctor", "Tell the level of everything on this machine."),
    "config": ("doctor", "Show every setting and where it came from."),
    "doctor": ("doctor", "Check the settings and everything they point to."),
}
_NAMED = {"eval": "evaluate", "config": "config_"}  # whose name is another thing's
USAGE, NO, GOOD = 2, 1, 0
INTERRUPTED = 130


class _Commands(click.Group):
    """A group that loads a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  the signature is click's
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  as above
        if cmd_name not in COMMANDS:
            return None
        found = getattr(importlib.import_module(f"cmg.cli.{COMMANDS[cmd_name][0]}"), _NAMED.get(cmd_name, cmd_name))
        return found if isinstance(found, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  as above
        with formatter.section("Commands"):
            formatter.write_dl([(name, told) for name, (_, told) in COMMANDS.items()])


@click.command("cmg", cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(cmg.__version__, prog_name="cmg")
def commands() -> None:
    """Context Memory Gateway: an LLM gateway that remembers, and knows what everything costs.

    Settings come from the environment (CMG_…) and from cmg.toml; see docs/configuration.md.
    """


def run(words: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    as_json = "--json" in words
    try:
        code = commands.main(args=list(words), prog_name="cmg", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return USAGE
    except click.ClickException as error:
        if as_json:
            click.echo(_as_json(error.format_message()))
        error.show()
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    except SettingsError as error:
        return _told(str(error), USAGE, as_json=as_json)
    except CmgError as error:
        if as_json:
            click.echo(error.json())
        return _told(error.message, USAGE if isinstance(error, InvalidRequest) else NO)
    except (StorageError, OSError) as error:
        return _told(str(error), NO, as_json=as_json)
    return code if isinstance(code, int) else GOOD


def _as_json(message: str) -> bytes:
    return msgspec.json.encode({"error": {"message": message}})


def _told(message: str, code: int, *, as_json: bool = False) -> int:
    if as_json:
        click.echo(_as_json(message))
    click.echo(f"cmg: {message}", err=True)
    return code
