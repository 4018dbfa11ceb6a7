"""Long chats between a person and an assistant, with questions and their evidence, written for this project.

`fixtures/long_chats` holds what the persons said, what is worth saying about their topics, and the questions. Answers
are put together here: they repeat what was said, digress, repeat themselves, hold lists and code, as an assistant's do.
The same seed gives the same chat. As a dataset of `cmg eval memory` or of the retrieval harness:

    python tests/support/long_chats.py [--longer] > long-chats.json
"""

import json
import random
import re
import sys
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent.parent / "fixtures" / "long_chats"
NAMES = ("coding", "travel", "health", "business")

_OPENINGS = (
    "Great question!",
    "Good thinking.",
    "That makes sense.",
    "Thanks for the details.",
    "Happy to help with that.",
    "I understand.",
    "Nice progress!",
    "Let's go through it step by step.",
)
_ECHOES = (
    "So {said}. That changes a few things, and I'd take them in this order:",
    "Since {said}, here is how I would go about it:",
    "You mentioned that {said}. With that in mind, these points matter most:",
    "Given that {said}, let's look at the options.",
)
_LEADS = (
    "Here is what I would do:",
    "A few points that matter here:",
    "Here's a structured way to approach it:",
    "Let me break this down:",
)
_HEADINGS = ("Key points", "Recommended steps", "What to watch out for", "In short", "Details", "A possible plan")
_LABELS = (
    "Start here",
    "Why it matters",
    "Tip",
    "Next",
    "Keep in mind",
    "Common mistake",
    "Worth knowing",
    "Optional",
)
_CLOSINGS = (
    "Would you like me to go deeper into any of these points?",
    "Let me know how it goes, and we can adjust the plan together.",
    "If you share more details, I can make this more specific.",
    "Do you want me to turn this into a checklist?",
    "Tell me which of these fits your situation best, and we'll take it from there.",
)
_FOLLOWING = (
    'Can you explain the part about "{point}" a bit more? I didn\'t quite get it.',
    'Thanks, that helps. What do you mean by "{point}"?',
    'OK. And is "{point}" really necessary in my case?',
    'Hmm, the point with "{point}" is new to me. Could you give an example?',
    "Good. What would be the very first step for that, if I only have half an hour?",
    "Sounds good, thanks! Which of these points would you drop if you had to drop one?",
    'I\'m not sure about that. What speaks against "{point}"?',
    "Could you put that shorter? I read it on the phone.",
)
_FILLING = tuple(
    """
There is no single right answer here, and much depends on how the next weeks go, so treat this as a starting \
point that you revise.
It is normal that this feels like a lot at the beginning; most of it becomes routine after the second or \
third time.
If two of these pull in different directions, take the one that you can undo more easily.
Remember that small steps which you keep up are worth more than a big one that you drop after a week.
""".strip().splitlines()
)
_CHATTING = (
    "I've been going back and forth on this all week and would like to hear a second opinion before I go on.",
    "Sorry if that is a silly question, I'm still getting used to all of this and there's nobody here I could ask.",
    "I read two articles about it last night and they said the opposite of each other, so now I'm confused.",
    "Can you walk me through it step by step, with a short explanation of why each step matters?",
    "I only have about an hour in the evenings, so it should be something I can do in small pieces.",
    "My main worry is that I do a lot of work now and find out later that it was the wrong way.",
    "If there are several ways, tell me the pros and cons of each and which one you'd take in my place.",
    "I tried something similar once and gave up halfway, so this time I'd like to do it properly.",
    "Please point out anything that I'm overlooking, I'd rather know it now.",
    "Any examples would help too, I understand things better when I see them.",
)
_YOURS = {
    "i'm": "you're", "i've": "you've", "i'd": "you'd", "i'll": "you'll", "i": "you", "me": "you", "my": "your",
    "mine": "yours", "we": "you", "we're": "you're", "we've": "you've", "we'd": "you'd", "we'll": "you'll",
    "our": "your", "us": "you", "am": "are", "was": "were", "myself": "yourself",
}  # fmt: skip
_CODE = re.compile(r"^%code\n(```.*?\n```\n)", re.MULTILINE | re.DOTALL)


@dataclass
class Source:
    """A file: points and code by topic; sessions of (label, topics, words, what only this answer says); questions."""

    name: str
    points: dict[str, list[str]] = field(default_factory=dict)
    code: dict[str, str] = field(default_factory=dict)
    sessions: list[tuple[str, list[list[Any]]]] = field(default_factory=list)
    questions: list[tuple[str, str, list[str]]] = field(default_factory=list)


def read(name: str) -> Source:
    """A file of `fixtures/long_chats`."""
    text = (SOURCES / f"{name}.txt").read_text()
    blocks = _CODE.findall(text)
    places = iter(range(len(blocks)))
    text = _CODE.sub(lambda _: f"%code {next(places)}\n", text)
    first, *lines = text.splitlines()
    source, part, topic = Source(first.removeprefix("# ")), "", ""
    for line in filter(str.strip, lines):
        word, _, rest = line.partition(" ")
        if word == "%code":
            source.code[topic] = blocks[int(rest)]
        elif word == "%topic":
            part, topic, source.points[rest] = word, rest, []
        elif word == "%session":
            part = word
            source.sessions.append((rest, []))
        elif word == "%questions":
            part = word
        elif part == "%topic":
            source.points[topic].append(line)
        elif part == "%session" and word == ">":
            source.sessions[-1][1][-1][3] = rest
        elif part == "%session":
            label, topics, said = line.split(" | ", 2)
            source.sessions[-1][1].append([label, topics.split(), said, None])
        else:
            kind, question, evidence = line.split(" | ")
            source.questions.append((kind, question, evidence.split()))
    return source


class Chat:
    """One chat out of a source. `longer`: more turns, and more words around what the person says."""

    def __init__(self, source: Source, seed: int, *, longer: bool = False) -> None:
        self._source, self._random, self._longer = source, random.Random(seed), longer
        self._ids: dict[str, str] = {}

    def dataset(self) -> dict[str, Any]:
        """The chat with its questions, as the harness reads them."""
        sessions = [self._session(number, *one) for number, one in enumerate(self._source.sessions, 1)]
        return {
            "id": self._source.name,
            "sessions": sessions,
            "questions": [
                {"question": asked, "answer": "", "evidence": self._evidence(kind, labels), "category": kind}
                for kind, asked, labels in self._source.questions
            ],
        }

    def _session(self, number: int, at: str, said: list[list[Any]]) -> dict[str, Any]:
        turns: list[dict[str, str]] = []

        def add(speaker: str, text: str) -> str:
            turns.append({"id": f"D{number}:{len(turns) + 1}", "speaker": speaker, "text": text})
            return turns[-1]["id"]

        chance = self._random.random
        for label, topics, words, only in said:
            self._ids[label] = add("user", words + self._chatting(1, 3))
            code = self._source.code.get(topics[0])
            self._ids[f"{label}a"] = add(
                "assistant", self._answer(words, topics, only, code if chance() < 0.75 else None)
            )
            while chance() < (0.6 if self._longer else 0.42):
                asked = self._following(topics)
                add("user", asked + self._chatting(0, 2))
                add("assistant", self._answer(asked, topics, None, code if chance() < 0.3 else None, echo=0.3))
        moment = datetime.strptime(at, "%Y-%m-%d %H:%M").strftime("%I:%M %p on %d %B, %Y")  # noqa: DTZ007  such data knows no zones
        return {"id": f"session_{number}", "date_time": moment, "turns": turns}

    def _evidence(self, kind: str, labels: list[str]) -> list[str]:
        """Answers repeat what they are about, so some of them are evidence too."""
        answers = labels[::2] if kind == "summary" else labels[-1:] if kind in {"multi", "time"} else []
        return [self._ids[one] for one in labels] + [self._ids[f"{one}a"] for one in answers]

    def _chatting(self, least: int, most: int) -> str:
        if not self._longer:
            return ""
        return " " + " ".join(self._random.sample(_CHATTING, self._random.randint(least, most)))

    def _following(self, topics: list[str]) -> str:
        points = [point for topic in topics for point in self._source.points.get(topic, ())]
        words = self._random.choice(points).rstrip(".").split()
        point = " ".join(words[: self._random.randint(4, 7)]).rstrip(",;:")
        return self._random.choice(_FOLLOWING).format(point=point)

    def _answer(self, said: str, topics: list[str], only: str | None, code: str | None, *, echo: float = 0.7) -> str:
        drawn = self._random
        opening = drawn.choice(_OPENINGS)
        echoed = drawn.random() < echo
        lead = drawn.choice(_ECHOES).format(said=_turned(_beginning(said))) if echoed else drawn.choice(_LEADS)
        blocks = [f"{opening} {lead}", *self._points(topics, only)]
        if code:
            blocks.insert(drawn.randint(1, len(blocks)), code)
        if drawn.random() < 0.5:
            blocks.append(drawn.choice(_FILLING))
        return "\n\n".join([*blocks, drawn.choice(_CLOSINGS)])

    def _points(self, topics: list[str], only: str | None) -> list[str]:
        drawn, known = self._random, self._source.points
        points = [point for topic in topics for point in known.get(topic, ())]
        drawn.shuffle(points)
        points = points[: drawn.randint(4, 9)]
        others = list(known[drawn.choice([topic for topic in known if topic not in topics])])
        drawn.shuffle(others)
        points += others[: drawn.randint(0, 4)]
        general = list(known.get("general") or known["mind"])
        drawn.shuffle(general)
        points += general[: drawn.randint(0, 3)]
        if only:
            points.insert(drawn.randint(0, len(points)), only)
        style = drawn.random()
        blocks = [self._point(place, point, style) for place, point in enumerate(points, 1)]
        if style >= 0.8:
            return blocks
        half = len(blocks) // 2
        parts = (blocks[:half], blocks[half:])
        return [text for part in parts for text in (f"### {drawn.choice(_HEADINGS)}", "\n".join(part))]

    def _point(self, place: int, point: str, style: float) -> str:
        text = f"**{self._random.choice(_LABELS)}:** {point}" if self._random.random() < 0.4 else point
        if self._random.random() < 0.45:
            text += f" {self._random.choice(_FILLING)}"
        return f"{place}. {text}" if style < 0.5 else f"- {text}" if style < 0.8 else text


def _beginning(said: str) -> str:
    """The first thing that was told, without its end."""
    parts = re.split(r"(?<=[.!?])\s+", said)
    told = [part for part in parts if not part.endswith("?")] or parts
    first = told[0].rstrip(".!?")
    if len(first) < 25 and len(told) > 1:
        first = told[1].rstrip(".!?")
    return first if first.startswith("I") else first[:1].lower() + first[1:]


def _turned(said: str) -> str:
    return re.sub(r"[A-Za-z']+", lambda word: _YOURS.get(word[0].lower(), word[0]), said)


def chats(*, longer: bool = False) -> list[dict[str, Any]]:
    """All chats; the last was held back while the rules were chosen (ADR 0011)."""
    return [Chat(read(name), seed, longer=longer).dataset() for seed, name in enumerate(NAMES)]


if __name__ == "__main__":
    json.dump(chats(longer="--longer" in sys.argv[1:]), sys.stdout, ensure_ascii=False)
