"""Takes secrets and personal numbers out of texts before they are stored; `[redacted:email]` stands in their place.

By documented patterns, with check digits where there are any (cards: Luhn; IBAN: ISO 7064 mod 97), so that other long
numbers stay. What no pattern knows stays too: this lowers the damage of a leak, it is no proof that nothing is stored.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from cmg.config import RedactedKind

# Forms that providers document: OpenAI and its like, Stripe, GitHub, GitLab, Slack, AWS, Google, Hugging Face, npm,
# PyPI, our own keys, JSON web tokens, bearer tokens, passwords in addresses; then whatever is named a password.
_SECRETS = re.compile(
    r"""
    -----BEGIN\ (?:[A-Z0-9]+\ )*PRIVATE\ KEY-----.*?(?:-----END\ (?:[A-Z0-9]+\ )*PRIVATE\ KEY-----|\Z)
    | \b(?:sk|pk|rk)[-_](?:[a-z0-9]{2,12}[-_]){0,3}[A-Za-z0-9_-]{20,}
    | \bgh[pousr]_[A-Za-z0-9]{30,} | \bgithub_pat_\w{30,} | \bglpat-[\w-]{20,}
    | \bxox[abeoprs]-[\w-]{10,} | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b | \bAIza[\w-]{35}
    | \bhf_[A-Za-z0-9]{30,} | \bnpm_[A-Za-z0-9]{30,} | \bpypi-[\w-]{50,} | \bcmg_[a-z0-9]+_[A-Za-z0-9]{20,}
    | \beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}
    | (?<=bearer\ )[\w.~+/=-]{20,}
    | (?<=://)[^\s:/@]{1,100}:[^\s/@]{1,200}(?=@)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_NAMED_SECRET = re.compile(
    r"\b((?:pass(?:word|wd|phrase|code)?|pwd|secret(?:[_ -]?key)?|api[_ -]?key|access[_ -]?key|auth[_ -]?token|token)"
    r"[\"']?\s*(?::|=|\bis\b)\s*[\"']?)([^\s\"',;]{4,200})",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"\b[\w.+%-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b")
_CARD = re.compile(
    r"(?<![\w.-])(?<![A-Z]\d\d )(?:\d{13,19}|\d{4}(?:[ -]\d{4}){3}(?:[ -]\d{1,3})?|\d{4}[ -]\d{6}[ -]\d{5})(?![\w-])"
)
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")
_PHONE = re.compile(
    r"(?<![\w.:/-])(?:\+\d{1,3}[ .-]?)?(?:\(\d{1,5}\)[ .-]?)?\d{2,5}(?:[ .-]?\d{2,5}){1,4}(?![\w:/-]|\.\d)"
)
_DATE_OR_ADDRESS = re.compile(r"\d{4}[ .-]\d{1,2}[ .-]\d{1,2}|\d{1,2}[ .-]\d{1,2}[ .-]\d{4}|\d{1,3}(?:\.\d{1,3}){3}")


class Redactor:
    """Redacts the given kinds; none: texts stay as they are."""

    def __init__(self, kinds: Sequence[RedactedKind] = ()) -> None:
        self._steps = [step for kind, step in _STEPS.items() if kind in kinds]

    @property
    def redacts(self) -> bool:
        """Whether there is anything to take out."""
        return bool(self._steps)

    def text(self, text: str) -> str:
        """The text with placeholders (some 20 µs for a usual turn and all kinds)."""
        for step in self._steps:
            text = step(text)
        return text

    def json(self, document: str | None) -> str | None:
        """The same for every string in a JSON document; keys stay."""
        if document is None or not self._steps:
            return document
        return msgspec.json.encode(self._walked(msgspec.json.decode(document))).decode()

    def _walked(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._walked(one) for one in value]
        if isinstance(value, dict):
            return {key: self._walked(one) for key, one in value.items()}
        return value


def _secrets(text: str) -> str:
    text = _SECRETS.sub("[redacted:secret]", text)
    return _NAMED_SECRET.sub(lambda found: f"{found[1]}{_kept_or(found[2], 'secret')}", text)


def _kept_or(value: str, kind: str) -> str:
    """What is redacted already, or only a word about it, stays."""
    word = value.rstrip(".!?)")
    plain = value.startswith("[redacted:") or (word.isalpha() and word.islower() and len(word) < 12)
    return value if plain else f"[redacted:{kind}]"


def _checked(expression: re.Pattern[str], kind: str, holds: Callable[[str], bool]) -> Callable[[str], str]:
    placeholder = f"[redacted:{kind}]"
    return lambda text: expression.sub(lambda found: placeholder if holds(found.group()) else found.group(), text)


def _luhn(text: str) -> bool:
    digits = [int(one) for one in text if one.isdigit()]
    doubled = [sum(divmod(2 * one, 10)) for one in digits[-2::-2]]
    total = sum(digits[-1::-2]) + sum(doubled)
    return total > 0 and total % 10 == 0


def _mod_97(text: str) -> bool:
    plain = text.replace(" ", "")
    return 15 <= len(plain) <= 34 and int("".join(str(int(one, 36)) for one in plain[4:] + plain[:4])) % 97 == 1


def _is_phone(text: str) -> bool:
    count = sum(one.isdigit() for one in text)
    marked = text.startswith("+") or any(one in text for one in " .-(")
    return 7 <= count <= 15 and marked and _DATE_OR_ADDRESS.fullmatch(text) is None


_STEPS: dict[RedactedKind, Callable[[str], str]] = {
    "secrets": _secrets,
    "iban": _checked(_IBAN, "iban", _mod_97),
    "card": _checked(_CARD, "card", _luhn),
    "email": _checked(_EMAIL, "email", lambda _: True),
    "phone": _checked(_PHONE, "phone", _is_phone),
}
