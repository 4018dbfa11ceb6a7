"""Clients that nobody here wrote: LangChain's ChatOpenAI, and Node's own fetch.

LangChain is loaded by the tests that use it: that takes half a second, and every process collects every test.
"""

import json
import subprocess
from typing import Any

import pytest

from support.faulty_plan import TEXT
from support.service import Service

SCRIPT = """
const [url, key, model] = process.argv.slice(1);
const answer = await fetch(url + '/v1/chat/completions', {
  method: 'POST',
  headers: { authorization: 'Bearer ' + key, 'content-type': 'application/json' },
  body: JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: 'Hello' }] }),
});
let text = '', done = false, rest = '';
for await (const bytes of answer.body.pipeThrough(new TextDecoderStream())) {
  const lines = (rest + bytes).split('\\n');
  rest = lines.pop();
  for (const line of lines.filter((one) => one.startsWith('data: '))) {
    if (line === 'data: [DONE]') done = true;
    else text += JSON.parse(line.slice(6)).choices[0]?.delta.content ?? '';
  }
}
console.log(JSON.stringify({ status: answer.status, text, done }));
"""


@pytest.fixture
def langchain(service: Service, model: str) -> Any:
    """LangChain's client, a `ChatOpenAI`, on a model of this test alone."""
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model=model, base_url=f"{service.url}/v1", api_key=service.key, max_retries=0)


def weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


def test_langchain_invokes(langchain: Any) -> None:
    from langchain_core.messages import HumanMessage, SystemMessage

    answer = langchain.invoke([SystemMessage("Be short."), HumanMessage("Hello")])
    assert answer.content == TEXT
    assert answer.usage_metadata["output_tokens"] == 9


def test_langchain_streams(langchain: Any) -> None:
    pieces = [chunk.content for chunk in langchain.stream("Hello")]
    assert "".join(pieces) == TEXT
    assert len([piece for piece in pieces if piece]) == 9


async def test_langchain_streams_asynchronously(langchain: Any) -> None:
    assert "".join([chunk.content async for chunk in langchain.astream("Hello")]) == TEXT


def test_langchain_calls_a_tool_and_reads_its_result(langchain: Any) -> None:
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import tool

    reported = tool(weather)
    bound = langchain.bind_tools([reported])
    asked = bound.invoke("How is the weather in Paris?")
    assert asked.tool_calls[0]["args"] == {"city": "Paris"}
    result = ToolMessage(reported.invoke(asked.tool_calls[0]["args"]), tool_call_id=asked.tool_calls[0]["id"])
    assert bound.invoke([HumanMessage("How is the weather?"), asked, result]).content == TEXT


def test_langchain_embeds(service: Service) -> None:
    from langchain_openai import OpenAIEmbeddings

    embed = OpenAIEmbeddings(
        model="embed-lc", base_url=f"{service.url}/v1", api_key=service.key, check_embedding_ctx_length=False
    )
    assert embed.embed_query("four") == [4.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]


@pytest.mark.needs("node")
def test_node_fetch_reads_a_stream(service: Service, model: str) -> None:
    command = ["node", "--input-type=module", "-e", SCRIPT, service.url, service.key, model]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {"status": 200, "text": TEXT, "done": True}
