"""What kind of answer a question asks for, and which texts look like one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmg.memory.ranking.answers import holding

PEOPLE = ["Maria Lopez", "John"]


@pytest.mark.parametrize(
    ("question", "answer", "other"),
    [
        ("When did Maria move?", "I moved last week.", "I moved."),
        ("What year did we marry?", "We married in 1999.", "We married."),
        ("How many dogs does John have?", "I have two dogs.", "I have dogs."),
        ("how often do you run", "I run 3 km with him.", "I run with him."),
        ("Where did John go?", "We flew to Lisbon.", "We flew, John and I."),
        ("Which film is it?", 'It is "the birds".', "It is sad."),
        ("Which good book is long?", "Read Middlemarch.", "Read a lot."),
        ("What does Maria want to do?", "I'll paint the fence.", "I painted the fence."),
        ("Which trips has John's sister made?", "We sailed to Malta.", "We sailed, and it was calm."),
        ("What has John repaired?", "I fixed the roof yesterday.", "I fixed the roof."),
        ("Why did Maria move?", "I moved because of the noise.", "I moved, and it was noisy."),
        ("What does John like?", "I'm so into jazz.", "I play jazz."),
        ("I was in Rome. It rained. What are my plans?", "I hope to sail.", "I sailed."),
    ],
)
def test_what_holds_the_kind_of_answer_looks_more_likely(question: str, answer: str, other: str):
    likely = holding(question, PEOPLE)
    assert likely is not None
    assert (likely(answer, 10), likely(other, 10)) == (1.0, 0.0)


@pytest.mark.parametrize(
    "question",
    [
        "What does Maria do?",
        "When I was young I had a dog. What was it?",
        "Ich will wissen, wo Anna wohnt?",
        "I want you to be kind.",
        "Tell me where it hurts. " + "It is a long story of mine. " * 10,
        "",
    ],
)
def test_a_question_for_something_else_is_of_no_kind(question: str):
    assert holding(question, PEOPLE) is None


def test_of_a_long_text_that_holds_everything_little_is_expected():
    likely = holding("When did Maria move?", PEOPLE)
    assert likely is not None
    assert [likely("I moved last week.", tokens) for tokens in (60, 120, 240, 241)] == [1.0, 0.5, 0.25, 0.0]


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_can_be_looked_at(question: str, content: str):
    likely = holding(question, PEOPLE)
    assert likely is None or 0.0 <= likely(content, 0) <= 1.0
