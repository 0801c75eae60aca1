"""Log one line per state change to standard error: text on a terminal, else JSON."""

import json
import logging
import os
import sys
import threading
import time
import traceback
from contextlib import suppress
from typing import TextIO

from digitrec import text
from digitrec.errors import describe_error

_logger = logging.getLogger("digitrec")
_SAME_CAUSE_S = 10.0
"""Warnings of a library within this time have the same cause, seconds."""
_MAX_TRACES = 1000
_traces: set[tuple[str, str]] = set()
"""Events of this process that were logged with a traceback."""


def info(event: str, /, **fields: object) -> None:
    """Log an event; the fields name the batch, file or folder."""
    _logger.info(event, extra={"fields": fields})


def warning(event: str, /, **fields: object) -> None:
    """Log a problem and its consequence."""
    _logger.warning(event, extra={"fields": fields})


def log_exception(event: str, error: BaseException, /, **fields: object) -> str:
    """Log an unexpected exception that stops nothing; return it in one line."""
    message = f"{type(error).__name__}: {error}"
    log_traceback(event, "".join(traceback.format_exception(error)), **fields, why=message)
    return f"{event}: {message}"


def log_traceback(event: str, trace: str, /, **fields: object) -> None:
    """Log an unexpected exception once; JSON lines have its traceback, text lines do not."""
    if (event, trace) in _traces:
        return
    if len(_traces) < _MAX_TRACES:
        _traces.add((event, trace))
    _logger.error(event, extra={"fields": fields, "trace": trace})


def write_from_signal(event: str) -> None:
    """Log from a signal handler with one system call, as the signal may interrupt another line."""
    if _logger.handlers:
        line = _logger.handlers[0].format(_logger.makeRecord(_logger.name, logging.WARNING, "", 0, event, (), None))
        clear = "\r\x1b[2K" if os.isatty(2) else ""  # a bar, and the ^C that a terminal shows
        with suppress(OSError):  # standard error is closed
            os.write(2, f"{clear}{line}\n".encode())


def configure(log_format: str, *, quiet: bool = False) -> None:
    """Configure the log on standard error.

    Args:
        log_format: `text`, `json`, or `auto`: text on a terminal, else JSON.
        quiet: log warnings only.
    """
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    handler = _StderrHandler()
    handler.setFormatter(_Text() if as_text else _Json())
    _logger.handlers[:] = [handler]
    _logger.propagate = False
    _logger.setLevel(logging.WARNING if quiet else logging.INFO)
    threading.excepthook = _log_thread_error


def _log_thread_error(args: threading.ExceptHookArgs) -> None:
    """Log an exception that ends a thread as one entry, in place of Python's traceback.

    The observer thread ends with a RecursionError in a tree that is nested too deep, which `WatchdogSource` detects:
    the traceback, one frame a thousand times, is left out.
    """
    name = args.thread.name if args.thread else "?"
    if isinstance(args.exc_value, RecursionError):
        warning("a thread was ended by an error", thread=name, why=f"RecursionError: {args.exc_value}")
    elif args.exc_value is not None and args.exc_type is not SystemExit:
        log_exception("a thread was ended by an error", args.exc_value, thread=name)


def capture_loggers(*names: str) -> None:
    """Log the warnings of libraries as lines of this log, without tracebacks; no effect before `configure`.

    Args:
        names: loggers of the libraries; their child loggers are included.
    """
    if not _logger.handlers:
        return
    for logger_name in sorted(logging.root.manager.loggerDict):
        if logger_name.startswith(tuple(f"{name}." for name in names)):
            child = logging.getLogger(logger_name)
            child.handlers[:], child.propagate = [], True
    for name in names:
        logger = logging.getLogger(name)
        logger.handlers[:], logger.propagate = [_LibraryHandler(logging.WARNING)], False


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to the present `sys.stderr`, which a progress bar replaces while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class _LibraryHandler(logging.Handler):
    """Log the first of the lines of a library within ten seconds: the others have the same cause."""

    _next_s = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + _SAME_CAUSE_S
            warning("a library warns", library=record.name, why=_first_line(record))


def _first_line(record: logging.LogRecord) -> str:
    """Return the first line of a record: of its message, else of its exception or the cause of that."""
    error = record.exc_info[1] if record.exc_info else None
    messages = [record.getMessage()]
    while error is not None:
        messages.append(str(error))
        if error.__cause__ is None and error.__context__ is None:
            messages.append(type(error).__name__)
        error = error.__cause__ or error.__context__
    return next((message.strip().splitlines()[0] for message in messages if message.strip()), "")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _utc(record.created, "%Y-%m-%dT%H:%M:%S"), "level": record.levelname.lower()}
        entry = line | {"event": record.getMessage()} | _escape_fields(record)
        if trace := getattr(record, "trace", ""):
            entry["traceback"] = [text.escape(trace_line) for trace_line in trace.splitlines()]
        return json.dumps(entry)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        mark = "! " if record.levelno >= logging.WARNING else ""
        fields = " ".join(f"{name}={value}" for name, value in _escape_fields(record).items())
        return f"{_utc(record.created, '%H:%M:%S')} {mark}{record.getMessage()} {fields}".rstrip()


def _escape_fields(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = getattr(record, "fields", {})
    return {name: _escape_value(value) for name, value in fields.items()}


def _escape_value(value: object) -> object:
    if isinstance(value, int | float | bool) or value is None:
        return value
    return text.escape(describe_error(value) if isinstance(value, OSError) else str(value))


def _utc(seconds: float, time_format: str) -> str:
    return f"{time.strftime(time_format, time.gmtime(seconds))}.{int(seconds % 1 * 1000):03d}Z"
