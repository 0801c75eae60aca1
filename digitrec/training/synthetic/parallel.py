"""Run one function over many items in worker processes; the results do not depend on how many processes there are."""

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.random import Generator

from digitrec.images.threads import count_cores

S = TypeVar("S")
T = TypeVar("T")
U = TypeVar("U")

ProgressCallback = Callable[[int, int], None]
"""Receives the number of finished items and of all."""
_CHUNK = 50
_MIN_ITEMS = 400
"""Below this, starting a process takes longer than the work."""


def generate(
    function: Callable[[S, Generator], T],
    sources: S,
    count: int,
    seed: Sequence[int],
    *,
    processes: int = 0,
    on_progress: ProgressCallback | None = None,
) -> Iterator[T]:
    """Yield `count` generated items in order, item i from a random generator seeded with `(*seed, i)`.

    A larger count begins with the same items. The other arguments are those of `map_items`.
    """
    seeds = [(*seed, index) for index in range(count)]
    return map_items(_generate_item, (function, sources), seeds, processes=processes, on_progress=on_progress)


def map_items(
    function: Callable[[S, U], T],
    shared: S,
    items: Sequence[U],
    *,
    processes: int = 0,
    on_progress: ProgressCallback | None = None,
) -> Iterator[T]:
    """Yield `function(shared, item)` for each item, in order.

    Args:
        function: a module-level function, as it is sent to other processes.
        shared: sent once to each process.
        items: sent in chunks.
        processes: number of worker processes; 1: this process does the work; 0: one per core, but only for many items.
        on_progress: called at every 50th item and at the last.
    """
    processes = processes or (1 if len(items) < _MIN_ITEMS else count_cores())
    if processes == 1:
        yield from _report_results((function(shared, item) for item in items), len(items), on_progress)
        return
    # Fresh interpreters: a fork of a process in which TensorFlow runs its threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _initialize_worker, (function, shared)) as executor:
        yield from _report_results(executor.map(_process_item, items, chunksize=_CHUNK), len(items), on_progress)


def _report_results(results: Iterable[T], count: int, on_progress: ProgressCallback | None) -> Iterator[T]:
    for done, result in enumerate(results, start=1):
        yield result
        if on_progress is not None and (done % _CHUNK == 0 or done == count):
            on_progress(done, count)


def _generate_item(work: tuple[Callable[[S, Generator], T], S], seed: tuple[int, ...]) -> T:
    function, sources = work
    return function(sources, np.random.default_rng(seed))


_work: tuple[Callable[[Any, Any], Any], Any]
"""Function and shared argument of a worker process."""


def _initialize_worker(function: Callable[[Any, Any], Any], shared: object) -> None:
    global _work  # noqa: PLW0603 - an initializer has no other way to pass data to its process
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the workers
    cv2.setNumThreads(1)  # the other processes use the other cores
    _work = (function, shared)


def _process_item(item: object) -> Any:
    function, shared = _work
    return function(shared, item)
