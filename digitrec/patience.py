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


class Patience:
    """With work that may be called off: what is under way then may come to its end, for `PATIENCE_S`."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        self._asked_s = -_SLICE_S
        self._since_s: float | None = None

    def is_stopped(self) -> bool:
        """Whether it is called off; asks once a slice, as to ask is a sign of life, too."""
        now_s = time.monotonic()
        if self._since_s is None and now_s - self._asked_s >= _SLICE_S:
            self._asked_s = now_s
            self._since_s = now_s if self._stopped() else None
        return self._since_s is not None

    def is_spent(self) -> bool:
        """Whether it was called off so long ago that nothing is waited for any more."""
        return self.is_stopped() and self._since_s is not None and time.monotonic() - self._since_s >= PATIENCE_S


def in_time(look: Callable[[float], R], timeout_s: float, patience: Patience) -> R | None:
    """What `look` gives within the time; None once patience is spent.

    Args:
        look: waits for as many seconds as it is told, then raises `multiprocessing.TimeoutError`.
        timeout_s: longest to wait, seconds.
        patience: asked again and again.

    Raises:
        Overrun: nothing came in time.
    """
    began_s = time.monotonic()
    while not patience.is_spent():
        try:
            return look(_SLICE_S)
        except multiprocessing.TimeoutError:
            if time.monotonic() - began_s >= timeout_s:
                raise Overrun(f"not done after {timeout_s:g} s") from None
    return None
