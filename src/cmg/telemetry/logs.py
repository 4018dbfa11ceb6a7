"""Structured logs: one JSON object a line on standard error, with ECS names, secrets filtered by construction."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import orjson
import structlog

_SECRETS = re.compile(
    # Our keys: the public id stays readable, and so do metric names, which are small words.
    r"(cmg_[A-Za-z0-9-]+_)(?!(?-i:[a-z]+(?:_[a-z]+)*)(?![A-Za-z0-9]))[A-Za-z0-9._~+/-]{6,}"
    r"|\b(sk-(?:or-v1-|ant-(?:[a-z]+\d+-)?|proj-|svcacct-)?)[A-Za-z0-9_-]{8,}"  # keys of upstreams
    r"|((?:Bearer|Token|Basic)\s+)[A-Za-z0-9._~+/=-]{8,}"
    r"|(://[^/\s:@\"]*:)[^/\s\"]+(?=@)",  # passwords in URLs
    re.IGNORECASE,
)
_NAMES = {"event": "message", "level": "log.level", "logger": "log.logger", "timestamp": "@timestamp"}
_SERVICE = "context-memory-gateway"


def redact(text: str) -> str:
    """The text with every key, token and URL password replaced by `***`."""
    return _SECRETS.sub(lambda match: next((group for group in match.groups() if group), "") + "***", text)


def configure(level: str = "info", process: str = "cmg") -> None:
    """Send structlog and the standard library's logging (uvicorn, asyncio) through one JSON pipeline."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _ecs(process), _as_json],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("uvicorn.access").disabled = True  # requests are counted, and logged by the data plane


def _ecs(process: str) -> structlog.typing.Processor:
    """A processor that gives the fields their ECS names and adds the service's own."""

    def rename(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        record = {_NAMES.get(name, name): value for name, value in event.items() if name != "exception"}
        if "exception" in event:
            record["error.stack_trace"] = event["exception"]
        record.update({"ecs.version": "8.11", "service.name": _SERVICE, "process.name": process})
        return record

    return rename


def _as_json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """The record as one line. Redaction runs over the whole line, so no field can forget it."""
    line = orjson.dumps(dict(event), default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    return redact(line)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger; bind `**{"trace.id": …}` where a request is known."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
