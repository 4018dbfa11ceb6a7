"""`cmg eval memory`."""

import asyncio
from pathlib import Path

import aiohttp
import click
import msgspec

from cmg.cli.evaluation.conversations import Conversation, read
from cmg.cli.evaluation.questioning import Questioning, Report
from cmg.cli.evaluation.scoring import TOKEN_BUDGET
from cmg.cli.evaluation.temporary import temporary_service
from cmg.cli.printing import json_option, print_json, print_table

_COLUMNS = ("questions of", "questions", "recall@10", "recall@50", f"recall@{TOKEN_BUDGET}tok", "tokens")


@click.group("eval", no_args_is_help=True)
def evaluate() -> None:
    """Measure how well the service does its work, on data of your own."""


@evaluate.command("memory")
@click.option(
    "--dataset",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON: LoCoMo, LongMemEval, or conversations as sessions with labelled questions.",
)
@click.option("--url", help="A running service; default: one is started for this and is gone afterwards.")
@click.option("--key", envvar="CMG_BOOTSTRAP_KEY", help="Its API key, with memory:read and memory:write.")
@click.option("--conversations", "most", type=click.IntRange(1), help="Only the first so many.")
@click.option("--keep", is_flag=True, help="Leave the conversations in the running service.")
@json_option
def memory(*, dataset: Path, url: str | None, key: str | None, most: int | None, keep: bool, as_json: bool) -> int:
    """Store conversations, ask their questions, and print what share of the evidence was found.

    Each conversation is a user of its own, each session a thread. Exit 1 when a call failed.
    """
    conversations = read(dataset, most)
    if url is not None and not key:
        raise click.UsageError("say the service's key: --key, or CMG_BOOTSTRAP_KEY")
    prefix = f"eval-{dataset.stem}"
    if url is not None and key:
        report = asyncio.run(_asked(conversations, (url, key), prefix, keep=keep))
    else:
        with temporary_service() as place:
            report = asyncio.run(_asked(conversations, place, prefix, keep=True))
    if as_json:
        print_json(msgspec.to_builtins(report))
    else:
        _print(report)
    return 1 if report.errors else 0


async def _asked(conversations: list[Conversation], place: tuple[str, str], prefix: str, *, keep: bool) -> Report:
    async with aiohttp.ClientSession() as session:
        asking = Questioning(session, *place, lambda told: click.echo(told, err=True))
        return await asking.run(conversations, prefix, keep=keep)


def _print(report: Report) -> None:
    print_table(report.table, _COLUMNS, "There was no question.")
    click.echo(
        f"recall p50 {report.recall_ms[0]} ms, p95 {report.recall_ms[1]} ms, one after the other; "
        f"{report.turns_per_s} turns/s stored with their vectors"
    )
    click.echo(
        f"skipped questions: {report.skipped}; stray sources: {report.stray}; answers over the budget: "
        f"{report.over_budget}; errors: {report.errors}"
    )
    for error in report.error_examples:
        click.echo(f"  {error}", err=True)
