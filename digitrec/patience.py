"""How far a reader is, and how long it may take: waiting is done in slices, so that a stop is noticed."""

import math
import multiprocessing
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from mmap import mmap
from typing import TypeVar

PATIENCE_S = 3.0
"""After a stop, what is being read has this long to finish, seconds."""

_SLICE_S = 0.1

R = TypeVar("R")


class Overrun(Exception):
    """A page took longer than it may, or ended the process that read it."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Takes the place of the result of a chunk that was not read to its end."""

    why: str = ""
    """Empty after a stop, which is nobody's fault."""
    file: int | None = None
    """Position in the chunk of the file that was being read; None if it is not known."""


class Mark:
    """Position of a reader in its chunk: written by the reader, read by the one that waits for it.

    With shared memory they may be two processes.
    """

    _PAGE = struct.Struct("=dq")  # its start on the system-wide monotonic clock, and its file
    SIZE = _PAGE.size + 1  # and whether the reader is called off, which the other one writes

    def __init__(self, memory: bytearray | mmap | None = None, begun: Callable[[], None] = lambda: None) -> None:
        """Begin with nothing under way.

        Args:
            memory: `SIZE` bytes; by default those of this process alone.
            begun: called at the beginning of every page.
        """
        self._memory = bytearray(self.SIZE) if memory is None else memory
        self._begun = begun
        if memory is None:
            self.clear()

    def clear(self) -> None:
        """Nothing is under way, so nothing can take too long."""
        self._PAGE.pack_into(self._memory, 0, math.inf, 0)
        self._memory[self.SIZE - 1] = 0

    def begin(self, file: int) -> None:
        """A page of this file is begun."""
        self._begun()
        self._PAGE.pack_into(self._memory, 0, time.monotonic(), file)

    def call_off(self) -> None:
        """Ask the reader to begin no other file."""
        self._memory[self.SIZE - 1] = 1

    @property
    def since_s(self) -> float:
        """When the page was begun, monotonic seconds; infinite if none is under way."""
        return float(self._PAGE.unpack_from(self._memory)[0])

    @property
    def file(self) -> int:
        """Position in the chunk of the file that is being read."""
        return int(self._PAGE.unpack_from(self._memory)[1])

    @property
    def is_called_off(self) -> bool:
        """True once no other file should be begun."""
        return self._memory[self.SIZE - 1] != 0


_here = threading.local()
_here.mark = None


def use(mark: Mark | None) -> None:
    """Let this thread tell with this mark how far it is."""
    _here.mark = mark


def begin_page(file: int) -> None:
    """Tell the one that waits that a page of this file of the chunk is begun; its time is counted anew."""
    mark: Mark | None = getattr(_here, "mark", None)
    if mark is not None:
        mark.begin(file)


def is_called_off() -> bool:
    """Return True once this thread should begin no other file."""
    mark: Mark | None = getattr(_here, "mark", None)
    return mark is not None and mark.is_called_off


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


def in_time(look: Callable[[float], R], since_s: Callable[[], float], timeout_s: float, patience: Patience) -> R | None:
    """Return what `look` gives; None if patience is spent before.

    Args:
        look: waits for as many seconds as it is told, then raises `multiprocessing.TimeoutError`.
        since_s: when the page was begun that is waited for, monotonic seconds.
        timeout_s: longest that one page may take, seconds.
        patience: asked again and again.

    Raises:
        Overrun: a page takes longer.
    """
    while True:
        try:
            return look(0.0 if patience.is_spent() else _SLICE_S)
        except multiprocessing.TimeoutError:
            if patience.is_spent():
                return None
            if time.monotonic() - since_s() >= timeout_s:
                raise Overrun(f"not done after {timeout_s:g} s") from None
