"""Log lines: one JSON object each, ECS names, and no secret in any field."""

import json
import logging
import sys
import time

import pytest

from cmg.telemetry.lines.encoding import LINE_BYTES, encoded
from cmg.telemetry.logs import configure, get_logger, redact


@pytest.fixture(autouse=True)
def logging_as_before() -> object:
    """Give the root logger back as it was."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("key cmg_ab12cd_SECRETsecretSECRET gone", "key cmg_ab12cd_*** gone"),
        ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer ***"),
        ("sk-or-v1-abcdef0123456789", "sk-or-v1-***"),
        ("postgresql://cmg:pass@word@db/cmg", "postgresql://cmg:***@db/cmg"),
        ("redis://:hunter2@cache:6379/0", "redis://:***@cache:6379/0"),
    ],
)
def test_a_secret_is_cut_out(text: str, kept: str) -> None:
    assert kept in redact(text)


@pytest.mark.parametrize(
    "text", ["cmg_http_requests_total", "http://127.0.0.1:8000/v1", "the task is done", "cmg_ab12cd"]
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_a_line_has_the_fields_names_of_ecs(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "gateway-1")
    get_logger("cmg.test").info("started", **{"trace.id": "t1", "cmg.model": "sim/echo"})
    (line,) = _lines(capsys)
    assert line["message"] == "started"
    assert line["log.level"] == "info"
    assert line["log.logger"] == "cmg.test"
    assert line["service.name"] == "context-memory-gateway"
    assert line["process.name"] == "gateway-1"
    assert line["trace.id"] == "t1"
    assert "@timestamp" in line
    assert "ecs.version" in line


def test_cutting_never_reaches_into_the_next_field(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    get_logger("cmg.test").info("http://h:80", owner="ann@example.com")
    (line,) = _lines(capsys)
    assert (line["message"], line["cmg.owner"]) == ("http://h:80", "ann@example.com")


def test_an_errors_trace_is_one_field(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    try:
        int("cmg_ab12cd_SECRETsecret")
    except ValueError:
        get_logger("cmg.test").exception("crashed")
    (line,) = _lines(capsys)
    assert "ValueError: invalid literal" in str(line["error.stack_trace"])
    assert "SECRET" not in json.dumps(line)


def test_the_standard_library_logs_into_the_same_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning")
    logging.getLogger("asyncio").warning("slow %s", "callback")
    logging.getLogger("asyncio").info("not shown")
    (line,) = _lines(capsys)
    assert (line["message"], line["log.logger"], line["log.level"]) == ("slow callback", "asyncio", "warning")


def test_a_value_that_json_does_not_know_is_written_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    get_logger("cmg.test").info("odd", value=sys, keys={1: object})
    (line,) = _lines(capsys)
    assert "module" in str(line["cmg.value"])


@pytest.mark.parametrize(
    "piece",
    ["cmg_a_", "cmg_a-", "pass ", "Bearer ", "eyJaaaaaaaaaa.", "://a:", "-----BEGIN A ", 'secret"', "sk-", "x"],
)
def test_a_long_text_of_beginnings_of_secrets_is_looked_through_at_once(piece: str) -> None:
    """200 kB of `cmg_a_` took a minute and a half, in which the process did nothing else."""
    started = time.process_time()
    line = encoded({"message": piece * (200_000 // len(piece)), "more": [piece] * 1000})
    assert time.process_time() - started < 2
    assert len(line) <= LINE_BYTES


def test_no_part_of_a_secret_is_left_where_a_long_text_is_cut() -> None:
    secret = "cmg_ab12cd34_0123456789abcdef0123456789abcdef"
    for size in (LINE_BYTES, 300_000):
        for place in range(-60, 60, 7):
            for edge in (4096, size - 4096, 16_384, size - 16_384):
                text = "x" * (edge + place) + " " + secret + " " + "y" * (size - edge - place)
                line = encoded({"message": text}).decode()
                assert "0123456789abcdef" not in line
                assert "abcdef " not in line
