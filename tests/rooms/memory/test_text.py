"""Words and passages: what they are in several scripts, and that no text is lost."""

# ruff: noqa: RUF001  letters of many scripts are what is tried here

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmg.memory.text.cleaning import bounded_id, clean
from cmg.memory.text.passages import PASSAGE_CHARACTERS, TURN_CHARACTERS, passages
from cmg.memory.text.rows import named
from cmg.memory.text.terms import REPEATS, query_terms, salt, terms, words

SALT = salt("default", "ana")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World 42!", ["hello", "world", "42"]),
        ("snake_case-and.dots", ["snake", "case", "and", "dots"]),
        ("Straße", ["strasse"]),
        ("東京の天気", ["東京", "京の", "の天", "天気", "東", "京", "天", "気"]),
        ("딸은", ["딸은", "딸", "은"]),
        ("猫", ["猫"]),
        ("GPT東京", ["gpt", "東京", "東", "京"]),
        ("isn't Ana’s", ["isn't", "ana's"]),
        ("L'ami de l’été", ["l", "ami", "de", "l", "ete"]),
        ("İstanbul'da", ["istanbul", "da"]),
        ("pass\u00adword re\u200bset\ufeff", ["password", "reset"]),
        ("\u202bשָׁלוֹם\u202c", ["שלום"]),
        ("كِتَابِي", ["كتابي"]),
        ("چای ۱۵", ["چاي", "15"]),
        ("ที่", ["ที", "ี่"]),
        ("မြန်", ["မြ", "ြန", "န်"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("", []),
        ("?!…", []),
    ],
)
def test_words_of_several_scripts(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_one_word_is_another_number_for_another_user() -> None:
    assert terms(["dog"], SALT) != terms(["dog"], salt("default", "ben"))
    assert salt("ab", "c") != salt("a", "bc")


def test_forms_of_a_word_are_one_term_counted_up_to_a_bound() -> None:
    assert terms(["dogs", "dog"], SALT) == terms(["dog"], SALT) * 2
    assert len(terms(["dog"] * 100, SALT)) == REPEATS


def test_function_words_do_not_search_unless_they_are_all_there_is() -> None:
    assert query_terms("what is the dog", SALT, 10) == terms(["dog"], SALT)
    assert len(query_terms("what is it", SALT, 10)) == 3


@given(st.text())
def test_every_text_has_terms_that_fit_the_column(text: str) -> None:
    assert all(-(2**63) <= term < 2**63 for term in terms(words(text), SALT))


@pytest.mark.parametrize("kind", ["message", "document", "diff", "log"])
@given(text=st.text(alphabet="ab .\n。@-+", max_size=6000))
@settings(max_examples=60, deadline=None)
def test_passages_are_bounded_and_keep_every_letter(kind: str, text: str) -> None:
    cut = passages(text, kind)
    assert all(passage.strip() for passage in cut)
    bound = TURN_CHARACTERS if kind == "message" else PASSAGE_CHARACTERS
    assert all(len(passage) <= bound for passage in cut)
    assert "".join("".join(cut).split()) == "".join(text.split())


def test_a_document_is_cut_at_its_paragraphs() -> None:
    text = "\n\n".join(f"Paragraph {number}. " + "word " * 100 for number in range(6))
    assert all(passage.startswith("Paragraph") for passage in passages(text, "document"))


def test_a_diff_is_cut_at_its_hunks() -> None:
    text = "".join(f"diff --git a/f{n} b/f{n}\n@@ -1 +1 @@\n" + "+line of code\n" * 40 for n in range(5))
    assert all(passage.startswith(("diff --git", "@@")) for passage in passages(text, "diff"))


def test_ids_are_bounded_and_stay_apart() -> None:
    assert bounded_id("ana") == "ana"
    long = [bounded_id("u" * 300 + end) for end in "ab"]
    assert max(map(len, long)) <= 256
    assert long[0] != long[1]
    assert bounded_id(long[0]) == long[0]


@given(st.text(alphabet=st.characters(codec=None)))
def test_what_is_cleaned_can_be_stored(text: str) -> None:
    assert "\x00" not in clean(text)
    clean(text).encode()


@pytest.mark.parametrize("joint", ["\n", "\n\n"])
def test_a_long_message_is_cut_evenly_and_a_heading_stands_with_what_follows(joint: str) -> None:
    parts = [
        f"### Part {number}{joint}" + joint.join(f"- Point {point} of it. " + "Word. " * 25 for point in range(3))
        for number in range(12)
    ]
    cut = passages(joint.join(parts), "message")
    assert len(cut) > 4
    assert min(map(len, cut)) > max(map(len, cut)) / 2
    assert not any(passage.splitlines()[-1].startswith("#") for passage in cut)


def test_a_long_message_keeps_its_lines_and_indentation() -> None:
    code = "```python\n" + "\n\n".join(f"def step_{number}():\n    return {number}" for number in range(60)) + "\n```"
    cut = passages(code, "message")
    assert len(cut) > 1
    assert "\n\n".join(cut).replace("\n\n", "\n") == code.replace("\n\n", "\n")


@pytest.mark.parametrize(
    ("name", "kept"), [("Ana", "Ana"), ("user", None), (" Assistant", None), ("AI", None), (None, None)]
)
def test_a_name_that_only_says_which_side_speaks_is_none(name: str | None, kept: str | None) -> None:
    assert named(name) == kept


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("猫叫什么", "我养了一只猫"),
        ("딸", "딸은 여섯 살이고"),
        ("ami", "C'est l'ami de Paul"),
        ("istanbul", "İstanbul'da yaşıyor"),
        ("كتابي", "كِتَابِي المفضل"),
        ("שלום", "שָׁלוֹם לכולם"),
        ("چاي", "من چای سبز دوست دارم"),
        ("15 خرداد", "۱۵ خرداد"),
    ],
)
def test_a_word_is_found_however_it_is_written(asked: str, said: str) -> None:
    assert set(query_terms(asked, SALT, 48)) & set(terms(words(said), SALT))
