"""What a question is taken to ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmg.memory.models import Owner
from cmg.memory.ranking.question import Dates, Question, asked
from cmg.memory.text.terms import query_terms, salt

OWNER = Owner("default", "ana")
PEOPLE = ["Maria Lopez", "John"]


def ask(text: str, people: list[str] = PEOPLE) -> Question:
    return asked(OWNER, text, None, people)


@pytest.mark.parametrize(
    ("text", "named", "bare"),
    [
        ("Where did Maria's sister move to?", "Maria Lopez", "Where did someone's sister move to?"),
        ("where did JOHN move", "John", "where did someone move"),
        ("What did Maria Lopez buy?", "Maria Lopez", "What did someone buy?"),
        ("Wohin zog John um?", "John", "Wohin zog um?"),
        ("What do Maria and John share?", None, "What do someone and someone share?"),
        ("Where did Johnson move?", None, "Where did Johnson move?"),
        ("John", "John", "John"),
        ("Who moved?", None, "Who moved?"),
    ],
)
def test_names_of_people_who_take_part_are_told_apart(text: str, named: str | None, bare: str):
    question = ask(text)
    assert (question.named, question.bare) == (named, bare)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("What did John tell Maria?", "John"),
        ("What does Maria think of John's plan?", "Maria Lopez"),
        ("What did John like about Maria Lopez's cooking?", "John"),
        ("According to Maria, what makes John a good cook?", "Maria Lopez"),
        ("What advice has John received from Maria?", "Maria Lopez"),
        ("What advice John gave Maria?", "John"),
        ("Did John and Maria move?", None),
        ("What have both Maria Lopez & John seen?", None),
        ("What do John's and Maria's dogs eat?", None),
        ("What was bought for Maria's party by John?", None),
        ("What do John and Maria think of Eva?", None),
        ("What did Eva say to John and Maria?", "Eva"),
        ("John, Maria: where are you?", None),
    ],
)
def test_of_several_people_the_one_who_does_something_is_asked_about(text: str, named: str | None):
    assert ask(text, [*PEOPLE, "Eva"]).named == named


def test_a_name_is_searched_for_but_known_as_one():
    question = ask("Which books did John read?")
    assert question.names == frozenset(query_terms("john", salt(*OWNER), 9))
    assert question.names < set(question.terms)


def test_a_word_that_two_names_share_names_nobody():
    assert ask("What did Lopez say?", ["Maria Lopez", "Juan Lopez"]).named is None
    assert ask("What did Juan say?", ["Maria Lopez", "Juan Lopez"]).named == "Juan Lopez"


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("What happened on 3 May 2023?", Dates((5,), (2023,), (3,))),
        ("What may happen?", Dates()),
        ("the march of 1999", Dates((), (1999,))),
        ("in March 2024, on a Friday", Dates((3,), (2024,), (), (4,))),
        ("December 21st", Dates((12,), (), (21,))),
        ("I have 3 dogs", Dates()),
        ("32 July", Dates((7,))),
    ],
)
def test_dates_are_read_where_they_are_dates(text: str, dates: Dates):
    assert ask(text).dates == dates


@pytest.mark.parametrize(
    ("text", "speaker"),
    [
        ("What did I say about my budget?", "user"),
        ("Which book did you recommend to me?", "assistant"),
        ("What was your advice about the roof?", "assistant"),
        ("Can you remind me what you suggested for dinner?", "assistant"),
        ("What had you told me before I moved?", "assistant"),
        ("Can you list the order in which I brought these up?", "user"),
        ("Could you please give me a summary of my trip?", "user"),
        ("Do you remember what I said about cheese?", "user"),
        ("What did I tell you about my dog?", "user"),
        ("How did you define latency?", "assistant"),
        ("Which pattern was in the example that you wrote?", "assistant"),
        ("What was your take on it?", "assistant"),
        ("In your response about fonts, which came first?", "assistant"),
        ("What do you think of what I said?", "user"),
        ("Did I ever tell you where my brother lives?", "user"),
        ("If you need a table, where is one?", None),
        ("Should somebody like you pay for that?", None),
        ("Would you describe the garden?", None),
        ("How are you?", None),
        ("What is the plan?", None),
        ("What did John tell me?", None),  # whoever is named counts
    ],
)
def test_the_question_tells_whose_words_it_is_after(text: str, speaker: str | None):
    assert ask(text).speaker == speaker


def test_words_of_the_purpose_count_half_and_once():
    question = asked(OWNER, "the green boat", "write about the boat trip", [])
    weights = dict(zip(question.terms, question.weights, strict=True))
    user_salt = salt(*OWNER)
    assert [weights[query_terms(word, user_salt, 1)[0]] for word in ("green", "boat", "trip")] == [1.0, 1.0, 0.5]


@given(st.text(max_size=200), st.lists(st.text(max_size=20), max_size=4))
def test_any_text_is_a_question(text: str, people: list[str]):
    question = ask(text, people)
    assert len(question.terms) == len(question.weights) == len(set(question.terms))
    assert question.names <= set(question.terms)
    assert question.bare.strip() or not text.strip()


@pytest.mark.parametrize(
    "text",
    [
        "Can you give me a summary of my trip?",
        "In which order did we visit the towns?",
        "List in order what I changed.",
        "How has the budget developed over the months?",
        "How has my budget developed since May?",
        "Order the things that went wrong with the roof.",
    ],
)
def test_a_question_for_much_of_what_was_said_is_broad(text: str):
    assert ask(text, []).broad


@pytest.mark.parametrize(
    "text",
    [
        "What did I order at the restaurant?",
        "Who is my doctor?",
        "Sum up the recap. " + "What I did then was this. " * 40 + "Who is my doctor?",
        "How do I change a tyre?",
        "What did I order the last time?",
    ],
)
def test_a_question_for_one_thing_is_not_broad(text: str):
    assert not ask(text, []).broad
