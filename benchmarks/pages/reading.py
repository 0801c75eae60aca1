"""Reads drawn pages and labelled pictures as `digitrec predict` does, in one or several processes."""

import functools
import multiprocessing
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from benchmarks.pages.scores import Scored, score
from digitrec.app import composition
from digitrec.pipeline import read_files
from digitrec.recognition.reader import PageReader
from digitrec.settings import Settings
from digitrec.training.datasets import registry
from digitrec.training.datasets.image_folder import LABELS, NONE, find_labelled_pictures
from digitrec.training.synthetic import glyphs
from digitrec.training.synthetic.pages.kinds import draw_page
from digitrec.training.synthetic.pages.layouts import DrawnPage
from digitrec.training.synthetic.pages.paper import Encoded
from digitrec.training.synthetic.pages.truth import Truth, number_lines
from digitrec.training.synthetic.symbols import GlyphSources
from digitrec.types import Limits, Thresholds

_PAGES_AT_ONCE = 4
"""Pages that a process gets together."""


@dataclass(frozen=True, slots=True)
class PageTask:
    """One page to read."""

    kind: str
    """Kind of a drawn page, or name of a set of pictures."""
    number: int
    picture: Path | None = None
    """None: the page is drawn."""
    label: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class ReadPage:
    """A page and its score."""

    file: Encoded
    scored: Scored
    parameters: dict[str, object]
    seconds: float

    def to_json(self) -> dict[str, object]:
        """Return everything about the page as plain types."""
        return {**self.scored.to_json(), "parameters": self.parameters, "seconds": round(self.seconds, 4)}


@dataclass(frozen=True, slots=True)
class Options:
    """What a process needs to draw and read pages."""

    model: str | None
    data: str
    seed: int
    turns: int = 0
    """Quarters by which every page is turned, counter-clockwise."""


@dataclass(frozen=True, slots=True, eq=False)
class PageScorer:
    """Draws or opens pages, reads and scores them."""

    options: Options
    reader: PageReader
    thresholds: Thresholds
    about: dict[str, object]
    """Model and thresholds, to print."""

    @classmethod
    def open(cls, options: Options) -> Self:
        """Open the model."""
        with tempfile.TemporaryDirectory(prefix="digitrec-") as folder:
            settings = Settings.load(Path(folder), {"model": options.model})
            bundle = composition.open_model(settings)
            reader, thresholds = composition.load_page_reader(bundle), bundle.thresholds(settings.max_error)
        about = {"model": bundle.card.id, **asdict(thresholds), "max_error": settings.max_error}
        return cls(options, reader, thresholds, about)

    def read(self, task: PageTask) -> ReadPage:
        """Read a page as `digitrec predict` does, and score what was read."""
        page = self._open(task)
        start = time.perf_counter()
        content = read_files.read_bytes(page.file.content, Limits(), self.reader)
        (readings,) = read_files.decide_readings([content], self.thresholds)
        took = time.perf_counter() - start
        return ReadPage(page.file, score(task.kind, task.number, page.truth, readings), dict(page.parameters), took)

    def _open(self, task: PageTask) -> DrawnPage:
        if task.picture is None:
            sources, _ = load_sources(self.options.data)
            page = draw_page(sources, task.kind, task.number, self.options.seed)
            return replace(page, file=_turn(page.file, self.options.turns)) if self.options.turns else page
        file = Encoded(task.picture.suffix, task.picture.read_bytes())
        truth = Truth(number_lines([[task.label]]), is_digits_only=True)
        return DrawnPage(file, truth, {"file": str(task.picture)}, ())


def _turn(file: Encoded, quarters: int) -> Encoded:
    picture = np.asarray(cv2.imdecode(np.frombuffer(file.content, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)
    return Encoded(".png", bytes(cv2.imencode(".png", np.rot90(picture, quarters))[1]))


@functools.cache
def load_sources(data: str) -> tuple[GlyphSources, str]:
    """Return the digits that no training saw with the fonts of letters, and where the digits came from."""
    dataset = registry.load_dataset(data)
    split = dataset.evaluation
    sources = GlyphSources.from_digits(split.pictures, split.digits, glyphs.load_glyphs())
    return sources, f"{dataset.source}, {split.name} split"


def labelled_pictures(folder: Path, sets: Sequence[str]) -> list[PageTask]:
    """List the labelled pictures of every set in a folder, or of the sets named."""
    tasks = []
    for labels in sorted(folder.glob(f"*/{LABELS}")):
        name = labels.parent.name
        if (sets and name not in sets) or "broken" in labels.read_text(encoding="utf-8"):
            continue
        for number, picture in enumerate(find_labelled_pictures(labels.parent)):
            label = "" if picture.label == NONE else picture.label
            tasks.append(PageTask(name, number, picture.path, label))
    return tasks


def read_pages(tasks: Sequence[PageTask], scorer: PageScorer, jobs: int) -> Iterator[ReadPage]:
    """Read pages in their order, in this process or in `jobs` others."""
    if jobs == 1:
        yield from map(scorer.read, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=_start, initargs=(scorer.options,)) as pool:
        yield from pool.map(_read, tasks, chunksize=_PAGES_AT_ONCE)


_scorers: list[PageScorer] = []
"""The scorer of a process of `read_pages`."""


def _start(options: Options) -> None:
    cv2.setNumThreads(1)
    _scorers.append(PageScorer.open(options))


def _read(task: PageTask) -> ReadPage:
    return _scorers[0].read(task)
