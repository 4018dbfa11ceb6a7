"""Conversations with questions and their evidence, read from the forms in which such data is published."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from cmg.kit.errors import InvalidRequest

ADVERSARIAL = 5  # LoCoMo's questions that have no answer
_TIMES = ("%I:%M %p on %d %B, %Y", "%d %B, %Y", "%Y/%m/%d (%a) %H:%M", "%Y/%m/%d %H:%M")
_WORD = re.compile(r"\w+")
_LABEL = re.compile(r"\(?([A-Za-z]+):?0*(\d+):0*(\d+)\)?")
_FORMS = "LoCoMo (`conversation`, `qa`), LongMemEval (`haystack_sessions`), or `sessions` with `questions`"


class Turn(msgspec.Struct, frozen=True):
    """One thing said; `name` is None where a person talks to an assistant."""

    id: str
    role: str
    name: str | None
    text: str


class Session(msgspec.Struct, frozen=True):
    """Turns of one sitting, a second apart where the data knows the beginning alone."""

    id: str
    at: datetime | None
    turns: tuple[Turn, ...]


class Question(msgspec.Struct, frozen=True):
    """What is asked, and the ids of the turns that hold the answer."""

    text: str
    evidence: tuple[str, ...]
    kind: str


class Conversation(msgspec.Struct, frozen=True):
    """All that one user has said, and the questions that can be scored; `skipped` ones cannot."""

    id: str
    sessions: tuple[Session, ...]
    questions: tuple[Question, ...]
    skipped: int

    def thread(self, session: Session) -> str:
        """The thread of a session."""
        return f"{self.id}/{session.id}"

    def messages(self, session: Session) -> list[dict[str, Any]]:
        """A session as an ingest takes it."""
        return [
            {
                "id": turn.id,
                "role": turn.role,
                "content": turn.text,
                **({} if turn.name is None else {"name": turn.name}),
                **({} if session.at is None else {"created_at": _at(session.at, place)}),
            }
            for place, turn in enumerate(session.turns)
        ]


def words_of(text: str) -> frozenset[str]:
    """The distinct words of a text."""
    return frozenset(_WORD.findall(text.lower()))


def read(file: Path, most: int | None = None) -> list[Conversation]:
    """The first conversations of a file. Raises `InvalidRequest` that says what is wrong with it, `OSError`."""
    try:
        data = msgspec.json.decode(file.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} is no JSON: {error}", param="dataset") from error
    if not isinstance(data, list) or not data or not all(isinstance(one, dict) for one in data):
        raise InvalidRequest(f"{file} must be a list of conversations: {_FORMS}", param="dataset")
    try:
        found = [_conversation(one, place) for place, one in enumerate(data[:most])]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        told = f"{type(error).__name__} {error}"
        raise InvalidRequest(f"{file} has none of the known forms ({told}): {_FORMS}", param="dataset") from error
    if not any(one.questions for one in found):
        raise InvalidRequest(
            f"{file} has no question that can be scored: each names turns that hold its answer (`evidence`)",
            param="dataset",
        )
    return found


def _conversation(raw: Mapping[str, Any], place: int) -> Conversation:
    if "haystack_sessions" in raw:
        return _of_haystack(raw)
    if "conversation" in raw:
        return _scored(str(raw.get("sample_id", place)), list(_locomo_sessions(raw["conversation"])), raw["qa"])
    sessions = [_session(str(one["id"]), one.get("date_time"), one["turns"]) for one in raw["sessions"]]
    return _scored(str(raw["id"]), sessions, raw["questions"])


def _locomo_sessions(raw: Mapping[str, Any]) -> Iterator[Session]:
    numbers = sorted(int(found[1]) for name in raw if (found := re.fullmatch(r"session_(\d+)", name)))
    for number in numbers:
        name = f"session_{number}"
        yield _session(name, raw.get(f"{name}_date_time"), raw[name])


def _session(name: str, told: str | None, raw: Sequence[Mapping[str, Any]]) -> Session:
    turns = []
    for place, one in enumerate(raw):
        text, caption = one.get("text", one.get("content")), one.get("image_caption", one.get("blip_caption"))
        turns.append(
            Turn(
                id=str(one.get("id", one.get("dia_id", f"{name}:{place}"))),
                role=one.get("role", "user"),
                name=one.get("speaker"),
                text=f"{text} [image: {caption}]" if caption else str(text),
            )
        )
    return Session(name, None if told is None else _moment(told), tuple(turns))


def _scored(name: str, sessions: list[Session], raw: Sequence[Mapping[str, Any]]) -> Conversation:
    """Where both speak by name, the one who begins is the user."""
    first = next((turn.name for one in sessions for turn in one.turns), None)
    if first is not None:
        sessions = [_spoken(one, first) for one in sessions]
    known = {turn.id for one in sessions for turn in one.turns}
    questions = []
    for one in raw:
        evidence = _evidence(one.get("evidence") or (), known)
        if evidence and one.get("category") != ADVERSARIAL:
            questions.append(Question(one["question"], evidence, str(one.get("category", "all"))))
    return Conversation(name, tuple(sessions), tuple(questions), len(raw) - len(questions))


def _spoken(session: Session, first: str) -> Session:
    turns = (msgspec.structs.replace(one, role="user" if one.name == first else "assistant") for one in session.turns)
    return msgspec.structs.replace(session, turns=tuple(turns))


def _evidence(labels: Sequence[str], known: set[str]) -> tuple[str, ...]:
    """The turns that labels name; published ones are written in several ways (`D8:6; D9:17`, `D:11:26`, `D30:05`)."""
    found: dict[str, None] = {}
    for label in labels:
        for token in [label] if label in known else re.split(r"[;,\s]+", label):
            odd = None if token in known else _LABEL.fullmatch(token)
            name = token if odd is None else f"{odd[1]}{odd[2]}:{odd[3]}"
            if name in known:
                found[name] = None
    return tuple(found)


def _of_haystack(raw: Mapping[str, Any]) -> Conversation:
    """LongMemEval: a question with chats between a person and an assistant; evidence is marked in the turns."""
    names = [str(one) for one in raw.get("haystack_session_ids") or range(len(raw["haystack_sessions"]))]
    dates = raw.get("haystack_dates") or [None] * len(names)
    sessions, evidence = [], []
    for place, (name, told, turns) in enumerate(zip(names, dates, raw["haystack_sessions"], strict=True)):
        session = _session(f"{name}-{place}", told, turns)
        sessions.append(session)
        evidence += [one.id for one, given in zip(session.turns, turns, strict=True) if given.get("has_answer")]
    asked = Question(raw["question"], tuple(evidence), str(raw.get("question_type", "all")))
    scored = bool(evidence) and not str(raw["question_id"]).endswith("_abs")
    return Conversation(str(raw["question_id"]), tuple(sessions), (asked,) if scored else (), 0 if scored else 1)


def _moment(text: str) -> datetime:
    for form in _TIMES:
        try:
            return datetime.strptime(text.strip(), form).replace(tzinfo=UTC)
        except ValueError:
            continue
    found = datetime.fromisoformat(text.strip())
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _at(begin: datetime, seconds: int) -> str:
    return (begin + timedelta(seconds=seconds)).isoformat()
