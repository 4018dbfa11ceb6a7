"""What backstage tells the supervisor of the first things of a start."""

import asyncio
import os

import pytest

from cmg.app.processes.machine import CannotStart
from cmg.app.processes.preparation import FirstSecrets, Preparation, Prepared, tell
from cmg.kit.errors import InvalidRequest


async def test_the_secrets_of_a_first_start_are_told_once_and_not_shown_by_accident() -> None:
    secrets = FirstSecrets(administrator="ada@example.com", password="once", admin_key="cmg_a_b", first_key="cmg_c_d")
    with Preparation() as preparation:
        tell(preparation.writing, Prepared(secrets=secrets, embedder=True))
        report = await preparation.first()
    assert (report.secrets, report.embedder, report.away) == (secrets, True, False)
    assert "once" not in repr(report)
    assert "cmg_" not in repr(report)


@pytest.mark.parametrize(("invalid", "kind"), [(False, CannotStart), (True, InvalidRequest)])
async def test_a_refusal_stops_the_start_with_its_reason(*, invalid: bool, kind: type[Exception]) -> None:
    with Preparation() as preparation:
        tell(preparation.writing, Prepared(refusal="the disk is full", invalid=invalid))
        with pytest.raises(kind, match="the disk is full"):
            await preparation.first()


async def test_a_backstage_that_ends_before_it_told_anything_stops_the_start() -> None:
    with Preparation() as preparation:
        waiting = asyncio.create_task(preparation.first())
        preparation.ended()
        with pytest.raises(CannotStart, match="the log says why"):
            await waiting


async def test_the_report_after_one_without_a_database_comes_from_whichever_backstage_lives() -> None:
    with Preparation() as preparation:
        tell(preparation.writing, Prepared(away=True))
        assert (await preparation.first()).away
        preparation.ended()
        tell(preparation.writing, Prepared(secrets=FirstSecrets(first_key="cmg_c_d")))
        assert (await preparation.later()).secrets.first_key == "cmg_c_d"


async def test_a_report_that_arrives_in_pieces_is_read_whole() -> None:
    with Preparation() as preparation:
        waiting = asyncio.create_task(preparation.first())
        for piece in (b'{"secrets":{"first_', b'key":"cmg_c_d"}}\n'):
            os.write(preparation.writing, piece)
            await asyncio.sleep(0.01)
        assert (await waiting).secrets.first_key == "cmg_c_d"
