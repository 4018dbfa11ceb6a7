"""`cmg eval memory` against a running service."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from support.api import Api
from support.service import CMG, Service

SAID = ["The cat is called Smoke", "I moved to Lisbon in May", "The piano needs a tuner", "My sister lives in Oslo"]


def _dataset(folder: Path) -> Path:
    turns = [{"role": "user", "content": text} for text in SAID]
    asked = {
        "question_id": "q",
        "question": "What is the cat called?",
        "haystack_sessions": [[{**turns[0], "has_answer": True}, *turns[1:]]],
    }
    file = folder / "tiny.json"
    file.write_text(json.dumps([asked]))
    return file


async def test_it_prints_what_was_found_and_leaves_nothing_behind(api: Api, service: Service, tmp_path: Path) -> None:
    command = [str(CMG), "eval", "memory", "--dataset", str(_dataset(tmp_path)), "--url", service.url, "--json"]
    environ = {**os.environ, "CMG_BOOTSTRAP_KEY": service.key}
    done = subprocess.run(command, capture_output=True, env=environ, timeout=120, check=False)  # noqa: ASYNC221  the service has processes of its own
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    (row,) = told["table"]
    assert (row["questions"], row["recall@10"], row["recall@2000tok"]) == (1, 1.0, 1.0)
    assert (told["errors"], told["stray"], told["over_budget"]) == (0, 0, 0)
    assert (await api.get("/v1/memories?user_id=eval-tiny-q")).json["items"] == []


@pytest.mark.parametrize(
    ("url", "told"), [(None, "status 401"), ("http://127.0.0.1:1", "Cannot connect"), ("nowhere", "InvalidUrl")]
)
async def test_a_service_that_stores_nothing_is_told_and_not_measured(
    service: Service, tmp_path: Path, url: str | None, told: str
) -> None:
    """A table of zeros would look like a measurement, and take as long."""
    wrong = ["--url", url or service.url, "--key", "cmg_no_thatisnokeyatall"]
    command = [str(CMG), "eval", "memory", "--dataset", str(_dataset(tmp_path)), *wrong, "--json"]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)  # noqa: ASYNC221  the service has processes of its own
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert set(answer) == {"error"}
    assert told in answer["error"]["message"]
