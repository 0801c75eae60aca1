"""Draw many synthetic things in processes; each depends on the sources, the seed and its place, not on who drew it."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from itertools import starmap
from typing import Any, TypeVar

import cv2
import numpy as np

from digitrec.training.strokes import Dice

S = TypeVar("S")
T = TypeVar("T")

Told = Callable[[int, int], None]
"""Is told how many of how many are drawn."""
_CHUNK = 50
_FEWEST = 400
"""Below this, starting a process takes longer than drawing."""


def draw(
    one: Callable[[S, Dice], T],
    sources: S,
    count: int,
    seed: Sequence[int],
    *,
    processes: int = 0,
    told: Told | None = None,
) -> Iterator[T]:
    """Draw `count` items in order, each with dice of its own from the seed and its place.

    Args:
        one: draws an item; a function of a module, as it is sent to other processes.
        sources: what it draws from, sent once to each process.
        count: how many; a larger count begins with the same ones.
        seed: of all of them.
        processes: how many processes draw; 0: as many as there are cores. One, or few items: this one draws.
        told: is told of every 50th item and of the last.
    """
    processes = processes or len(os.sched_getaffinity(0))
    places = [(*seed, place) for place in range(count)]
    if processes == 1 or count < _FEWEST:
        yield from _told(starmap(_drawn, ((one, sources, place) for place in places)), count, told)
        return
    # Fresh interpreters: a fork of a process in which TensorFlow runs its threads may hang.
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, _begin, (one, sources)) as pool:
        yield from _told(pool.imap(_item, places, _CHUNK), count, told)


def _told(items: Iterator[T], count: int, told: Told | None) -> Iterator[T]:
    for done, item in enumerate(items, start=1):
        yield item
        if told is not None and (done % _CHUNK == 0 or done == count):
            told(done, count)


def _drawn(one: Callable[[S, Dice], T], sources: S, seed: tuple[int, ...]) -> T:
    return one(sources, np.random.default_rng(seed))


_work: tuple[Callable[[Any, Dice], Any], Any] | None = None
"""In a drawing process: how to draw, and what from."""


def _begin(one: Callable[[Any, Dice], Any], sources: object) -> None:
    global _work  # noqa: PLW0603 - the one way an initializer can leave something in its process
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the pool
    cv2.setNumThreads(1)  # the cores are taken by the other processes
    _work = (one, sources)


def _item(seed: tuple[int, ...]) -> Any:
    if _work is None:
        raise RuntimeError("a drawing process was not set up")
    return _drawn(*_work, seed)
