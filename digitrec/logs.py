"""One line per state change: readable on a terminal, JSON for machines. Lines go to standard error."""

import json
import logging
import os
import sys
import threading
import time
import traceback
from contextlib import suppress

from digitrec import text
from digitrec.errors import describe_error

_logger = logging.getLogger("digitrec")
_TOGETHER_S = 10.0
"""Seconds; warnings of a library within this time have the same cause."""
_MOST_TRACES = 1000
_traces: set[tuple[str, str]] = set()
"""What was logged by this process, with its traceback."""


def info(what: str, **fields: object) -> None:
    """Note that something happened; fields name the batch, file or folder it happened to."""
    _logger.info(what, extra={"fields": fields})


def warning(what: str, **fields: object) -> None:
    """Note that something is wrong and how it goes on."""
    _logger.warning(what, extra={"fields": fields})


def log_exception(what: str, why: BaseException, **fields: object) -> str:
    """Note an exception that nobody expected and that stops nothing; return it in a line."""
    error = f"{type(why).__name__}: {why}"
    log_traceback(what, "".join(traceback.format_exception(why)), **fields, why=error)
    return f"{what}: {error}"


def log_traceback(what: str, trace: str, **fields: object) -> None:
    """Note an exception that nobody expected, once, with its traceback.

    Lines for people lack the traceback; those for machines have it.
    """
    if (what, trace) in _traces:
        return
    if len(_traces) < _MOST_TRACES:
        _traces.add((what, trace))
    _logger.error(what, extra={"fields": fields, "trace": trace})


def write_from_signal(what: str) -> None:
    """Write a line from a signal handler, which may have interrupted another line: with one system call."""
    if _logger.handlers:
        line = _logger.handlers[0].format(_logger.makeRecord(_logger.name, logging.WARNING, "", 0, what, (), None))
        with suppress(OSError):  # nobody reads it
            os.write(2, f"{line}\n".encode())


def configure(log_format: str, *, quiet: bool = False) -> None:
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
    """Log as one entry what Python would print as a traceback between the lines of the log.

    The thread of the observer ends in a tree nested too deep for it, which `WatchdogSource` notices: its traceback is
    one frame a thousand times, and is left out.
    """
    name = args.thread.name if args.thread else "?"
    if isinstance(args.exc_value, RecursionError):
        warning("a thread was ended by an error", thread=name, why=f"RecursionError: {args.exc_value}")
    elif args.exc_value is not None and args.exc_type is not SystemExit:
        log_exception("a thread was ended by an error", args.exc_value, thread=name)


def capture_loggers(*names: str) -> None:
    """Write what other libraries warn of as plain lines of this log, without tracebacks; only once it was started.

    Args:
        names: of their loggers, which may have others below them.
    """
    if not _logger.handlers:
        return
    for known in sorted(logging.root.manager.loggerDict):
        if known.startswith(tuple(f"{name}." for name in names)):
            below = logging.getLogger(known)
            below.handlers[:], below.propagate = [], True
    for name in names:
        logger = logging.getLogger(name)
        logger.handlers[:], logger.propagate = [_Adopted(logging.WARNING)], False


class _Adopted(logging.Handler):
    """Writes the first of the lines that a library logs within ten seconds: the others have the same cause."""

    _next_s = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + _TOGETHER_S
            warning("a library warns", library=record.name, why=_first_line(record))


def _first_line(record: logging.LogRecord) -> str:
    """Return the first words of a record: of its message, else of the error that it was written for."""
    error = record.exc_info[1] if record.exc_info else None
    words = [record.getMessage()]
    while error is not None:
        words.append(str(error))
        if error.__cause__ is None and error.__context__ is None:
            words.append(type(error).__name__)
        error = error.__cause__ or error.__context__
    return next((one.strip().splitlines()[0] for one in words if one.strip()), "")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _utc(record.created, "%Y-%m-%dT%H:%M:%S"), "level": record.levelname.lower()}
        told = line | {"event": record.getMessage()} | _safe(record)
        if trace := getattr(record, "trace", ""):
            told["traceback"] = [text.escape(one) for one in trace.splitlines()]
        return json.dumps(told)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        mark = "! " if record.levelno >= logging.WARNING else ""
        told = " ".join(f"{name}={value}" for name, value in _safe(record).items())
        return f"{_utc(record.created, '%H:%M:%S')} {mark}{record.getMessage()} {told}".rstrip()


def _safe(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = getattr(record, "fields", {})
    return {
        name: value if isinstance(value, int | float | bool) or value is None else text.escape(_words(value))
        for name, value in fields.items()
    }


def _words(value: object) -> str:
    return describe_error(value) if isinstance(value, OSError) else str(value)


def _utc(seconds: float, form: str) -> str:
    return f"{time.strftime(form, time.gmtime(seconds))}.{int(seconds % 1 * 1000):03d}Z"
