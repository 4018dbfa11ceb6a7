"""Sections of a working set: what goes where, in which order, and within the budget."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from cmg.memory.models import Hit
from cmg.memory.workingset.sections import ORDER, entry, mission, of_facts, of_hits, open_questions, packed
from cmg.memory.workingset.store import Fact, Said

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def fact(number: int, kind: str, content: str, **changes) -> Fact:
    usual = {"salience": 0.5, "created_at": NOW, "seq": number, "value": None, "sources": [], "own": False, "tokens": 5}
    return Fact(**{"id": UUID(int=number), "kind": kind, "content": content, **usual, **changes})


def said(number: int, role: str, content: str) -> Said:
    return Said(id=UUID(int=number), role=role, content=content, created_at=NOW)


def hit(number: int, content: str) -> Hit:
    return Hit(
        str(UUID(int=number)),
        1.0,
        5,
        9,
        "message",
        "user",
        None,
        "t",
        implicit=False,
        message_id="m",
        seq=number,
        created_at=0.0,
        content=content,
    )


def texts(entries) -> list[str]:
    return [one.text for one in entries]


def test_found_facts_come_first_then_the_threads_then_what_matters_most() -> None:
    facts = [
        fact(1, "decision", "salient", salience=0.9),
        fact(2, "decision", "own older", own=True),
        fact(3, "decision", "own newer", own=True),
        fact(4, "decision", "found", salience=0.1),
        fact(5, "decision", "dull", salience=0.2),
    ]
    sections = of_facts(facts, {UUID(int=4): 0})
    assert texts(sections["focus_decisions"]) == ["found", "own newer", "own older", "salient", "dull"]


def test_facts_go_to_their_sections_with_their_sources_and_done_tasks_stay_out() -> None:
    source = UUID(int=99)
    facts = [
        fact(1, "constraint", "at most 3", sources=[source]),
        fact(2, "requirement", "must be fast"),
        fact(3, "task", "open one", value="open"),
        fact(4, "task", "done one", value="done"),
        fact(5, "artifact", "a.py"),
        fact(6, "profile", "lives in Berlin"),
    ]
    sections = of_facts(facts, {})
    assert {name: len(entries) for name, entries in sections.items()} == {
        "constraints": 2,
        "focus_decisions": 0,
        "focus_tasks": 1,
        "artifacts": 1,
    }
    constraint = next(one for one in sections["constraints"] if one.text == "at most 3")
    assert constraint.item_ids == [str(UUID(int=1)), str(source)]


def test_the_mission_is_what_the_user_began_with() -> None:
    assert mission([said(1, "assistant", "Hello!"), said(2, "user", "Plan my trip.")]).text == "Plan my trip."
    assert mission([said(1, "assistant", "Hello!")]) is None


def test_questions_are_open_until_the_other_side_speaks() -> None:
    thread = [
        said(1, "user", "How long is it?"),
        said(2, "assistant", "Two days. Do you like trains?"),
        said(3, "user", "Yes. Which seat is best?"),
        said(4, "user", "And what does it cost?"),
    ]
    assert texts(open_questions(thread)) == ["And what does it cost?", "Which seat is best?"]
    assert texts(open_questions(thread[:2])) == ["Do you like trains?"]


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ("数据不能离开中国。我们什么时候发布\uff1f请尽快。", ["我们什么时候发布\uff1f"]),
        ("良いですね。いつ公開しますか\uff1f", ["いつ公開しますか\uff1f"]),
        ("نستخدم كافكا. متى نطلق؟", ["متى نطلق؟"]),
        ("¿Cuándo lanzamos? ¡Pronto!", ["¿Cuándo lanzamos?"]),
        ("Fine. Do we use Node.js 20.1 for it?", ["Do we use Node.js 20.1 for it?"]),
        ("See https://example.org/a?b=1 and tell me.", []),
        ("Really?! Who told you that?", ["Really?!", "Who told you that?"]),
        ("?", []),
    ],
)
def test_open_questions_are_whole_sentences_in_any_script(told: str, asked: list[str]) -> None:
    assert sorted(texts(open_questions([said(1, "user", told)]))) == sorted(asked)


def test_steps_and_commands_are_the_runbook_and_the_rest_is_cited() -> None:
    hits = [hit(1, "1. stop it\n2. start it"), hit(2, "Run\n```bash\nmake run\n```"), hit(3, "It was on Monday.")]
    sections = of_hits(hits)
    assert ([len(sections["runbook"]), len(sections["citations"])], sections["citations"][0].source.thread_id) == (
        [2, 1],
        "t",
    )


def test_sections_take_turns_within_the_budget_and_no_text_comes_twice() -> None:
    many = [entry(f"decision number {number}", [UUID(int=number)], 0.0) for number in range(50)]
    tasks = [entry("one task", [UUID(int=1)], 0.0), entry("One task.", [UUID(int=2)], 0.0)]
    first = entry("the mission", [UUID(int=3)], 0.0)
    budget = first.tokens + tasks[0].tokens + 3 * many[0].tokens
    kept_first, kept, used = packed({"focus_decisions": many, "focus_tasks": tasks}, first, budget)
    assert kept_first == first
    assert (len(kept["focus_decisions"]), len(kept["focus_tasks"])) == (3, 1)
    assert used <= budget
    assert set(kept) == set(ORDER)
    assert packed({"focus_tasks": tasks}, first, 0) == (None, {name: [] for name in ORDER}, 0)


def test_long_texts_are_cut_at_a_word() -> None:
    cut = entry("word " * 1000, [UUID(int=1)], 0.0)
    assert cut.text.endswith("word …")
    assert len(cut.text) <= 602
