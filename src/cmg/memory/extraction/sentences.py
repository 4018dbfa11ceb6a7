"""A turn's own sentences: what its speaker asserts, without code, quotations, questions and what is only imagined."""

import re
from typing import NamedTuple

_FENCE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)", re.DOTALL)
_QUOTED_LINE = re.compile(r"^[ \t]*>.*$", re.MULTILINE)
_SPAN = re.compile(
    r'"[^"\n]{2,}"|“[^”\n]{2,}”|«[^»\n]{2,}»|\u2018(?:[^\u2019\n]|\u2019(?=\w)){2,}\u2019(?!\w)'
    r"|(?<!\w)'(?:[^'\n]|(?<=\w)'(?=\w)){2,}'(?!\w)"  # no apostrophe
)
# Signs of Chinese and Japanese end a sentence without a blank; Arabic and Greek ask with a mark of their own.
ASKING = ("?", "\uff1f", "\u061f", "\u037e")
_ENDS = r"\u3002\uff01\uff1f\uff61\u061f\u037e"
SENTENCE = re.compile(rf"[^\n.!?{_ENDS}]+(?:[.!?]+(?!\s|$|[\"'”)])[^\n.!?{_ENDS}]*)*[.!?{_ENDS}]*")
_LIST_MARK = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+")
_QUESTION = re.compile(
    r"^(?:so |and |but |ok(?:ay)?,? |hey,? )?(?:who|what|when|where|why|how|which|whose|do|does|did|is|are|am|was|were|"
    r"can|could|should|shall|would|will|have|has|had|may|might)\b(?! (?:been|to|a|an|the)\b).*"
    r"\b(?:i|you|we|it|he|she|they|the|there|this|that|my|your|our)\b",
    re.IGNORECASE,
)
_IMAGINED = re.compile(
    r"\b(?:what if|if|imagine|suppose|supposing|assume|assuming|pretend|hypothetically|let's say|say,|would|could|"
    r"might|maybe|perhaps|probably|wish|for example|for instance|e\.g\.|such as|role-?play|as if|unless|not sure|"
    r"unsure|i guess|i doubt|i wonder|supposedly|allegedly|apparently)\b"
    r"|^as an? [\w -]{2,40}?,? i (?:want|need|can|must|should|may)\b",  # somebody's story that is to be written
    re.IGNORECASE,
)
_REPORTED = re.compile(
    r"\b(?:said|says|saying|heard|rumou?rs?|tells?|told|thinks?|thought|claims?|claimed|asks?|asked|wrote|writes|replied|quote[ds]?|"
    r"sings?|lyrics?|character|narrator|called it)\b[^,;:]*$|:\s*$",
    re.IGNORECASE,
)
# A text that was handed over to be worked on is not its sender's own word.
_HANDED_OVER = re.compile(
    r"\b(?:translate|rewrite|rephrase|paraphrase|proofread|summari[sz]e|correct|improve|edit|review|classify|extract|"
    r"analy[sz]e|shorten|fix|explain|continue|complete)\b[^\n]*\b(?:this|following|below|text|email|e-mail|letter|essay|paragraph|article|"
    r"story|poem|sentence|message|review|transcript|code)\b|^(?:write|compose|draft|generate|create|give me)\b",
    re.IGNORECASE,
)


class Sentence(NamedTuple):
    """A sentence as it stands in the turn. `imagined`: a condition, a wish or a guess."""

    text: str
    imagined: bool


def sentences(text: str) -> list[Sentence]:
    """The sentences that the speaker asserts, in order."""
    head = text.lstrip().split("\n", 1)
    if _HANDED_OVER.search(head[0][:300]):
        text = head[0].split(":", 1)[0] if ":" in head[0] else ""
    plain = _QUOTED_LINE.sub("", _FENCE.sub("\n", text))
    found = []
    for match in SENTENCE.finditer(plain):
        sentence = _LIST_MARK.sub("", match.group()).strip()
        if len(sentence) < 4 or sentence.endswith(ASKING) or _QUESTION.match(sentence):
            continue
        found.append(Sentence(sentence, _IMAGINED.search(sentence) is not None))
    return found


def is_own(sentence: str, start: int) -> bool:
    """Whether what begins at a place of a sentence is its speaker's own word: not quoted, not reported."""
    if any(span.start() < start < span.end() for span in _SPAN.finditer(sentence)):
        return False
    return _REPORTED.search(sentence, 0, start) is None
