"""Lines for people: what a terminal shows instead of JSON."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

# What a terminal obeys instead of showing it, and what turns the order of letters around.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """Somebody else's words as one line: a terminal obeys nothing in them, and they begin no line of their own."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def shown(line: Mapping[str, Any]) -> str:
    """When, how bad, who, what, and the error if there is one."""
    ids = " ".join(f"{name}={line[name]}" for name in ("cmg.request_id", "trace.id") if name in line)
    text = f"{line['@timestamp']} {line['log.level'].upper():8} {line['log.logger']}: {line['message']}"
    return _one_line(text, line.get("error.message"), ids)


def readable(lines: bytes) -> bytes:
    """JSON lines as people read them while they come, an error with where it came from; other lines as they are."""
    return b"".join(_readable(line) for line in lines.splitlines())


def _readable(line: bytes) -> bytes:
    try:
        record = orjson.loads(line)
        clock, process = record["@timestamp"][11:19], record.get("process.name", "")
        own = " ".join(f"{name[4:]}={value}" for name, value in record.items() if name[:4] == "cmg." and value != "")
        text = f"{clock} {record['log.level'].upper():8} {process} {record['log.logger']}: {record['message']}"
        error = record.get("error.message")
    except (ValueError, LookupError, TypeError, AttributeError):
        return line + b"\n"
    whole = _one_line(text, error, own)
    trace = str(record.get("error.stack_trace", "")).splitlines()
    return "\n".join([whole, *map(visible, trace), ""]).encode("utf-8", "replace")


def _one_line(text: str, error: object, more: str) -> str:
    return visible(" ".join(part for part in (text, f"({error})" if error else "", more) if part))
