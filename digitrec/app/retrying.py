"""Turn what the service raised into a failure that a person is told, and wait before the next try."""

import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from digitrec import logs
from digitrec.errors import DigitrecError, EnvironmentFailure, UnexpectedFailure, failure_of, memory_failure
from digitrec.pipeline.watcher import WakeEvent
from digitrec.types import backoff_s

_ALIVE_EVERY_S = 10.0
"""Time between two signs of life for the supervisor while nothing can be done, seconds."""


def pauses() -> Iterator[float]:
    """Return the pause before each next try, seconds."""
    return map(backoff_s, itertools.count(1))


def wait(bell: WakeEvent, pause_s: float, stopped: Callable[[], bool]) -> None:
    """Wait for the next try; a stop ends the wait."""
    until_s = time.monotonic() + pause_s
    while not stopped() and (left_s := until_s - time.monotonic()) > 0:
        bell.wait(min(left_s, _ALIVE_EVERY_S))


def failure_from(why: Exception, ledger: Path) -> DigitrecError:
    """Return a failure as an error that a person can put right; an unexpected one is logged with its traceback.

    Args:
        why: what was raised.
        ledger: the one that is worked with.
    """
    if isinstance(why, DigitrecError):
        return why
    if isinstance(why, OSError):
        return failure_of(why)
    if isinstance(why, sqlite3.Error):
        return EnvironmentFailure(f"the ledger {ledger} failed: {why}")
    return memory_failure(why) or unexpected_failure(why)


def unexpected_failure(why: Exception) -> UnexpectedFailure:
    """Log an exception that nobody expected, with its traceback, and return what a person is told."""
    return UnexpectedFailure(logs.unexpected_error("unexpected error", why))
