"""The snippets of the README and the docs run as they stand.

A fenced block is run when its info string says so: `bash runnable`, `python runnable`, `javascript runnable`.
`$CMG_URL`, `$CMG_KEY` and `$CMG_ADMIN_KEY` (in code: the environment variables) are the running service, a key for an
application, and one that administers the same workspace.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.service import ROOT, Service

FENCE = re.compile(r"^```(bash|sh|python|javascript|js)[^\n]*\brunnable\b[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMANDS = {
    "bash": ["bash", "-euo", "pipefail", "-c"],
    "sh": ["bash", "-euo", "pipefail", "-c"],
    "python": [sys.executable, "-c"],
    "javascript": ["node", "--input-type=module", "-e"],
    "js": ["node", "--input-type=module", "-e"],
}


def _snippets() -> list[tuple[str, str, str]]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [
        (f"{page.relative_to(ROOT)}:{page.read_text()[: found.start()].count(chr(10)) + 1}", found[1], found[2])
        for page in pages
        if page.exists()
        for found in FENCE.finditer(page.read_text())
    ]


SNIPPETS = _snippets()


@pytest.fixture(scope="module")
def keys(service: Service) -> dict[str, str]:
    """The keys of somebody who tries everything that the docs show, as variables."""
    service.call("POST", "/admin/v1/workspaces", {"id": "reader", "name": "Reader"})
    application = ["chat", "embeddings", "models", "memory:read", "memory:write"]
    return {
        "CMG_KEY": service.new_key(workspace="reader", scopes=application),
        "CMG_ADMIN_KEY": service.new_key(workspace="reader", scopes=["admin"]),
    }


@pytest.mark.parametrize(("where", "language", "code"), SNIPPETS, ids=[where for where, *_ in SNIPPETS])
def test_a_snippet_runs(
    service: Service, keys: dict[str, str], tmp_path: Path, where: str, language: str, code: str
) -> None:
    command = COMMANDS[language]
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs the program {command[0]}")
    environ = {**os.environ, "CMG_URL": service.url, **keys, "OPENAI_API_KEY": keys["CMG_KEY"]}
    environ["OPENAI_BASE_URL"] = f"{service.url}/v1"
    run = subprocess.run(
        [*command, code], env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, f"{where}\n{run.stdout}\n{run.stderr}"
    assert run.stdout.strip(), f"{where} printed nothing"
    assert '"error":{' not in run.stdout, run.stdout


def test_chat_stream_and_recall_are_shown_in_three_languages() -> None:
    shown = {(language, topic) for _, language, code in SNIPPETS for topic in _topics(code)}
    languages = {"bash", "python", "javascript"}
    missing = [(language, topic) for language in languages for topic in ("chat", "stream", "recall")]
    assert not [pair for pair in missing if pair not in shown], sorted(shown)


def _topics(code: str) -> set[str]:
    topics = {"recall"} if "/v1/recall" in code else set()
    if "chat" in code and "completions" in code:
        topics.add("stream" if re.search(r"stream\W{1,4}(true|True)", code) else "chat")
    return topics
