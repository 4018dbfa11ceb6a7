"""Vectors of questions: cached for a while, asked for once at a time, and never waited for too long."""

import asyncio

import pytest

from cmg.memory.embedding import query_embedder
from cmg.memory.embedding.embedder import Model, bounded, readable
from cmg.memory.embedding.query_embedder import QueryEmbedder
from cmg.memory.embedding.socket_client import SocketEmbedder

STATIC, LOCAL = Model("wordllama-256", 256), Model("minilm-l6-v2", 384)


class Numbers:
    """Numbers without a database."""

    def __init__(self, *known: Model) -> None:
        self.known = {model: place for place, model in enumerate(known, 1)}

    @property
    def earlier(self) -> list[Model]:
        return list(self.known)

    async def number(self, model: Model) -> int | None:
        return self.known.get(model)


@pytest.fixture
def questions(client, socket_path, clock, instruments):
    def build(*known: Model) -> QueryEmbedder:
        return QueryEmbedder(
            client, lambda name: SocketEmbedder(socket_path, name), Numbers(*known), clock, instruments
        )

    return build


def outcomes(instruments) -> dict[str, float]:
    names = ("cached", "embedded", "late", "away", "refused", "unreadable")
    counted = {
        name: instruments.registry.get_sample_value("cmg_memory_query_vectors_total", {"outcome": name})
        for name in names
    }
    return {name: count for name, count in counted.items() if count}


async def test_a_question_asked_again_comes_from_the_cache_until_it_is_too_old(serve, questions, clock, instruments):
    await serve("static")
    asked = questions(STATIC)
    first = await asked.vector("who is Rex?", 5)
    assert first is not None
    assert first.model_no == 1
    assert await asked.vector("who is Rex?", 5) == first
    assert outcomes(instruments) == {"embedded": 1, "cached": 1}
    clock.advance(query_embedder.CACHED_S)
    assert await asked.vector("who is Rex?", 5) == first
    assert outcomes(instruments) == {"embedded": 2, "cached": 1}


async def test_the_same_question_of_many_is_run_once(serve, questions, instruments):
    await serve("static")
    asked = questions(STATIC)
    found = await asyncio.gather(*(asked.vector("who is Rex?", 5) for _ in range(50)))
    assert len(set(found)) == 1
    run = instruments.registry.get_sample_value("cmg_memory_embedder_texts_total", {"kind": "query", "outcome": "done"})
    assert run == 1


async def test_a_vector_that_was_begun_is_made_once_and_counted_when_it_is_asked_for(serve, questions, instruments):
    await serve("static")
    asked = questions(STATIC)
    asked.begin("who is Rex?")
    asked.begin("who is Rex?")
    assert await asked.vector("who is Rex?", 5) is not None
    asked.begin("who is Rex?")
    assert outcomes(instruments) == {"embedded": 1}
    done = instruments.registry.get_sample_value(
        "cmg_memory_embedder_texts_total", {"kind": "query", "outcome": "done"}
    )
    assert done == 1


async def test_nothing_is_begun_that_somebody_is_paid_for(serve, questions, client, instruments, monkeypatch):
    await serve("static")
    monkeypatch.setattr(client, "own", False, raising=False)
    asked = questions(STATIC)
    asked.begin("who is Rex?")
    await asked.vector("who is Ana?", 5)
    done = instruments.registry.get_sample_value(
        "cmg_memory_embedder_texts_total", {"kind": "query", "outcome": "done"}
    )
    assert done == 1


@pytest.mark.parametrize("text", ["我对什么过敏\uff1f", "กำหนดส่งงาน", "Когда придёт Миша? OK", "ما هو موعدي"])
async def test_a_model_of_this_machine_is_not_asked_for_what_it_cannot_read(serve, questions, instruments, text):
    await serve("static")
    asked = questions(STATIC)
    asked.begin(text)
    assert await asked.vector(text, 5) is None
    assert await asked.vectors(text, 5) == []
    assert outcomes(instruments) == {"unreadable": 2}


async def test_another_machines_model_reads_whatever_it_reads(serve, questions, client, monkeypatch):
    await serve("static")
    monkeypatch.setattr(client, "own", False, raising=False)
    assert await questions(STATIC).vector("我对什么过敏\uff1f", 5) is not None


@pytest.mark.parametrize(
    "text",
    [
        "¿Cuándo es mi cita? 明天",
        "\U0001d4d5\U0001d4ea\U0001d4f7\U0001d4ec\U0001d502 letters",
        "\ufb01le in \uff46\uff55\uff4c\uff4c width",
        "12:30 🚀",
        "ngày mai đi đâu?",
    ],
)
def test_what_is_mostly_latin_or_has_no_letters_can_be_read(text):
    assert readable(text)


def test_letters_for_show_are_embedded_as_usual_ones():
    assert (
        bounded("\U0001d4d5\U0001d4ea\U0001d4f7\U0001d4ec\U0001d502 \ufb01le, \uff46\uff55\uff4c\uff4c")
        == "Fancy file, full"
    )


async def test_a_late_vector_is_not_waited_for_and_serves_the_next_question(serve, questions, instruments):
    await serve()
    asked = questions(LOCAL)
    assert await asked.vector("who is Rex?", 0.0) is None
    await asyncio.sleep(0.5)
    assert await asked.vector("who is Rex?", 0.0) is not None
    assert outcomes(instruments) == {"late": 1, "cached": 1}


async def test_an_embedder_that_is_away_is_left_alone_for_a_moment(questions, serve, clock, instruments):
    asked = questions(STATIC)
    assert await asked.vector("anybody?", 5) is None
    await serve("static")
    assert await asked.vector("anybody?", 5) is None
    await asyncio.sleep(1.1)  # the client's own pause is on the loop's clock
    clock.advance(query_embedder.PAUSE_S)
    assert await asked.vector("anybody?", 5) is not None
    assert outcomes(instruments) == {"away": 2, "embedded": 1}


async def test_more_questions_than_the_bound_go_without(serve, questions, instruments, monkeypatch):
    monkeypatch.setattr(query_embedder, "RUNNING", 3)
    await serve()
    asked = questions(LOCAL)
    found = await asyncio.gather(*(asked.vector(f"question {n}", 5) for n in range(10)))
    assert sum(one is not None for one in found) == 3
    assert outcomes(instruments) == {"embedded": 3, "refused": 7}


async def test_the_cache_is_bounded(serve, questions, monkeypatch):
    monkeypatch.setattr(query_embedder, "CACHED", 5)
    await serve("static")
    asked = questions(STATIC)
    for number in range(20):
        await asked.vector(f"question {number}", 5)
    assert len(asked._cache) == 5


async def test_while_users_are_searched_by_an_earlier_model_there_are_two_vectors(serve, questions):
    await serve()
    asked = questions(STATIC, LOCAL)
    assert [one.model_no for one in await asked.vectors("who is Rex?", 5)] == [2, 1]
    assert (await asked.vector("who is Rex?", 5)).model_no == 2


async def test_a_model_that_is_not_registered_yet_gives_no_vector(serve, questions):
    await serve("static")
    assert await questions().vector("who is Rex?", 5) is None


async def test_odd_characters_in_a_question_are_no_error(serve, questions):
    await serve("static")
    assert await questions(STATIC).vector("lone \ud83d surrogate \x00 and nul", 5) is not None
