"""Conversations in the forms in which they are published, and what counts as found."""

import json
from pathlib import Path
from typing import Any

import pytest

from cmg.cli.evaluation.conversations import Conversation, Question, Session, Turn, read
from cmg.cli.evaluation.scoring import Found, known, ranked, scored, table
from cmg.kit.errors import InvalidRequest

OWN = {
    "id": "a",
    "sessions": [
        {
            "id": "s1",
            "date_time": "1:56 pm on 8 May, 2023",
            "turns": [
                {"id": "D1:1", "speaker": "Ann", "text": "A grey cat named Smoke"},
                {"id": "D1:2", "speaker": "Bob", "text": "Lovely!", "image_caption": "a kitten"},
            ],
        }
    ],
    "questions": [
        {"question": "Which cat?", "evidence": ["D1:01; D1:2", "D9:9"], "category": 1},
        {"question": "Nothing?", "evidence": ["D9:9"], "category": 1},
        {"question": "A trap?", "evidence": ["D1:1"], "category": 5},
    ],
}
LOCOMO = {
    "sample_id": "b",
    "conversation": {
        "speaker_a": "Ann",
        "session_2_date_time": "9 May, 2023",
        "session_2": [{"speaker": "Ann", "dia_id": "D2:1", "text": "Later", "blip_caption": "a lake"}],
        "session_1_date_time": "12:05 am on 8 May, 2023",
        "session_1": [{"speaker": "Bob", "dia_id": "D1:1", "text": "Earlier"}],
    },
    "qa": [{"question": "When?", "answer": "then", "evidence": ["D2:1"], "category": 2}],
}
CHAT = {
    "question_id": "c",
    "question_type": "single-session-user",
    "question": "What do I drink?",
    "haystack_session_ids": ["x", "x"],
    "haystack_dates": ["2023/05/20 (Sat) 02:21", "2023/05/21 (Sun) 02:21"],
    "haystack_sessions": [
        [{"role": "user", "content": "I drink tea", "has_answer": True}, {"role": "assistant", "content": "Fine."}],
        [{"role": "user", "content": "Hello"}],
    ],
}


def written(folder: Path, *data: Any) -> Path:
    file = folder / "data.json"
    file.write_text(json.dumps(data))
    return file


def test_sessions_with_questions_are_read_and_what_cannot_be_scored_is_counted(tmp_path: Path) -> None:
    (found,) = read(written(tmp_path, OWN))
    assert found.questions == (Question("Which cat?", ("D1:1", "D1:2"), "1"),)
    assert found.skipped == 2
    first, second = found.messages(found.sessions[0])
    assert first == {
        "id": "D1:1",
        "role": "user",
        "name": "Ann",
        "content": "A grey cat named Smoke",
        "created_at": "2023-05-08T13:56:00+00:00",
    }
    assert (second["role"], second["content"]) == ("assistant", "Lovely! [image: a kitten]")


def test_locomo_is_read_as_published_in_the_order_of_its_sessions(tmp_path: Path) -> None:
    (found,) = read(written(tmp_path, LOCOMO))
    assert [(one.id, one.at.isoformat()) for one in found.sessions if one.at] == [
        ("session_1", "2023-05-08T00:05:00+00:00"),
        ("session_2", "2023-05-09T00:00:00+00:00"),
    ]
    assert [turn.role for one in found.sessions for turn in one.turns] == ["user", "assistant"]
    assert found.sessions[1].turns[0].text == "Later [image: a lake]"


def test_long_chats_with_an_assistant_are_read_with_their_marks(tmp_path: Path) -> None:
    (found, trap) = read(written(tmp_path, CHAT, {**CHAT, "question_id": "c_abs"}))
    assert found.questions == (Question("What do I drink?", ("x-0:0",), "single-session-user"),)
    assert [one.id for one in found.sessions] == ["x-0", "x-1"]
    assert {turn.name for one in found.sessions for turn in one.turns} == {None}
    assert (trap.questions, trap.skipped) == ((), 1)


@pytest.mark.parametrize("data", ["no JSON", "{}", "[]", "[1]", '[{"id": "a"}]', '[{"id": "a", "sessions": [1]}]'])
def test_a_file_of_another_form_is_refused_by_name(tmp_path: Path, data: str) -> None:
    file = tmp_path / "data.json"
    file.write_text(data)
    with pytest.raises(InvalidRequest, match=r"data\.json") as caught:
        read(file)
    assert caught.value.param == "dataset"


def test_a_file_without_a_question_that_can_be_scored_is_refused(tmp_path: Path) -> None:
    """It would be measured for half a minute, and the figures would be zeros."""
    file = tmp_path / "data.json"
    file.write_text('[{"conversation": {}, "qa": [{"question": "Who?", "evidence": ["D9:9"]}]}]')
    with pytest.raises(InvalidRequest, match="no question that can be scored"):
        read(file)


def item(content: str, *turns: str, thread: str = "a/s1") -> dict[str, Any]:
    return {"content": content, "sources": [{"message_id": one, "thread_id": thread} for one in turns]}


def test_a_source_counts_when_its_words_are_there_and_others_take_places() -> None:
    turns = (Turn("1", "user", None, "a grey cat named Smoke"), Turn("2", "user", None, "and a dog"))
    made = known(Conversation("a", (Session("s1", None, turns),), (), 0))
    found = ranked([item("", "1", "2"), item("and a dog", "2"), item("grey cat Smoke", "1", "2")], made)
    assert (found.places, found.stray) == ({"2": 2, "1": 3}, 0)
    astray = ranked([item("and a dog", "2", thread="other"), item("x", "9")], made)
    assert (astray.places, astray.stray) == ({}, 2)


def test_recall_is_averaged_over_questions_and_shown_by_kind() -> None:
    turns = known(Conversation("a", (Session("s1", None, (Turn("1", "user", None, "x"),)),), (), 0))
    hit, missed = ranked([item("x", "1")], turns), ranked([], turns)
    found = [
        scored(Question("q", ("1", "2"), "single"), hit, hit, 100),
        scored(Question("q", ("1",), "multi"), missed, hit, 300),
        Found("multi", (None,)),
    ]
    rows = table(found)
    assert [row["questions of"] for row in rows] == ["all", "multi", "single"]
    assert [row["recall@10"] for row in rows] == [0.1667, 0.0, 0.5]
    assert [row["recall@2000tok"] for row in rows] == [0.5, 0.5, 0.5]
    assert rows[0]["tokens"] == 133
