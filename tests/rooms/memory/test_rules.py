"""What the patterns find in a turn, and what they leave alone."""

import uuid
from datetime import UTC, date, datetime

import pytest

from cmg.kit.turns import NOTE_MARK
from cmg.memory.extraction.dates import when
from cmg.memory.extraction.models import Finding, Passage
from cmg.memory.extraction.rules import extract
from cmg.memory.items.models import is_quoted

TUESDAY = datetime(2026, 11, 24, 12, tzinfo=UTC)


def found(text: str, role: str = "user", name: str | None = None, kind: str = "message") -> list[Finding]:
    passage = Passage(
        id=uuid.uuid4(),
        seq=1,
        kind=kind,
        role=role,
        name=name,
        agent_id=None,
        app_id=None,
        content=text,
        created_at=TUESDAY,
    )
    findings = extract(passage)
    assert all(is_quoted(one.quote, [text]) for one in findings)
    return findings


def told(text: str, **more) -> list[tuple[str, str | None, str | None]]:
    return [(one.kind, one.relation, one.value) for one in found(text, **more)]


@pytest.mark.parametrize(
    ("text", "relation", "value"),
    [
        ("Hi, my name is Ana Lopez and I need help.", "name", "Ana Lopez"),
        ("I live in New York now", "lives in", "New York"),
        ("I\u2019m living in Oslo, by the way.", "lives in", "Oslo"),
        ("As I hinted before, I just moved to Lisbon.", "lives in", "Lisbon"),
        ("I'm originally from Peru.", "comes from", "Peru"),
        ("I work as a night nurse at a clinic, mostly.", "works as", "a night nurse at a clinic"),
        ("I'm working at Acme Robotics.", "works at", "Acme Robotics"),
        ("I am 34 years old.", "age", "34"),
        ("I'm a software engineer and a climber.", "is a software engineer", "yes"),
        ("I'm allergic to peanuts.", "allergic to peanuts", "yes"),
        ("My dog is called Bruno and he loves the lake.", "dog named bruno", "yes"),
        ("My sister's name is Eva.", "sister named eva", "yes"),
        ("I have two cats.", "has cats", "two"),
        ("My birthday is on 3 May.", "birthday", "on 3 May"),
        ("My e-mail is ana.lopez@example.org, use that.", "e-mail", "ana.lopez@example.org"),
        ("My address is Quay 4, 5003 Bergen.", "address", "Quay 4, 5003 Bergen"),
        ("I was born on March 5, 1988.", "born", "March 5, 1988"),
        ("Hello, I'm Petra from the billing team.", "name", "Petra"),
        ("I moved from Porto to Braga in May.", "lives in", "Braga"),
        ("I'm no longer vegetarian, by the way.", "is vegetarian", "no"),
        ("I'm not a nurse any more.", "is a nurse", "no"),
        ("I'm not allergic to cats any more.", "allergic to cats", "no"),
        ("I am lactose intolerant.", "allergic to lactose", "yes"),
        ("I have a severe peanut allergy.", "allergic to peanut", "yes"),
        ("I don't eat pork.", "eats pork", "no"),
        ("I've stopped drinking coffee.", "eats coffee", "no"),
        ("I was diagnosed with type 2 diabetes in 2019.", "has type 2 diabetes", "yes"),
        ("I have had asthma since I was six.", "has asthma", "yes"),
    ],
)
def test_what_a_person_tells_of_oneself_is_a_profile(text: str, relation: str, value: str) -> None:
    assert ("profile", relation, value) in told(text)


@pytest.mark.parametrize(
    ("text", "relation", "value"),
    [
        ("My favourite colour is dark green.", "favourite colour", "dark green"),
        ("My favorite book is Dune!", "favourite book", "Dune"),
        ("I really love sea kayaking, too.", "feels about sea kayaking", "likes"),
        ("I prefer tea over coffee.", "feels about tea over coffee", "likes"),
        ("Honestly I can't stand cilantro.", "feels about cilantro", "dislikes"),
        ("I don't like horror films.", "feels about horror films", "dislikes"),
        ("I don't like horror films any more at all.", "feels about horror films", "dislikes"),
    ],
)
def test_what_a_person_likes_is_a_preference(text: str, relation: str, value: str) -> None:
    assert ("preference", relation, value) in told(text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("From now on, please answer in German.", "constraint"),
        ("Always use metric units.", "constraint"),
        ("Never mention my employer.", "constraint"),
        ("Whenever I paste code, explain it line by line.", "constraint"),
        ("If I ask for a recipe, always include the calories.", "constraint"),
        ("Our budget is $3,000.", "constraint"),
        ("Budget: 2500 EUR at most.", "constraint"),
        ("The deadline was moved to 19 January.", "constraint"),
        ("Use tabs, not spaces.", "constraint"),
        ("Please keep functions under 40 lines.", "constraint"),
        ("We switched from Poetry to uv.", "decision"),
        ("Let's not use recursion.", "decision"),
        ("It may cost at most 20 dollars.", "constraint"),
        ("The API must not return more than 100 rows.", "requirement"),
        ("Every export has to be encrypted.", "requirement"),
        ("We must never log personal data.", "constraint"),
        ("We can't use AWS because of compliance.", "constraint"),
        ("Only use open source libraries.", "constraint"),
        ("No external dependencies allowed.", "constraint"),
        ("Latency must be below 50 ms.", "requirement"),
        ("It has to run on Python 3.11.", "requirement"),
        ("I chose Rust over Go.", "decision"),
        ("The decision is to postpone the launch.", "decision"),
        ("We decided to use PostgreSQL for the queue.", "decision"),
        ("Okay, let's go with the second option.", "decision"),
        ("Decision: ship on Monday.", "decision"),
        ("TODO: rotate the keys", "task"),
        ("Please remind me to water the plants.", "task"),
        ("I need to book a flight to Oslo.", "task"),
        ("- [ ] write the release notes", "task"),
        ("The build failed with exit code 2.", "failure"),
        ("I'm getting a connection error.", "failure"),
    ],
)
def test_one_sentence_has_its_kind(text: str, kind: str) -> None:
    assert [one.kind for one in found(text)][:1] == [kind]
    assert found(text)[0].content in text


def test_a_number_with_its_thousands_is_one_value() -> None:
    assert told("Our budget for it is 2,000 euros, by the way.") == [("constraint", "budget", "2,000 euros")]


def test_what_was_done_is_the_task_that_was_open() -> None:
    for todo, done in (
        ("I need to book a flight to Oslo by Friday.", "I've booked the flight to Oslo."),
        ("TODO: send the report", "I have already sent the report."),
        ("I have to cancel my subscription.", "I've cancelled my subscription."),
    ):
        ((_, opened, one), (_, closed, other)) = told(todo) + told(done)
        assert (opened, one, other) == (closed, "open", "done")


@pytest.mark.parametrize(
    ("text", "relation", "day"),
    [
        ("The kickoff meeting is on Monday at 10.", "when is kickoff", date(2026, 11, 30)),
        ("Kickoff was moved from Monday to Tuesday.", "when is kickoff", date(2026, 12, 1)),
        (
            "My appointment with Dr Weber got postponed until 5 May.",
            "when is appointment with dr weber",
            date(2027, 5, 5),
        ),
        ("My flight is on 3 March.", "when is flight", date(2027, 3, 3)),
        ("Our flight has been changed to tomorrow.", "when is flight", date(2026, 11, 25)),
        ("The interview is now at 10:30.", "when is interview", None),
    ],
)
def test_a_planned_day_can_be_moved(text: str, relation: str, day: date | None) -> None:
    (event,) = found(text)
    assert (event.kind, event.relation, event.day) == ("event", relation, day)


def test_a_task_that_is_ticked_off_supersedes_the_open_one() -> None:
    assert told("- [ ] write the docs\n- [x] fix the lamp") == [
        ("task", "task write docs", "open"),
        ("task", "task fix lamp", "done"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Do I live in Berlin?",
        "Should we go with option B?",
        "what is my name",
        "If I lived in Rome I would love pizza.",
        "Imagine I live in Paris.",
        "I might like jazz.",
        "She said I love opera.",
        'The poster reads "I hate Mondays" in red.',
        "> I live in Madrid",
        "Translate this text: I live in Madrid and I love opera.",
        "Write a story in which I work as a spy.",
        "```\n# I need to fix the parser\nI live in Berlin\n```",
        "I like it.",
        "I love that idea!",
        "Never give up!",
        "We must never forget this day!",
        "It has to be love.",
        "We must meet again soon.",
        "Don't worry about it.",
        "That must have been hard.",
        "Thanks, that's all.",
        "I used to live in Berlin.",
        "I don't live in Berlin.",
        "I guess I live in Rome then.",
        "I'm not sure we decided to use Kafka.",
        "I doubt I'm allergic to cats.",
        "I heard we agreed to ship.",
        "As a customer, I need to cancel my order in one click.",
        "The label reads 'I hate cookies' in red.",
        "\u2018I love Paris\u2019 is a film.",
        "My favourite food is not pizza.",
        "My e-mail is no longer old@example.org.",
        "The deadline is not Friday.",
        "I moved to Linux.",
        "I moved to Settings and clicked Save.",
        "I moved to Berlin, then back to Porto.",
        "I'm a doctor's assistant.",
        "I stopped working at Acme.",
        "I can't eat right now.",
        "",
        "?" * 2000,
    ],
)
def test_what_is_asked_imagined_quoted_or_said_in_passing_is_no_fact(text: str) -> None:
    assert found(text) == []


def test_an_injected_note_is_never_read() -> None:
    assert found(f"{NOTE_MARK}\nI live in Berlin.") == []


def test_an_assistant_has_no_life_to_tell_of_unless_it_has_a_name() -> None:
    text = "I live in Berlin. We agreed on the blue design. Always use tabs."
    assert told(text, role="assistant") == [("decision", None, None)]
    named = found(text, role="assistant", name="Eva")
    assert [(one.kind, one.subject) for one in named] == [("profile", "eva"), ("decision", None)]


def test_artifacts_are_found_where_they_stand_and_each_once() -> None:
    text = (
        "See src/app/main.py, `load_all()`, PROJ-123 (not UTF-8), issue #42, https://example.org/a?b=1. And PROJ-123."
    )
    contents = [one.content for one in found(text)]
    assert contents == ["src/app/main.py", "load_all()", "PROJ-123", "issue #42", "https://example.org/a?b=1"]


def test_a_traceback_is_its_last_line() -> None:
    text = "It says:\n```\nTraceback (most recent call last):\n  File \"/srv/a.py\", line 3\nKeyError: 'x'\n```"
    assert [(one.kind, one.content) for one in found(text)] == [("failure", "KeyError: 'x'"), ("artifact", "/srv/a.py")]


def test_logs_tell_failures_diffs_artifacts_and_documents_nothing() -> None:
    text = "12:00 INFO I live in Berlin.\n12:01 ERROR disk full on /var/log/app.log"
    assert [one.kind for one in found(text, kind="log")] == ["failure"]
    assert [one.kind for one in found(text, kind="diff")] == ["artifact"]
    assert found(text, kind="document") == []


def test_an_event_carries_its_day() -> None:
    (event,) = found("We went to the dentist yesterday.", name="Ana")
    assert (event.kind, event.day) == ("event", date(2026, 11, 23))
    assert event.content == "We went to the dentist yesterday. (Monday, 23 November 2026)"
    assert found("The shop opens tomorrow.") == []


@pytest.mark.parametrize(
    ("words", "day", "text"),
    [
        ("today", date(2026, 11, 24), "Tuesday, 24 November 2026"),
        ("the day before yesterday", date(2026, 11, 22), "Sunday, 22 November 2026"),
        ("three days ago", date(2026, 11, 21), "Saturday, 21 November 2026"),
        ("in a couple of weeks", date(2026, 12, 8), "week of 8 December 2026"),
        ("a month ago", date(2026, 10, 24), "October 2026"),
        ("10 years ago", date(2016, 11, 24), "2016"),
        ("next Friday", date(2026, 11, 27), "Friday, 27 November 2026"),
        ("last tuesday", date(2026, 11, 17), "Tuesday, 17 November 2026"),
        ("last week", date(2026, 11, 16), "week of 16 November 2026"),
        ("next month", date(2026, 12, 1), "December 2026"),
        ("on 5 July", date(2026, 7, 5), "Sunday, 5 July 2026"),
        ("Jan 3rd", date(2027, 1, 3), "Sunday, 3 January 2027"),
        ("the 2nd of March, 2024", date(2024, 3, 2), "Saturday, 2 March 2024"),
        ("in June 2025", date(2025, 6, 1), "June 2025"),
        ("2026-02-28", date(2026, 2, 28), "Saturday, 28 February 2026"),
    ],
)
def test_words_for_days_are_resolved_by_when_they_were_said(words: str, day: date, text: str) -> None:
    resolved = when(f"I meet her {words}.", TUESDAY.date())
    assert resolved is not None
    assert (resolved.day, resolved.text) == (day, text)


@pytest.mark.parametrize(
    ("sentence", "day"),
    [
        ("I met Dana in May.", date(2026, 5, 1)),
        ("Our wedding was on 10 December.", date(2025, 12, 10)),
        ("We meet in May.", date(2027, 5, 1)),
        ("We booked the ferry for 3 May.", date(2027, 5, 3)),
        ("The launch was moved to 3 May.", date(2027, 5, 3)),
        ("They decided to marry on 3 May.", date(2027, 5, 3)),
    ],
)
def test_what_is_told_as_past_lies_in_the_past_and_what_is_planned_does_not(sentence: str, day: date) -> None:
    assert when(sentence, TUESDAY.date()).day == day


@pytest.mark.parametrize("words", ["2026-02-30", "31 June", "soon", "on the moon", "9999999 days ago"])
def test_what_is_no_day_is_none(words: str) -> None:
    assert when(f"I meet her {words}.", TUESDAY.date()) is None


def test_on_a_weekday_lies_in_the_past_when_the_sentence_does() -> None:
    assert when("I met her on Friday", TUESDAY.date()).day == date(2026, 11, 20)
    assert when("I meet her on Friday", TUESDAY.date()).day == date(2026, 11, 27)


@pytest.mark.parametrize(
    "base", ["a", "a/", "a.", "I ", "must ", "`a", "e.g. ", "[ ] ", "https://a", "I love ", "A-1 ", "é"]
)
def test_no_text_takes_long(base: str) -> None:
    import time

    started = time.process_time()
    found((base * 2000)[:2000])
    assert time.process_time() - started < 0.5
