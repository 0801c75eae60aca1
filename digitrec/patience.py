"""Waiting for an answer: for so long and no longer, and in slices, so that a stop is noticed."""

import multiprocessing
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_S = 3.0
"""After a stop, what is being read has this long to finish, seconds."""

_SLICE_S = 0.1

R = TypeVar("R")


class Overrun(Exception):
    """A chunk took longer than it may, or ended the process that read it."""


def in_time(look: Callable[[float], R], timeout_s: float, stopped: Callable[[], bool]) -> R | None:
    """What `look` gives within the time; None after a stop.

    Args:
        look: waits for as many seconds as it is told, then raises `multiprocessing.TimeoutError`.
        timeout_s: longest to wait, seconds.
        stopped: says that it is wanted no more, at the latest `PATIENCE_S` from now.

    Raises:
        Overrun: nothing came in time.
    """
    began_s = time.monotonic()
    stopped_s: float | None = None
    while True:
        try:
            return look(_SLICE_S)
        except multiprocessing.TimeoutError:
            now_s = time.monotonic()
        stopped_s = now_s if stopped_s is None and stopped() else stopped_s
        if stopped_s is not None and now_s - stopped_s >= PATIENCE_S:
            return None
        if now_s - began_s >= timeout_s:
            raise Overrun(f"not done after {timeout_s:g} s")
