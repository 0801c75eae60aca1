"""One function for many items, in processes. What is drawn depends on sources, seed and place, not on who drew it."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import cv2
import numpy as np

from digitrec.training.strokes import Dice

S = TypeVar("S")
T = TypeVar("T")
U = TypeVar("U")

Told = Callable[[int, int], None]
"""Is told how many of how many are done."""
_CHUNK = 50
_FEWEST = 400
"""Below this, starting a process takes longer than the work."""


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
    places = [(*seed, place) for place in range(count)]
    return each(_drawn, (one, sources), places, processes=processes, told=told)


def each(
    function: Callable[[S, U], T],
    shared: S,
    items: Sequence[U],
    *,
    processes: int = 0,
    told: Told | None = None,
) -> Iterator[T]:
    """What a function makes of each item, in order.

    Args:
        function: one of a module, as it is sent to other processes.
        shared: what it needs for every item, sent once to each process.
        items: one after another.
        processes: how many work; 0: as many as there are cores. One, or few items: this one works.
        told: is told of every 50th item and of the last.
    """
    processes = processes or len(os.sched_getaffinity(0))
    if processes == 1 or len(items) < _FEWEST:
        yield from _told((function(shared, item) for item in items), len(items), told)
        return
    # Fresh interpreters: a fork of a process in which TensorFlow runs its threads may hang.
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, _begin, (function, shared)) as pool:
        yield from _told(pool.imap(_done, items, _CHUNK), len(items), told)


def _told(items: Iterator[T], count: int, told: Told | None) -> Iterator[T]:
    for done, item in enumerate(items, start=1):
        yield item
        if told is not None and (done % _CHUNK == 0 or done == count):
            told(done, count)


def _drawn(work: tuple[Callable[[S, Dice], T], S], seed: tuple[int, ...]) -> T:
    one, sources = work
    return one(sources, np.random.default_rng(seed))


_work: tuple[Callable[[Any, Any], Any], Any] | None = None
"""In a process of a pool: what to do, and what with."""


def _begin(function: Callable[[Any, Any], Any], shared: object) -> None:
    global _work  # noqa: PLW0603 - the one way an initializer can leave something in its process
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the pool
    cv2.setNumThreads(1)  # the cores are taken by the other processes
    _work = (function, shared)


def _done(item: object) -> Any:
    if _work is None:
        raise RuntimeError("a process of the pool was not set up")
    function, shared = _work
    return function(shared, item)
