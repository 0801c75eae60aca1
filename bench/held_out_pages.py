"""Pages drawn from digits that no training saw, one page a digit, and what a model makes of them."""

import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from digitrec import app, reading, samples
from digitrec.classifiers.bundle import Bundle
from digitrec.recognition.page_reader import PageReader
from digitrec.records import Limits
from digitrec.training import calibrate, glyphs, scenes
from digitrec.training.arrays import Split
from digitrec.training.signs import JUNK, Sources

SCAN, SCENE = "drawn scans", "drawn pages with clutter"
_CHUNK = 20
_SCANS_SEED = 50_000_000
"""Far from any that scans for training, tests or `bench.accuracy` are drawn with."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What was drawn, and the verdicts on it; see `calibrate.verdicts`."""

    kinds: NDArray[np.str_]
    """(n,), SCAN or SCENE."""
    has_digit: NDArray[np.bool_]
    """(n,)"""
    confidence: NDArray[np.float64]
    """(n,)"""
    is_right: NDArray[np.bool_]
    """(n,)"""


@dataclass(frozen=True, slots=True)
class _Task:
    kind: str
    place: int
    """Of the held-out digit; of junk, the number of the page."""
    is_junk: bool = False


def digits_needed(pages: int, junk: float) -> int:
    """How many held-out digits so many pages take.

    >>> digits_needed(5000, 0.2)
    4500
    """
    return len([task for task in _tasks(pages, junk) if not task.is_junk])


def judge(model: Path, held_out: Split, pages: int, seed: int, junk: float) -> Judged:
    """Draw this many pages, half of them with clutter, and read them with a model, in processes.

    Args:
        model: its folder.
        held_out: the digits to draw from, at least `digits_needed(pages, junk)`; each is on one page, though pieces of
            others may stick out at that page's edges.
        pages: how many.
        seed: of all that is drawn.
        junk: share of the pages with clutter that show no digit, 0..1.
    """
    tasks = _tasks(pages, junk)
    context = multiprocessing.get_context("spawn")
    with context.Pool(len(os.sched_getaffinity(0)), _begin, (model, held_out, seed)) as pool:
        found = pool.map(_verdict, tasks, _CHUNK)
    return Judged(
        np.array([task.kind for task in tasks]),
        np.array([not task.is_junk for task in tasks]),
        np.array([confidence for confidence, _ in found], np.float64),
        np.array([is_right for _, is_right in found], np.bool_),
    )


def _tasks(pages: int, junk: float) -> Sequence[_Task]:
    scans = pages // 2
    without = round((pages - scans) * junk)
    digits = pages - without
    return (
        *(_Task(SCAN, place) for place in range(scans)),
        *(_Task(SCENE, place) for place in range(scans, digits)),
        *(_Task(SCENE, digits + number, is_junk=True) for number in range(without)),
    )


_desk: tuple[PageReader, Split, Sources, int] | None = None
"""In a process that draws and reads: what it does that with."""


def _begin(model: Path, held_out: Split, seed: int) -> None:
    global _desk  # noqa: PLW0603 - the one way an initializer can leave something in its process
    cv2.setNumThreads(1)
    everything = Sources.of(held_out.pictures, held_out.digits, glyphs.load())
    # Digits of fonts were learned from: here all are held-out ones.
    signs = {sign: places for sign, places in everything.of_sign.items() if not sign.isdigit()}
    _desk = (app.page_reader(Bundle.open(model)), held_out, replace(everything, of_sign=signs), seed)


def _verdict(task: _Task) -> tuple[float, bool]:
    if _desk is None:
        raise RuntimeError("a process was not set up")
    reader, held_out, sources, seed = _desk
    content, label = _drawn(task, held_out, sources, seed)
    (confidence,), (is_right,) = calibrate.verdicts([(reading.interpret(content, Limits(), reader), label)])
    return float(confidence), bool(is_right)


def _drawn(task: _Task, held_out: Split, sources: Sources, seed: int) -> tuple[bytes, str]:
    """The bytes of a page's file, and its label."""
    if task.kind == SCAN:
        one = held_out.take(np.array([task.place]))
        ((_, content, digit),) = samples.draw(one.pictures, one.digits, 1, _SCANS_SEED + seed * 100_000 + task.place)
        return content, str(digit)
    digit = JUNK if task.is_junk else int(held_out.digits[task.place])
    if not task.is_junk:
        sources = replace(sources, of_digit={**sources.of_digit, digit: np.array([task.place])})
    crop, _ = scenes.page(sources, np.random.default_rng((_SCANS_SEED, seed, task.place)), digit)
    png: bytes = cv2.imencode(".png", crop.picture)[1].tobytes()
    return png, "none" if task.is_junk else str(digit)
