"""Examples for the digit classifier: the 28 x 28 pictures that the pipeline cuts out of synthetic pages, and fonts.

Each page is segmented classically and with the segmentation network. A component where the page's character was written
is an example of that character; one elsewhere is an example of `NO_DIGIT`.
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

MAX_CLUTTER_RATIO = 1.7
"""Height to width from which clutter cannot be distinguished from a one; it is no example."""
_INK_LEVEL = 127

_Corners = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True, slots=True)
class ExampleParams:
    """Mix of a batch, and the matching of components; set by hand (results: docs/accuracy.md)."""

    page_share: float = 15 / 32  # share of a batch that is from pages
    font_share: float = 1 / 32  # share of a batch that is digits of fonts; letters have the same share
    sample_share: float = 0.25  # share of the pages that are generated like those of `digitrec samples`
    min_iou: float = 0.5
    """A component is the written character if the intersection over union of their boxes is above this."""
    max_clutter_overlap: float = 0.1
    """A component is clutter if less than this share of its ink is where the character was written."""
    max_clutter: float = 0.1  # largest share of clutter among all examples


PARAMS = ExampleParams()


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
    """Sources that pages are generated from, and the network that segments them."""

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
    on_progress: ProgressCallback | None = None,
) -> Examples:
    """Generate pages and return the examples on them."""
    source = ExampleSource(sources, network)
    return collect_examples(parallel.generate(extract_examples, source, pages, seed, on_progress=on_progress))


def extract_examples(source: ExampleSource, rng: Generator) -> ExtractedExamples:
    """Generate one page and segment it both ways."""
    picture, written, digit = _generate_page(source.sources, rng)
    page = GrayPage.of(picture)
    gray, plane = page.gray, binarize.estimate_ink(page)
    components = layout.group_digits(plane).digits
    matches = [_match_components(components, _resize(written, plane), _find_box(written, plane.shape))]
    segmented = source.network.segment_zoomed(gray)
    if segmented is not None:
        window = segmented.window
        mask = _crop_to_window(_resize(written, gray), window)
        box = _to_window(_find_box(written, gray.shape), window)
        matches.append(_match_components(layout.group_digits(segmented.ink).digits, mask, box))
    characters = tuple(_normalize(character) for character, _ in matches if character is not None)
    clutter = [component for _, components in matches for component in components]
    chosen = _normalize(clutter[rng.integers(len(clutter))]) if clutter else None
    return ExtractedExamples(characters, digit, chosen)


def collect_examples(pages: Iterable[ExtractedExamples]) -> Examples:
    """Return all examples in order; of the clutter only the first, up to its largest share."""
    characters: list[Picture] = []
    classes: list[int] = []
    clutter: list[Picture] = []
    for page in pages:
        characters += page.characters
        classes += [page.digit] * len(page.characters)
        clutter += [] if page.clutter is None else [page.clutter]
    clutter = clutter[: int(len(characters) * PARAMS.max_clutter / (1 - PARAMS.max_clutter))]
    pictures = np.array([*characters, *clutter], np.uint8).reshape(-1, 28, 28)
    return Examples(pictures, np.array([*classes, *[NO_DIGIT] * len(clutter)], np.int64))


def _generate_page(sources: GlyphSources, rng: Generator) -> tuple[Picture, Picture, int]:
    """Return a page, (h, w) or (h, w, 3), the ink of its character, (h, w), and its class."""
    if rng.random() < PARAMS.sample_share:
        digit = int(rng.integers(10))
        picture = sources.pictures[rng.choice(sources.by_digit[digit])]
        return *samples.generate_page_and_ink(picture, rng), digit
    page, digit = crops.generate_page(sources, rng)
    return page.picture, page.ink, digit


def _match_components(
    components: Sequence[DigitRegion], written: Picture, box: _Corners | None
) -> tuple[Plane | None, list[Plane]]:
    """Return the component that is the written character, if there is exactly one, and those of clutter."""
    matches = [component for component in components if box is not None and _iou(component, box) > PARAMS.min_iou]
    # Segmented ink is a little wider than the written one, and may have moved by a pixel.
    mask = cv2.dilate((written > _INK_LEVEL // 2).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    clutter = [
        component.ink
        for component in components
        if component.box.height < MAX_CLUTTER_RATIO * component.box.width
        and _overlap_share(component, mask) < PARAMS.max_clutter_overlap
    ]
    return (matches[0].ink if len(matches) == 1 else None), clutter


def _iou(component: DigitRegion, other: _Corners) -> float:
    """Return the intersection over union of two boxes."""
    box = component.box
    width = min(box.x + box.width, other[2]) - max(box.x, other[0])
    height = min(box.y + box.height, other[3]) - max(box.y, other[1])
    intersection = max(width, 0.0) * max(height, 0.0)
    union = box.width * box.height + (other[2] - other[0]) * (other[3] - other[1]) - intersection
    return intersection / max(union, 1e-9)


def _overlap_share(component: DigitRegion, mask: NDArray[np.bool_]) -> float:
    """Return the share of a component's ink that is on a mask of the same plane."""
    box = component.box
    covered = component.ink[mask[box.y : box.y + box.height, box.x : box.x + box.width]]
    return float(covered.sum()) / max(float(component.ink.sum()), 1e-9)


def _find_box(written: Picture, shape: tuple[int, ...]) -> _Corners | None:
    """Return the box of the written ink, in pixels of a plane of this shape; None if there is no ink."""
    rows, columns = (np.flatnonzero((written > _INK_LEVEL).any(axis=axis)) for axis in (1, 0))
    if rows.size == 0:
        return None
    scale_y, scale_x = shape[0] / written.shape[0], shape[1] / written.shape[1]
    return columns[0] * scale_x, rows[0] * scale_y, (columns[-1] + 1) * scale_x, (rows[-1] + 1) * scale_y


def _to_window(box: _Corners | None, window: CropWindow) -> _Corners | None:
    """Return a box in pixels of a window; it may reach beyond the window."""
    if box is None:
        return None
    scale = WINDOW_PX / window.side
    left, top, right, bottom = box
    return (
        (left - window.left) * scale,
        (top - window.top) * scale,
        (right - window.left) * scale,
        (bottom - window.top) * scale,
    )


def _resize(written: Picture, plane: Plane) -> Picture:
    """Return the written ink at a plane's size."""
    if written.shape == plane.shape:
        return written
    height, width = plane.shape
    return np.asarray(cv2.resize(written, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _crop_to_window(written: Picture, window: CropWindow) -> Picture:
    """Return the written ink inside a window, (64, 64)."""
    scale = WINDOW_PX / window.side
    matrix = np.array([[scale, 0, -window.left * scale], [0, scale, -window.top * scale]])
    return np.asarray(cv2.warpAffine(written, matrix, (WINDOW_PX, WINDOW_PX), flags=cv2.INTER_LINEAR), np.uint8)


def to_levels(ink: Plane) -> Picture:
    """Return ink, 0.0..1.0, as levels 0..255."""
    return np.asarray(np.rint(ink * 255), np.uint8)


def _normalize(component: Plane) -> Picture:
    return to_levels(normalize_mnist(component))


def extra_examples(spec: ClassifierSpec, examples: Examples, fonts: Glyphs) -> Sequence[ExtraExamples]:
    """Return the examples that are mixed into every batch besides the data set: from pages, and from fonts."""
    font_count = round(spec.batch * PARAMS.font_share)
    digit_glyphs, digits = fonts.digits()
    letters = fonts.of(LETTERS)
    extra = [
        ExtraExamples(examples.pictures, examples.classes, round(spec.batch * PARAMS.page_share), augment_examples),
        ExtraExamples(_normalize_glyphs(digit_glyphs), digits, font_count, augment),
        ExtraExamples(_normalize_glyphs(letters), np.full(len(letters), NO_DIGIT, np.int64), font_count, augment),
    ]
    return [group for group in extra if len(group.classes)]


def augment_examples(pictures: Picture, _: Digits, rng: Generator) -> Ink:
    """Augment slightly: pages vary enough already."""
    return augment_slightly(pictures, rng)


def _normalize_glyphs(glyphs: Picture) -> Picture:
    """Normalize glyphs, (n, 48, 48) -> (n, 28, 28), as pages are."""
    return to_levels(np.stack([normalize_mnist(glyph.astype(np.float32) / np.float32(255)) for glyph in glyphs]))
