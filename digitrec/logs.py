"""One line per state change: readable on a terminal, JSON for machines. Lines go to standard error."""

import json
import logging
import sys
import threading
import time

from digitrec import names
from digitrec.errors import plain

_logger = logging.getLogger("digitrec")


def event(what: str, **fields: object) -> None:
    """Note that something happened; fields name the batch, file or folder it happened to."""
    _logger.info(what, extra={"fields": fields})


def warn(what: str, **fields: object) -> None:
    """Note that something is wrong and how it goes on."""
    _logger.warning(what, extra={"fields": fields})


def start(log_format: str, *, quiet: bool = False) -> None:
    """Send the log to standard error.

    Args:
        log_format: `text`, `json`, or `auto`: text on a terminal, else JSON.
        quiet: warnings only.
    """
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Text() if as_text else _Json())
    _logger.handlers[:] = [handler]
    _logger.propagate = False
    _logger.setLevel(logging.WARNING if quiet else logging.INFO)
    threading.excepthook = _thread_ended


def _thread_ended(args: threading.ExceptHookArgs) -> None:
    """Log in one line what Python would print as a traceback between the lines of the log."""
    if args.exc_type is not SystemExit:
        name = args.thread.name if args.thread else "?"
        warn("a thread was ended by an error", thread=name, why=f"{args.exc_type.__name__}: {args.exc_value}")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _utc(record.created, "%Y-%m-%dT%H:%M:%S"), "level": record.levelname.lower()}
        return json.dumps(line | {"event": record.getMessage()} | _safe(record))


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        mark = "! " if record.levelno >= logging.WARNING else ""
        told = " ".join(f"{name}={value}" for name, value in _safe(record).items())
        return f"{_utc(record.created, '%H:%M:%S')} {mark}{record.getMessage()} {told}".rstrip()


def _safe(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = getattr(record, "fields", {})
    return {
        name: value if isinstance(value, int | float | bool) or value is None else names.escape(_words(value))
        for name, value in fields.items()
    }


def _words(value: object) -> str:
    return plain(value) if isinstance(value, OSError) else str(value)


def _utc(seconds: float, form: str) -> str:
    return f"{time.strftime(form, time.gmtime(seconds))}.{int(seconds % 1 * 1000):03d}Z"
