"""The official `openai` SDK works against the gateway as against OpenAI: plain, streamed, tools, vision, embeddings."""

from __future__ import annotations

import json

import pytest

from support.faulty_plan import TEXT, Plan
from support.faulty_upstream import FaultyUpstream
from support.late import openai

HELLO = [{"role": "user", "content": "Hello there"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def test_plain_chat_gives_the_upstreams_answer_and_usage(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=HELLO)
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 9


async def test_async_chat_gives_the_upstreams_answer(async_client: openai.AsyncOpenAI, model: str) -> None:
    answer = await async_client.chat.completions.create(model=model, messages=HELLO)
    assert answer.choices[0].message.content == TEXT


def test_streamed_chat_gives_every_piece_in_order(client: openai.OpenAI, model: str) -> None:
    chunks = list(client.chat.completions.create(model=model, messages=HELLO, stream=True))
    assert [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content] == Plan().pieces
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_async_stream_gives_every_piece_in_order(async_client: openai.AsyncOpenAI, model: str) -> None:
    stream = await async_client.chat.completions.create(model=model, messages=HELLO, stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
    assert text == TEXT


def test_stream_without_usage_asked_shows_no_chunk_without_choices(client: openai.OpenAI, model: str) -> None:
    chunks = list(client.chat.completions.create(model=model, messages=HELLO, stream=True))
    assert all(chunk.choices for chunk in chunks)


def test_stream_options_give_usage_in_the_last_chunk(client: openai.OpenAI, model: str) -> None:
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model=model, messages=HELLO, stream=True, stream_options=options))
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 9


def test_a_tool_call_comes_back_and_its_result_goes_on(client: openai.OpenAI, model: str) -> None:
    asked = client.chat.completions.create(model=model, messages=HELLO, tools=[WEATHER])
    call = asked.choices[0].message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Paris"})
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    messages = [*HELLO, asked.choices[0].message.model_dump(exclude_none=True), result]
    final = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])
    assert final.choices[0].message.content == TEXT


def test_streamed_tool_calls_add_up(client: openai.OpenAI, model: str) -> None:
    with client.chat.completions.stream(model=model, messages=HELLO, tools=[WEATHER]) as stream:
        final = stream.get_final_completion()
    call = final.choices[0].message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Paris"})
    assert final.choices[0].finish_reason == "tool_calls"


def test_vision_parts_reach_the_upstream_unchanged(client: openai.OpenAI, model: str, upstream: FaultyUpstream) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
    ]
    client.chat.completions.create(model=model, messages=[{"role": "user", "content": parts}])
    assert upstream.calls_of(model)[0].json["messages"][-1]["content"] == parts


def test_json_mode_gives_json(client: openai.OpenAI, model: str) -> None:
    form = {"type": "json_object"}
    answer = client.chat.completions.create(model=model, messages=HELLO, response_format=form)
    assert json.loads(answer.choices[0].message.content) == {"answer": 42}


def test_two_choices_and_logprobs_come_through(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=HELLO, n=2, logprobs=True)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.choices[1].logprobs.content[0].logprob == -0.25


def test_embeddings_come_as_floats_and_as_the_sdks_base64(client: openai.OpenAI) -> None:
    default = client.embeddings.create(model="embed-small", input=["a", "four"])
    floats = client.embeddings.create(model="embed-small", input=["a", "four"], encoding_format="float")
    assert [item.embedding for item in default.data] == [item.embedding for item in floats.data]
    assert default.data[1].embedding[0] == 4.0
    assert default.usage.prompt_tokens == 2


def test_models_are_listed_and_one_can_be_shown(client: openai.OpenAI) -> None:
    names = {entry.id for entry in client.models.list()}
    assert any(name.startswith("sim/") for name in names), names
    assert client.models.retrieve("sim/echo").id == "sim/echo"


def test_an_unlisted_model_that_a_pattern_matches_is_answered(client: openai.OpenAI, model: str) -> None:
    assert model not in {entry.id for entry in client.models.list()}
    assert client.chat.completions.create(model=model, messages=HELLO).choices[0].message.content == TEXT


@pytest.mark.parametrize("stream", [False, True])
def test_simulator_echoes_without_any_upstream(client: openai.OpenAI, *, stream: bool) -> None:
    answer = client.chat.completions.create(model="sim/echo", messages=HELLO, stream=stream)
    text = (
        "".join(c.choices[0].delta.content or "" for c in answer if c.choices)
        if stream
        else answer.choices[0].message.content
    )
    assert "Hello there" in text


def test_errors_are_the_sdks_own_classes(client: openai.OpenAI, service, model: str) -> None:
    with pytest.raises(openai.NotFoundError, match="nobody-serves-this"):
        client.chat.completions.create(model="nobody-serves-this", messages=HELLO)
    stranger = openai.OpenAI(base_url=f"{service.url}/v1", api_key="cmg_nobody_0123456789", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        stranger.chat.completions.create(model=model, messages=HELLO)


def test_a_cut_stream_raises_in_the_sdk(client: openai.OpenAI, model: str, upstream: FaultyUpstream) -> None:
    upstream.script(model, Plan(break_after=3))
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model=model, messages=HELLO, stream=True))
