"""The server's log: JSON lines, or coloured ones on a terminal; secrets never reach either."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from orchestrator.observability.redact import Redactor


def set_up(redactor: Redactor, *, terminal: bool | None = None) -> None:
    """Set up logging, which also takes in what libraries log through `logging`."""
    terminal = sys.stderr.isatty() if terminal is None else terminal

    def redacted(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return dict(redactor.any(dict(event)))

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Tracebacks become text before redaction, so that a secret in one is found too.
    ends: list[Any] = [structlog.processors.format_exc_info, redacted]
    renderer: Any = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ends, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers, root.level = [handler], logging.INFO
    for chatty in ("httpx", "httpcore", "alembic", "botocore", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
