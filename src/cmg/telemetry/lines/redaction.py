"""Takes secrets out of log lines: by the names of fields, and by the forms that secrets are known to have."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import re2

_SECRETS = re.compile(
    # Our keys: the public id stays readable, and so do metric names, which are a few small words: how many is bounded,
    # or each of a million `cmg_a_` would be looked through to the end of the text.
    r"(cmg_[A-Za-z0-9-]+_)(?!(?-i:[a-z]{1,24}(?:_[a-z]{1,24}){0,9})(?![A-Za-z0-9]))[A-Za-z0-9._~+/-]{6,}"
    r"|\b(sk-(?:or-v1-|ant-(?:[a-z]+\d+-)?|proj-|svcacct-)?)[A-Za-z0-9_-]{8,}"  # keys of upstreams
    r"|((?:Bearer|Token|Basic)\s+)[A-Za-z0-9._~+/=-]{8,}"
    r"|(://[^/\s:@\"]*:)[^/\s\"]+(?=@)"  # passwords in URLs
    r"|\b(gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|AKIA|ASIA|AIza|hf_)[A-Za-z0-9_-]{12,}"
    r"|\b(eyJ)[\w-]{10,}\.[\w-]{10,}\.[\w-]*"  # JSON web tokens
    r"|(-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----)[\s\S]*?(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY-----|\Z)"
    r"|((?:pass(?:word|wd|phrase)?|pwd|secret|api[_-]?key|(?:access|refresh|auth)[_-]?token|client[_-]?secret)"
    r"[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&]{3,}",
    re.IGNORECASE,
)
# Whether the whole line is worth a closer look (1 µs a line): every form above begins with one of these.
_SUSPECT = re2.compile(
    rb"(?i)cmg_[a-z0-9-]+_|sk-|bearer|token|basic|://[^/]*@|gh[pousr]_|github_pat_|glpat-|xox|AKIA|ASIA|AIza|hf_|eyJ"
    rb"|PRIVATE KEY|pass|pwd|secret|api.?key"
)
_NAMED = re.compile(
    r"(?:^|[._-])(?:password|passwd|passphrase|secret|token|authorization|cookie|credentials?|(?:api|private)[_-]?key)$",
    re.IGNORECASE,
)
MASK = "***"
_PLAIN = frozenset({str, int, float, bool, type(None)})


def redact(text: str) -> str:
    """The text with every key, token and password of a known form replaced by `***`."""
    return _SECRETS.sub(lambda match: next((group for group in match.groups() if group), "") + MASK, text)


def suspect(line: bytes) -> bool:
    """Whether a line may hold something of a known form."""
    return _SUSPECT.search(line) is not None


@lru_cache(maxsize=2048)
def is_secret_name(name: object) -> bool:
    """Whether a field of this name holds a secret, whatever its value looks like."""
    return isinstance(name, str) and _NAMED.search(name) is not None


def without_named(event: Mapping[Any, Any]) -> dict[Any, Any]:
    """The fields with `***` for every value that stands under the name of a secret, at any depth."""
    return {
        name: value if type(value) in _PLAIN and not is_secret_name(name) else _named(name, value)
        for name, value in event.items()
    }


def _named(name: Any, value: Any) -> Any:
    if isinstance(value, Mapping):
        return without_named(value)
    if value and not isinstance(value, bool) and is_secret_name(name):
        return MASK
    if isinstance(value, list | tuple):
        return [without_named(one) if isinstance(one, Mapping) else one for one in value]
    return value


def redacted(value: Any) -> Any:
    """A JSON value with every string in it, keys too, redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(str(name)): redacted(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(one) for one in value]
    return value
