"""Draws facts from a passage by patterns: no model, some 0.2 ms a turn. Precision before recall."""

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date
from itertools import islice

from cmg.kit.turns import NOTE_MARK
from cmg.memory.extraction.dates import when
from cmg.memory.extraction.models import Finding, Passage
from cmg.memory.extraction.patterns import Pattern, patterns
from cmg.memory.extraction.sentences import Sentence, is_own, sentences
from cmg.memory.items.models import folded

_FINDINGS = 40  # of one passage
_SENTENCE_CHARACTERS = 500  # a longer one is no sentence
_LINE_CHARACTERS = 300
_OURS = re.compile(r"\b(?:I|I'm|I've|I'll|we|we're|we've|we'll|my|our)\b", re.IGNORECASE)
_DENIED = re.compile(r"n't\b|n\u2019t\b|\b(?:not|never|still|feels? like)\b", re.IGNORECASE)
_FILLERS = re.compile(
    r"(?:\s+(?:too|as well|so much|a lot|very much|though|also|lately|(?:any ?)?more|any longer|at all|these days|"
    r"again))+$",
    re.IGNORECASE,
)
# What was to be done and what was done are the same task, however its verb and its articles stand.
_DONE = {
    "bought": "buy", "cancelled": "cancel", "canceled": "cancel", "completed": "complete", "deployed": "deploy",
    "done": "do", "filed": "file", "fixed": "fix", "paid": "pay", "scheduled": "schedule", "sent": "send",
    "submitted": "submit", "written": "write", "updated": "update", "removed": "remove",
}  # fmt: skip
_ED = re.compile(r"ed$")
_ARTICLES = re.compile(r"\b(?:an?|the|my|our|your|some) ")
_DUE = re.compile(
    r" (?:(?:by|before|until|on|this|next) (?:the end of|(?:mon|tues|wednes|thurs|fri|satur|sun)day|tomorrow|tonight|"
    r"week|month|year|\d|the \d)|today|tomorrow|tonight|asap|as soon as).*$"
)
_ARTIFACT = re.compile(
    r"""
    https?://[^\s<>"'`\])}]+[^\s<>"'`\])}.,;:!?]                                                    # an address
    | (?<![\w/.:@-])(?:~?/|\.{1,2}/|[\w.-]+/|[A-Z]:\\)(?:[\w.@+-]+[/\\])*[\w@+-]+\.[A-Za-z]\w{0,7}\b(?![/\w@])  # a path
    | (?<![\w/.@-])[\w-]+\.(?:py|js|ts|tsx|jsx|go|rs|java|rb|cpp|cs|sql|sh|toml|ya?ml|json|md|txt|csv|pdf|docx?|xlsx?|
        log|html|css|ipynb)\b(?![/\w@])                                                             # a file
    | \b(?!(?:UTF|ISO|SHA|MD|RFC|COVID|GPT|AES|RSA|TLS|HTTP|IEEE|PEP|ES|CVSS|WW)-)
        [A-Z][A-Z0-9]{1,9}-\d{1,6}\b                                                                # a ticket
    | \b(?:issue|PR|ticket|pull\srequest|bug|merge\srequest)\s\#\d{1,7}\b
    | (?<=`)[A-Za-z_][\w.]*(?:_|\.|::|\()[\w.():]*(?=`)                                            # a name in code
    """,
    re.VERBOSE,
)
_RAISED = re.compile(r"^[ \t]*(?:E[ \t]+)?(?:[\w]+\.)*\w*(?:Error|Exception|Panic|Fault)\b:? ?\S.*$", re.MULTILINE)
_LOGGED = re.compile(
    r"^.*\b(?:ERROR|FATAL|CRITICAL|SEVERE|panic:|fatal:|error(?:\[\w+\])?:|exit (?:code|status) [1-9]\d*).*$",
    re.MULTILINE,
)


def extract(passage: Passage) -> list[Finding]:
    """The facts of one passage, each once. Nothing from an injected note."""
    if NOTE_MARK in passage.content:
        return []
    found: dict[tuple[str, str], Finding] = {}
    for one in islice(_findings(passage), _FINDINGS):
        found.setdefault((one.kind, folded(one.content)), one)
    return list(found.values())


def speaker(passage: Passage) -> str:
    """Whom a passage's facts are about: its speaker's name, else the role."""
    return folded(passage.name) if passage.name else passage.role


def _findings(passage: Passage) -> Iterator[Finding]:
    if passage.kind == "message":
        for sentence in sentences(passage.content):
            if len(sentence.text) <= _SENTENCE_CHARACTERS:
                yield from _of_sentence(passage, sentence)
    if passage.kind in {"message", "log"}:
        yield from _failures(passage.content)
    if passage.kind in {"message", "diff"}:
        yield from _artifacts(passage.content)


def _of_sentence(passage: Passage, sentence: Sentence) -> Iterator[Finding]:
    found = False
    for pattern, expression in patterns():
        if (sentence.imagined and not pattern.conditional) or not _may_say(pattern, passage):
            continue
        for match in expression.finditer(sentence.text):
            if is_own(sentence.text, match.start()):
                found = True
                yield _finding(pattern, match, sentence.text, passage)
        if found and pattern.whole:
            return
    if not found and not sentence.imagined and _may_tell(passage):
        yield from _event(passage, sentence.text)


def _may_say(pattern: Pattern, passage: Passage) -> bool:
    """Whose words a pattern believes: an assistant without a name has no life to tell of."""
    return passage.role == "user" or pattern.by == "anybody" or (pattern.by == "person" and passage.name is not None)


def _may_tell(passage: Passage) -> bool:
    return passage.role == "user" or passage.name is not None


def _finding(pattern: Pattern, match: re.Match[str], sentence: str, passage: Passage) -> Finding:
    groups = {name: _trimmed(text) for name, text in match.groupdict().items() if text}
    quote = sentence if pattern.whole or pattern.kind == "task" else match.group().strip()
    relation = None if pattern.relation is None else _relation(pattern, groups)
    day = when(f"on {groups['value']}", _day_of(passage)) if pattern.kind == "event" else None
    return Finding(
        kind=pattern.kind,
        content=quote if day is None else f"{quote} ({day.text})",
        quote=quote,
        day=None if day is None else day.day,
        subject=None if relation is None else speaker(passage),
        relation=relation,
        value=None if relation is None else pattern.value or groups.get("value"),
        importance=pattern.importance,
    )


def _relation(pattern: Pattern, groups: dict[str, str]) -> str:
    assert pattern.relation is not None, "looked at before"
    if "done" in groups:
        verb = groups["done"].lower()
        groups = {**groups, "done": _DONE.get(verb) or _ED.sub("", verb)}
    relation = folded(pattern.relation.format_map(defaultdict(str, groups)))
    return _DUE.sub("", _ARTICLES.sub("", relation)) if pattern.kind == "task" else relation


def _event(passage: Passage, sentence: str) -> Iterator[Finding]:
    """A sentence about oneself that names a day; the day is added, so that it can be found by its date."""
    if not _OURS.search(sentence) or _DENIED.search(sentence) or not is_own(sentence, len(sentence) - 1):
        return
    named = when(sentence, _day_of(passage))
    if named is not None:
        content = f"{sentence} ({named.text})"
        yield Finding(kind="event", content=content, quote=sentence, day=named.day)


def _day_of(passage: Passage) -> date:
    return passage.created_at.astimezone(UTC).date()


def _failures(text: str) -> Iterator[Finding]:
    for expression in (_RAISED, _LOGGED):
        for match in islice(expression.finditer(text), 5):
            line = match.group().strip()[:_LINE_CHARACTERS].strip()
            yield Finding(kind="failure", content=line, quote=line, importance=0.4)


def _artifacts(text: str) -> Iterator[Finding]:
    for match in islice(_ARTIFACT.finditer(text), 10):
        name = match.group()[:_LINE_CHARACTERS]
        yield Finding(kind="artifact", content=name, quote=name, importance=0.4)


def _trimmed(text: str) -> str:
    return _FILLERS.sub("", text.strip().rstrip(".!,;:").strip())
