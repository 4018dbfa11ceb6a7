"""Structured logs: one JSON object a line with ECS names, secrets filtered by construction."""

import atexit
import logging
import sys
import threading
from collections.abc import MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Any

import structlog

from cmg.kit.clock import Clock, SystemClock
from cmg.telemetry.disk import DiskGuard
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.lines.encoding import as_json, as_text, ecs
from cmg.telemetry.lines.levels import Levels
from cmg.telemetry.lines.redaction import redact
from cmg.telemetry.lines.request import add_request
from cmg.telemetry.lines.spool import Spool
from cmg.telemetry.lines.writing import LineWriter, writer

__all__ = ["configure", "count_into", "follow_levels", "get_logger", "redact"]


def configure(level: str = "info", process: str = "cmg", spool: Path | None = None, spool_bytes: int = 2**28) -> None:
    """Send structlog and the standard library's logging (uvicorn, asyncio, jobs) through one JSON pipeline.

    With a `spool` (a folder) lines are kept there too, for the logbook, up to `spool_bytes` of the whole machine, and
    written by a thread behind a bounded queue.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_request,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _stamped,
        _error_type,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = (
        logging.StreamHandler(sys.stderr)
        if spool is None
        else LineWriter(Spool(spool, spool_bytes), shedder=DiskGuard(spool, SystemClock()))
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                ecs(process),
                as_text if spool is None and sys.stderr.isatty() else as_json,
            ],
        )
    )
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # no line shows them: 5 µs each
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("uvicorn.access").disabled = True  # requests are counted, and logged by the data plane
    if isinstance(handler, LineWriter):
        handler.start()
        atexit.register(handler.close)
        _catch_crashes()


def follow_levels(file: Path, level: str, clock: Clock) -> None:
    """Follow the levels that are set while the service runs; needs a spool. `level` is the settings' own."""
    found, levels = writer(), Levels(file, level, clock)
    levels.look()
    if found is not None:
        found.every_second(levels.look)


def count_into(instruments: Instruments) -> None:
    """Let the metrics of this process count its lines."""
    found = writer()
    if found is not None:
        found.report_to(instruments)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger; bind `**{"trace.id": …}` where a trace is known that is not the request's."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


_stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)


def _stamped(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The present time, unless the line tells of another one."""
    return event if "@timestamp" in event else _stamp(logger, method, event)


def _error_type(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    error = event.get("exc_info")
    if error is True:
        error = sys.exc_info()[1]
    elif isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event.setdefault("error.type", type(error).__name__)
        event.setdefault("error", str(error))
    return event


def _catch_crashes() -> None:
    """What ends a process or a thread is a line too."""
    log = get_logger("cmg.telemetry.crash")

    def crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        log.critical("the process crashed", exc_info=(kind, error, trace), **{"event.action": "sys_crash"})

    def thread_crashed(told: threading.ExceptHookArgs) -> None:
        if told.exc_value is not None:
            log.error("a thread crashed", exc_info=(told.exc_type, told.exc_value, told.exc_traceback))

    sys.excepthook, threading.excepthook = crashed, thread_crashed
