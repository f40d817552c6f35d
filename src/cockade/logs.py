"""Structured logs on standard error: one JSON object or one readable line per event."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Protocol

import msgspec
import structlog

from cockade.config import Config

_CONTEXT = "context"


class LogContext(Protocol):
    """A request that is being processed, as far as the log is concerned."""

    def log_fields(self) -> Mapping[str, object]:
        """Return the fields of all log lines of the request. Called for each line, because values become
        known over time.
        """
        ...


def follow(context: LogContext) -> None:
    """Attach this context to all log lines of the current task."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**{_CONTEXT: context})


def _add_context(_: object, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor. Fields of the line itself take precedence."""
    context: LogContext | None = line.pop(_CONTEXT, None)
    return line if context is None else {**context.log_fields(), **line}


def _encode(event: Any, **_: Any) -> str:
    """Encode a line as ASCII. Other characters can end lines for some readers, or control terminals."""
    with suppress(UnicodeEncodeError):
        line = msgspec.json.encode(event, enc_hook=repr)
        if line.isascii():
            return line.decode()
    return json.dumps(event, default=repr)


def configure(config: Config) -> None:
    """Configure structlog and the standard library's logging alike."""
    level = logging.getLevelNamesMapping()[config.log_level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _add_context,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if config.log_format == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer: Any = structlog.processors.JSONRenderer(serializer=_encode)
    else:
        # Plain tracebacks: the prettier ones show local variables, including secrets.
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
