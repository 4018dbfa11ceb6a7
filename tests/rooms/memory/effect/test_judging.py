"""When an answer has made use of an item: it holds its rare words, and the question did not."""

from uuid import UUID

import pytest

from cmg.memory.effect.judging import used

ITEM = UUID(int=1)
DOG = "My dog is called Bruno and he loves the lake."

CASES = [
    (DOG, "What is my dog called?", "Bruno.", True),
    (DOG, "What is my dog called?", "I do not know what your dog is called.", False),
    (DOG, "Is Bruno a dog?", "Yes, Bruno is a dog.", False),
    ("I am allergic to peanuts.", "What shall I cook?", "A curry without peanuts.", True),
    ("I am allergic to peanuts.", "What shall I cook?", "A curry with rice.", False),
    ("The locker code is 58213.", "What is the code?", "It is 58213.", True),
    ("Ich wohne in Regensburg.", "Wo wohne ich?", "In Regensburg.", True),
    ("Я живу в Калининграде.", "Где я живу?", "Вы живёте в Калининграде.", True),
    ("犬の名前はブルーノです。", "犬の名前は何ですか", "ブルーノです。", True),
    ("I like good food and great friends.", "What now?", "Good friends and great food make a good life.", False),
    (" ".join(f"Verona{number} is a town." for number in range(40)), "Where?", "In Verona7.", False),
    (" ".join(f"Verona{number} is a town." for number in range(40)), "Where?", "In Verona7 or Verona9.", True),
    (DOG, "What is my dog called?", "", False),
    ("", "What?", "Bruno.", False),
]


@pytest.mark.parametrize(("item", "question", "answer", "is_used"), CASES)
def test_use_is_seen_in_rare_words(item: str, question: str, answer: str, *, is_used: bool) -> None:
    assert used({ITEM: item}, question, answer) == ([ITEM] if is_used else [])


def test_forms_of_a_word_are_the_same_word() -> None:
    assert used({ITEM: "She paints watercolours."}, "What does she do?", "Watercolour is her passion.") == [ITEM]
