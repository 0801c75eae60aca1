"""Examples for the digit classifier: the 28 x 28 pictures that the pipeline cuts out of synthetic pages, and fonts.

Each page is segmented classically and with the ink network. A component where the page's character was written is an
example of that character; one elsewhere is an example of `NO_DIGIT`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from digitrec.arrays import Ink, Picture
from digitrec.recognition import binarize, layout
from digitrec.recognition.classifier import NO_DIGIT
from digitrec.recognition.layout import DigitRegion
from digitrec.recognition.normalize import normalize_mnist
from digitrec.recognition.preprocess import GrayPage, Plane
from digitrec.recognition.segmenter import CROP_PX as WINDOW_PX
from digitrec.recognition.segmenter import CropWindow, Segmenter
from digitrec.training.classifier import ExtraExamples
from digitrec.training.datasets.dataset import Digits
from digitrec.training.networks import ClassifierSpec
from digitrec.training.synthetic import crops, parallel, samples
from digitrec.training.synthetic.augment import augment, augment_slightly
from digitrec.training.synthetic.glyphs import Glyphs
from digitrec.training.synthetic.parallel import ProgressCallback
from digitrec.training.synthetic.symbols import LETTERS, GlyphSources

_OF_PAGES = 15 / 32
"""Share of a batch of the classifier that is from pages."""
_OF_FONTS = 1 / 32
"""Share of a batch that is digits of fonts, and as much again their letters."""

_AS_SAMPLES = 0.25
"""Share of the pages that are drawn as `digitrec samples` does."""
_SAME_BOX = 0.5
"""A component is the drawn character if the intersection over union of their boxes is above this."""
_ELSEWHERE = 0.1
"""A component is clutter if less than this share of its ink lies where the character was drawn."""
LIKE_A_ONE = 1.7
"""Height to width from which clutter cannot be told from a one; it is no example."""
_MAX_CLUTTER = 0.1
"""Largest share of clutter among all examples."""
_INKED = 127

_Corners = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Pictures with their classes, for the digit classifier."""

    pictures: Picture
    """(n, 28, 28), 0 = paper, 255 = ink."""
    classes: Digits
    """(n,) 0..9, or `NO_DIGIT`."""

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True, slots=True, eq=False)
class ExampleSource:
    """GlyphSources that pages are drawn from, and the network that segments them."""

    sources: GlyphSources
    network: Segmenter


@dataclass(frozen=True, slots=True, eq=False)
class ExtractedExamples:
    """Examples of one page: of its character, and at most one of clutter."""

    characters: tuple[Picture, ...]
    digit: int
    """Class of all of `characters`."""
    clutter: Picture | None


def render_and_extract(
    sources: GlyphSources,
    network: Segmenter,
    pages: int,
    seed: Sequence[int],
    *,
    processes: int = 0,
    on_progress: ProgressCallback | None = None,
) -> Examples:
    """Draw pages and return the examples found on them."""
    source = ExampleSource(sources, network)
    return collect_examples(
        parallel.generate(extract_examples, source, pages, seed, processes=processes, on_progress=on_progress)
    )


def extract_examples(source: ExampleSource, rng: Generator) -> ExtractedExamples:
    """Draw one page and segment it both ways."""
    picture, written, digit = _page(source.sources, rng)
    page = GrayPage.of(picture)
    grey, plane = page.gray, binarize.estimate_ink(page)
    near = [_told_apart(layout.group_digits(plane).digits, _resized(written, plane), _corners(written, plane.shape))]
    seen = source.network.segment_zoomed(grey)
    if seen is not None:
        mask, corners = _through(_resized(written, grey), seen.window), _corners(written, grey.shape)
        near.append(_told_apart(layout.group_digits(seen.ink).digits, mask, _moved(corners, seen.window)))
    characters = [sign for sign, _ in near if sign is not None]
    clutter = [one for _, others in near for one in others]
    chosen = clutter[rng.integers(len(clutter))] if clutter else None
    return ExtractedExamples(tuple(map(_stored, characters)), digit, None if chosen is None else _stored(chosen))


def collect_examples(pages: Iterable[ExtractedExamples]) -> Examples:
    """Return all examples in order; of the clutter only the first, up to its largest share."""
    characters: list[Picture] = []
    classes: list[int] = []
    clutter: list[Picture] = []
    for page in pages:
        characters += page.characters
        classes += [page.digit] * len(page.characters)
        clutter += [] if page.clutter is None else [page.clutter]
    clutter = clutter[: int(len(characters) * _MAX_CLUTTER / (1 - _MAX_CLUTTER))]
    pictures = np.array([*characters, *clutter], np.uint8).reshape(-1, 28, 28)
    return Examples(pictures, np.array([*classes, *[NO_DIGIT] * len(clutter)], np.int64))


def _page(sources: GlyphSources, rng: Generator) -> tuple[Picture, Picture, int]:
    """Return a page, (h, w) or (h, w, 3), the ink of its character, (h, w), and its class."""
    if rng.random() < _AS_SAMPLES:
        digit = int(rng.integers(10))
        chosen = sources.pictures[rng.choice(sources.by_digit[digit])]
        return *samples.generate_page_and_ink(chosen, rng), digit
    drawn, digit = crops.generate_page(sources, rng)
    return drawn.picture, drawn.ink, digit


def _told_apart(
    found: Sequence[DigitRegion], written: Picture, corners: _Corners | None
) -> tuple[Plane | None, list[Plane]]:
    """Return the component that is the written character, if there is exactly one, and those of clutter."""
    own = [one for one in found if corners is not None and _overlap(one, corners) > _SAME_BOX]
    # Found ink is a little wider than what was written, and may have moved by a pixel.
    near = cv2.dilate((written > _INKED // 2).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    others = [one for one in found if one.box.height < LIKE_A_ONE * one.box.width]
    elsewhere = [one.ink for one in others if _share_on(one, near) < _ELSEWHERE]
    return (own[0].ink if len(own) == 1 else None), elsewhere


def _overlap(one: DigitRegion, corners: _Corners) -> float:
    """Return the intersection over union of two boxes."""
    box = one.box
    across = min(box.x + box.width, corners[2]) - max(box.x, corners[0])
    down = min(box.y + box.height, corners[3]) - max(box.y, corners[1])
    both = max(across, 0.0) * max(down, 0.0)
    either = box.width * box.height + (corners[2] - corners[0]) * (corners[3] - corners[1]) - both
    return both / max(either, 1e-9)


def _share_on(one: DigitRegion, near: NDArray[np.bool_]) -> float:
    """Return the share of a component's ink that lies on a mask of the same plane."""
    box = one.box
    on = one.ink[near[box.y : box.y + box.height, box.x : box.x + box.width]]
    return float(on.sum()) / max(float(one.ink.sum()), 1e-9)


def _corners(written: Picture, shape: tuple[int, ...]) -> _Corners | None:
    """Return the box of the written ink, in pixels of a plane of this shape; None if there is no ink."""
    rows, columns = (np.flatnonzero((written > _INKED).any(axis=axis)) for axis in (1, 0))
    if rows.size == 0:
        return None
    down, across = shape[0] / written.shape[0], shape[1] / written.shape[1]
    return columns[0] * across, rows[0] * down, (columns[-1] + 1) * across, (rows[-1] + 1) * down


def _moved(corners: _Corners | None, window: CropWindow) -> _Corners | None:
    """Return a box in pixels of a window; it may reach beyond the window."""
    if corners is None:
        return None
    scale = WINDOW_PX / window.side
    left, top, right, bottom = corners
    return (
        (left - window.left) * scale,
        (top - window.top) * scale,
        (right - window.left) * scale,
        (bottom - window.top) * scale,
    )


def _resized(written: Picture, plane: Plane) -> Picture:
    """Return the written ink at a plane's size."""
    if written.shape == plane.shape:
        return written
    height, width = plane.shape
    return np.asarray(cv2.resize(written, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _through(written: Picture, window: CropWindow) -> Picture:
    """Return the written ink inside a window, (64, 64)."""
    scale = WINDOW_PX / window.side
    moved = np.array([[scale, 0, -window.left * scale], [0, scale, -window.top * scale]])
    return np.asarray(cv2.warpAffine(written, moved, (WINDOW_PX, WINDOW_PX), flags=cv2.INTER_LINEAR), np.uint8)


def _stored(digit: Plane) -> Picture:
    return np.asarray(np.rint(normalize_mnist(digit) * 255), np.uint8)


def extra_examples(network: ClassifierSpec, seen: Examples, fonts: Glyphs) -> Sequence[ExtraExamples]:
    """Return the examples that are mixed into every batch besides the data set: from pages, and from fonts."""
    of_fonts = round(network.batch * _OF_FONTS)
    pictures, digits = fonts.digits()
    letters = fonts.of(LETTERS)
    found = [
        ExtraExamples(seen.pictures, seen.classes, round(network.batch * _OF_PAGES), augment_examples),
        ExtraExamples(_normalised(pictures), digits, of_fonts, augment),
        ExtraExamples(_normalised(letters), np.full(len(letters), NO_DIGIT, np.int64), of_fonts, augment),
    ]
    return [examples for examples in found if len(examples.classes)]


def augment_examples(pictures: Picture, _: Digits, rng: Generator) -> Ink:
    """Augment slightly: pages vary enough already."""
    return augment_slightly(pictures, rng)


def _normalised(glyphs: Picture) -> Picture:
    """Normalize glyphs, (n, 48, 48) -> (n, 28, 28), as pages are."""
    ink = [normalize_mnist(glyph.astype(np.float32) / np.float32(255)) for glyph in glyphs]
    return np.asarray(np.rint(np.stack(ink) * 255), np.uint8)
