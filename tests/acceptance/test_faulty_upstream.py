"""The tests' own upstream does what its plans say; otherwise every fault test would prove nothing."""

from __future__ import annotations

import time

import pytest

from support.faulty_plan import TEXT, Plan, error_plan
from support.faulty_upstream import FaultyUpstream
from support.late import openai

HELLO = [{"role": "user", "content": "Hello there"}]


@pytest.fixture
def direct(upstream: FaultyUpstream):
    """The SDK straight on the upstream."""
    with openai.OpenAI(base_url=upstream.url, api_key="sk-x", max_retries=0) as sdk:
        yield sdk


def _streamed(direct: openai.OpenAI, model: str) -> str:
    text = ""
    try:
        for chunk in direct.chat.completions.create(model=model, messages=HELLO, stream=True):
            text += chunk.choices[0].delta.content or ""
    except (openai.APIError, ValueError) as error:
        return f"{text} !{type(error).__name__}"
    return text


CUT = "The quick"
PLANS = [
    (Plan(), TEXT),
    (Plan(comments=2), TEXT),
    (Plan(text="Grüße 🦊", byte_by_byte=True), "Grüße 🦊"),
    (Plan(break_after=2), CUT),
    (Plan(break_after=2, break_with="reset"), f"{CUT} !APIConnectionError"),
    (Plan(break_after=2, break_with="close"), f"{CUT} !APIConnectionError"),
    (Plan(break_after=2, break_with="error_event"), f"{CUT} !APIError"),
    (Plan(break_after=2, break_with="bad_json"), f"{CUT} !JSONDecodeError"),
    (Plan(done=False), TEXT),
    (Plan(reset=True), " !APIConnectionError"),
    (error_plan(503), " !InternalServerError"),
]


@pytest.mark.parametrize(("plan", "seen"), PLANS)
def test_a_plan_is_played_as_written(
    direct: openai.OpenAI, upstream: FaultyUpstream, model: str, plan: Plan, seen: str
) -> None:
    upstream.script(model, plan)
    assert _streamed(direct, model) == seen


def test_plans_are_played_in_order_and_the_last_repeats(
    direct: openai.OpenAI, upstream: FaultyUpstream, model: str
) -> None:
    upstream.script(model, error_plan(503), Plan(text="one"), Plan(text="two"))
    assert [_streamed(direct, model) for _ in range(4)] == [" !InternalServerError", "one", "two", "two"]


def test_a_client_that_hangs_up_is_noticed(direct: openai.OpenAI, upstream: FaultyUpstream, model: str) -> None:
    upstream.script(model, Plan(break_after=1, break_with="stall"))
    stream = direct.chat.completions.create(model=model, messages=HELLO, stream=True)
    next(iter(stream))
    assert upstream.calls_of(model)[0].disconnected_at is None
    stream.close()
    deadline = time.monotonic() + 2
    while upstream.calls_of(model)[0].disconnected_at is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
