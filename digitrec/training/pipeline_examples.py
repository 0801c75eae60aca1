"""Examples for the digit classifier: the 28 x 28 pictures that the pipeline cuts out of synthetic pages, and fonts.

The characters of each page are found by the page path and by the segmentation network. One where the page's character
was written is an example of that character; one elsewhere is an example of `NO_DIGIT`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from digitrec.arrays import Ink, Picture
from digitrec.recognition import layout
from digitrec.recognition.classifier import NO_DIGIT
from digitrec.recognition.normalize import normalize_mnist
from digitrec.recognition.page_ink import find_page_ink
from digitrec.recognition.preprocess import Plane
from digitrec.recognition.segmenter import CROP_PX as WINDOW_PX
from digitrec.recognition.segmenter import CropWindow, Segmenter
from digitrec.training.characters import CroppedCharacter, crop_page
from digitrec.training.classifier import ExtraExamples
from digitrec.training.datasets.dataset import Digits
from digitrec.training.networks import ClassifierSpec
from digitrec.training.synthetic import crops, parallel, samples
from digitrec.training.synthetic.alternate_forms import alternate_form
from digitrec.training.synthetic.augment import augment, augment_slightly
from digitrec.training.synthetic.glyphs import Glyphs
from digitrec.training.synthetic.parallel import ProgressCallback
from digitrec.training.synthetic.symbols import LETTERS, GlyphSources
from digitrec.types import Box

MAX_CLUTTER_RATIO = 1.7
"""Height to width from which clutter cannot be distinguished from a one; it is no example."""
_INK_LEVEL = 127

_Corners = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True, slots=True)
class ExampleParams:
    """Mix of a batch, and the matching of characters; set by hand (results: docs/dev/accuracy.md)."""

    page_share: float = 15 / 32  # share of a batch that is from pages
    font_share: float = 1 / 32  # share of a batch that is digits of fonts; letters and rare forms have the same share
    forms: int = 400  # pictures of each digit in forms that are rare in MNIST
    sample_share: float = 0.25  # share of the pages that are generated like those of `digitrec samples`
    min_iou: float = 0.5
    """A character that was found is the written one if the intersection over union of their boxes is above this."""
    max_clutter_overlap: float = 0.1
    """It is clutter if less than this share of the ink in its box is where the character was written."""
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

    def __add__(self, other: "Examples") -> "Examples":
        return Examples(np.concatenate([self.pictures, other.pictures]), np.concatenate([self.classes, other.classes]))


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
    """Generate one page and find its characters both ways."""
    picture, written, digit = _generate_page(source.sources, rng)
    page = find_page_ink(picture)
    written = _resize(written, page.ink)
    box = _find_box(written)
    matches = [_match_characters(crop_page(page), page.ink, written, box)]
    segmented = source.network.segment_zoomed(page.unpainted)
    if segmented is not None:
        candidates = [
            CroppedCharacter(region.box, normalize_mnist(region.ink))
            for region in layout.group_digits(segmented.ink).digits
        ]
        mask = _crop_to_window(written, segmented.window)
        matches.append(_match_characters(candidates, segmented.ink, mask, _to_window(box, segmented.window)))
    characters = tuple(to_levels(character) for character, _ in matches if character is not None)
    clutter = [ink for _, inks in matches for ink in inks]
    chosen = to_levels(clutter[rng.integers(len(clutter))]) if clutter else None
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


def _match_characters(
    candidates: Sequence[CroppedCharacter], ink: Plane, written: Picture, box: _Corners | None
) -> tuple[Plane | None, list[Plane]]:
    """Return the crop of the written character, if there is exactly one, and the crops of clutter.

    Args:
        candidates: what may be characters.
        ink: ink of the page, (h, w), 0.0 = paper, 1.0 = ink.
        written: ink that was written, (h, w), 0 = paper, 255 = ink.
        box: box of `written`; None if there is no ink.
    """
    matches = [character for character in candidates if box is not None and _iou(character.box, box) > PARAMS.min_iou]
    # Segmented ink is a little wider than the written one, and may have moved by a pixel.
    mask = cv2.dilate((written > _INK_LEVEL // 2).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    clutter = [
        character.ink
        for character in candidates
        if character.box.height < MAX_CLUTTER_RATIO * character.box.width
        and _overlap_share(character.box, ink, mask) < PARAMS.max_clutter_overlap
    ]
    return (matches[0].ink if len(matches) == 1 else None), clutter


def _iou(box: Box, other: _Corners) -> float:
    """Return the intersection over union of two boxes."""
    width = min(box.x + box.width, other[2]) - max(box.x, other[0])
    height = min(box.y + box.height, other[3]) - max(box.y, other[1])
    intersection = max(width, 0.0) * max(height, 0.0)
    union = box.width * box.height + (other[2] - other[0]) * (other[3] - other[1]) - intersection
    return intersection / max(union, 1e-9)


def _overlap_share(box: Box, ink: Plane, mask: NDArray[np.bool_]) -> float:
    """Return the share of the ink in a box that is on a mask of the same plane."""
    window = np.s_[box.y : box.y + box.height, box.x : box.x + box.width]
    return float(ink[window][mask[window]].sum()) / max(float(ink[window].sum()), 1e-9)


def _find_box(written: Picture) -> _Corners | None:
    """Return the box of the written ink; None if there is no ink."""
    rows, columns = (np.flatnonzero((written > _INK_LEVEL).any(axis=axis)) for axis in (1, 0))
    if rows.size == 0:
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


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


def extra_examples(spec: ClassifierSpec, examples: Examples, fonts: Glyphs) -> Sequence[ExtraExamples]:
    """Return the examples mixed into every batch besides the data set: from pages, from fonts, and rare forms."""
    font_count = round(spec.batch * PARAMS.font_share)
    digit_glyphs, digits = fonts.digits()
    letters, (forms, form_digits) = fonts.of(LETTERS), _draw_rare_forms()
    extra = [
        ExtraExamples(examples.pictures, examples.classes, round(spec.batch * PARAMS.page_share), augment_examples),
        ExtraExamples(_normalize_glyphs(digit_glyphs), digits, font_count, augment),
        ExtraExamples(_normalize_glyphs(letters), np.full(len(letters), NO_DIGIT, np.int64), font_count, augment),
        ExtraExamples(_normalize_glyphs(forms), form_digits, font_count, augment),
    ]
    return [group for group in extra if len(group.classes)]


def _draw_rare_forms() -> tuple[Picture, Digits]:
    """Draw digits in forms that are rare in MNIST: (n, 28, 28), and the digit of each, (n,)."""
    rng, digits = np.random.default_rng(0), np.repeat(np.arange(10), PARAMS.forms)
    return np.stack([alternate_form(int(digit), rng) for digit in digits]), digits


def augment_examples(pictures: Picture, _: Digits, rng: Generator) -> Ink:
    """Augment slightly: pages vary enough already."""
    return augment_slightly(pictures, rng)


def _normalize_glyphs(glyphs: Picture) -> Picture:
    """Normalize square glyphs to (n, 28, 28), as pages are."""
    return to_levels(np.stack([normalize_mnist(glyph.astype(np.float32) / np.float32(255)) for glyph in glyphs]))
