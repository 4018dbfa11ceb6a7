"""The last step of a line: its fields get their ECS names, secrets go out, and it becomes JSON of a bounded size."""

import hmac
import json
from collections.abc import Mapping, MutableMapping
from typing import Any

import orjson
import structlog

from cmg.telemetry.lines.redaction import redacted, suspect, without_named
from cmg.telemetry.lines.terminal import readable

ECS_VERSION = "8.11"
SERVICE = "context-memory-gateway"
LINE_BYTES = 64 * 1024
_TEXT_MAX = 8 * 1024  # letters of one field of a line that is too long
_SEARCHED_BYTES = 128 * 1024  # of a line, for secrets: somebody waits for it
_SEARCHED_TEXT = 32 * 1024  # letters of a field of one that is longer
_NAMES = {
    "event": "message",
    "level": "log.level",
    "logger": "log.logger",
    "timestamp": "@timestamp",
    "error": "error.message",
    "exception": "error.stack_trace",
    "message": "message",
}
_PEOPLE = ("user.id", "enduser.id", "user.email", "user.name")
_USERS = b"cmg log lines: users"
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z


def pseudonym(user_id: str) -> str:
    """What stands for a user's id in every line: the same for the same id, so that their lines are found and erased."""
    return "u-" + hmac.digest(_USERS, user_id.encode("utf-8", "replace"), "sha256").hex()[:32]


def ecs(process: str) -> structlog.typing.Processor:
    """A processor that names the fields as ECS does; what ECS does not know is ours and stands under `cmg.`."""
    own = {"ecs.version": ECS_VERSION, "service.name": SERVICE, "process.name": process}

    def rename(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        record: dict[str, Any] = dict(own)
        for name, value in event.items():
            record[_NAMES.get(name) or (name if "." in name or name[:1] == "@" else f"cmg.{name}")] = value
        return without_people(record)

    return rename


def without_people(record: dict[str, Any]) -> dict[str, Any]:
    """The record with pseudonyms in the place of users' ids, names and addresses; it is changed."""
    for name in _PEOPLE:
        if name in record:
            record["user.hash"] = pseudonym(str(record.pop(name)))
    return record


def as_json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """The record as one line. Whatever its fields hold, no secret of a known form is in it."""
    return encoded(event).decode()


def as_text(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """As `as_json`, for people."""
    return readable(encoded(event)).decode().rstrip("\n")


def encoded(event: Mapping[str, Any]) -> bytes:
    """One line of JSON without its end, redacted, of at most `LINE_BYTES`."""
    line = _dumped(without_named(event))
    long = len(line) > _SEARCHED_BYTES
    if long:
        cut = {name: _shortened(value, _SEARCHED_TEXT) for name, value in orjson.loads(line).items()}
        line = _dumped(cut)
        if len(line) > _SEARCHED_BYTES:
            line = _dumped(_bare(cut))
    if suspect(line):
        line = _dumped(redacted(orjson.loads(line)))
    if long or len(line) > LINE_BYTES:  # where a long text was cut, half a secret may stand: that goes too
        short = _dumped({name: _shortened(value, _TEXT_MAX) for name, value in orjson.loads(line).items()})
        line = short if len(short) <= LINE_BYTES else _dumped(_bare(orjson.loads(short)))
    return line


def _dumped(event: Any) -> bytes:
    try:
        return orjson.dumps(event, default=str, option=_OPTIONS)
    except TypeError:  # a number of more than 64 bits, or text that is no Unicode
        text = json.dumps(event, default=str, skipkeys=True)
        return orjson.dumps(_sound(json.loads(text)), default=str, option=_OPTIONS)


def _sound(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_sound(name): _sound(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_sound(one) for one in value]
    return str(value) if isinstance(value, int) and abs(value) >= 2**63 else value


def _shortened(value: Any, most: int) -> Any:
    """Both ends of a text that is too long: a trace begins with where it came from and ends with what happened."""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    if len(text) <= most:
        return value
    return f"{text[: most // 2]} … {text[-most // 2 :]}"


def _bare(event: dict[str, Any]) -> dict[str, Any]:
    """A line of thousands of fields: what it is, and how many fields were left out."""
    kept = ("@timestamp", "message", "log.level", "log.logger", "service.name", "process.name", "ecs.version")
    return {name: event[name] for name in kept if name in event} | {"cmg.fields_left_out": len(event)}
