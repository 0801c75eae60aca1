"""Extract training examples from corrected pages.

Each page goes through the page path of recognition. The digit classifier gets the crop of each character, the sequence
recognizer the strip of each number. The fast path adds nothing, as it shows the same crops at a lower resolution.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digitrec.arrays import Picture
from digitrec.errors import RejectedImage
from digitrec.images import decode
from digitrec.images.decode import DecodedPage
from digitrec.recognition.classifier import NO_DIGIT
from digitrec.recognition.geometry import Rect, crop_rect, line_rect_around
from digitrec.recognition.number_reader import PARAMS, ReadNumber, crop_character, read_strip
from digitrec.recognition.page_path import PageTrace
from digitrec.recognition.preprocess import Plane, local_normalize
from digitrec.recognition.reader import PageReader
from digitrec.recognition.sequence_recognizer import FRAME_PX, scale_strip
from digitrec.recognition.signs import SMALL_SIGNS
from digitrec.recognition.text_lines import TextNumber
from digitrec.recognition.zoom import zoom
from digitrec.training.datasets.image_folder import NONE
from digitrec.training.pipeline_examples import MAX_CLUTTER_RATIO, Examples, to_levels
from digitrec.training.synthetic import parallel
from digitrec.training.synthetic.generate import LineExamples, quantize
from digitrec.training.synthetic.parallel import ProgressCallback
from digitrec.training.synthetic.symbols import NON_DIGIT, symbol_class
from digitrec.types import Limits

_MAX_LINE_WIDTH_PX = 384
"""Widest line crop that the sequence recognizer is trained on."""
_MAX_DIGITS = 12
"""Longest number that the sequence recognizer is trained on."""


@dataclass(frozen=True, slots=True)
class LabelledPage:
    """A page and its text according to a reviewer."""

    path: Path
    sha256: str
    page: int
    """From 1."""
    text: str
    """The numbers in reading order, one space between them; or `none`."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledCrops:
    """Crops of one page, as the networks see them, with their labels."""

    crops: tuple[Picture, ...] = ()
    """One character each, (28, 28), 0 = paper, 255 = ink."""
    classes: tuple[int, ...] = ()
    """Of `crops`: 0..9 or `NO_DIGIT`."""
    lines: tuple[Picture, ...] = ()
    """Strips of numbers, (40, w), quantized."""
    texts: tuple[tuple[int, ...], ...] = ()
    """Of `lines`: digits, or the symbol of a non-digit."""
    fits: bool = True
    """True if a number has as many characters as its label has digits; the characters of others are left out."""


@dataclass(frozen=True, slots=True)
class _ExtractionContext:
    reader: PageReader
    limits: Limits


@dataclass(frozen=True, slots=True)
class _LabelledFile:
    path: Path
    pages: tuple[LabelledPage, ...]


def extract_labelled_crops(
    reader: PageReader,
    pages: Sequence[LabelledPage],
    limits: Limits,
    *,
    processes: int = 0,
    on_progress: ProgressCallback | None = None,
) -> list[LabelledCrops]:
    """Return the crops of each page, in order.

    Args:
        reader: reader with the networks of the base model.
        pages: corrected pages; their files exist.
        limits: limits on pictures.
        processes: number of worker processes; 0: one per core.
        on_progress: called with the number of finished files.

    Raises:
        OSError: a file cannot be read.
    """
    by_path: dict[Path, list[LabelledPage]] = {}
    for page in pages:
        by_path.setdefault(page.path, []).append(page)
    files = [_LabelledFile(path, tuple(file_pages)) for path, file_pages in by_path.items()]
    context = _ExtractionContext(reader, limits)
    results = parallel.map_items(_extract_file, context, files, processes=processes, on_progress=on_progress)
    crops = {
        page: page_crops
        for file, file_crops in zip(files, results, strict=True)
        for page, page_crops in zip(file.pages, file_crops, strict=True)
    }
    return [crops[page] for page in pages]


def digit_examples(pages: Iterable[LabelledCrops]) -> Examples:
    """Return the examples for the digit classifier."""
    pairs = [pair for page in pages for pair in zip(page.crops, page.classes, strict=True)]
    pictures = np.array([crop for crop, _ in pairs], np.uint8).reshape(-1, 28, 28)
    return Examples(pictures, np.array([digit for _, digit in pairs], np.int64))


def line_examples(pages: Iterable[LabelledCrops]) -> LineExamples:
    """Return the examples for the sequence recognizer."""
    pairs = [pair for page in pages for pair in zip(page.lines, page.texts, strict=True)]
    return LineExamples([line for line, _ in pairs], [text for _, text in pairs])


def _extract_file(context: _ExtractionContext, file: _LabelledFile) -> list[LabelledCrops]:
    labels = {page.page: page.text for page in file.pages}
    crops: dict[int, LabelledCrops] = {}
    try:
        name, sheets = decode.decode_pages(file.path.read_bytes(), context.limits)
        for sheet in sheets:
            if sheet.number in labels:
                crops[sheet.number] = _extract_page(context.reader, name, sheet, labels[sheet.number])
    except RejectedImage:
        pass  # the service cannot read these pages, either
    return [crops.get(page.page, LabelledCrops(fits=False)) for page in file.pages]


@dataclass(frozen=True, slots=True, eq=False)
class _NumberCrops:
    """Crops of one number of a page."""

    inks: tuple[Plane, ...]
    """Of its characters, (28, 28), 0.0 = paper, 1.0 = ink."""
    rects: tuple[Rect, ...]
    """Of `inks`, in pixels of the page ink."""
    strips: tuple[Plane, ...]
    """(h, w) gray; each holds the whole number and nothing else."""
    signs: int = 0
    """Number of small components in the strips that may be signs."""


def _extract_page(reader: PageReader, name: str, sheet: DecodedPage, text: str) -> LabelledCrops:
    steps = reader.read_without_fast_path(name, sheet).page_path
    if steps is None:
        return LabelledCrops(fits=False)
    numbers = [
        _crop_number(number, read, steps, reader) for number, read in zip(steps.layout, steps.numbers, strict=True)
    ]
    if text == NONE:
        return _label_non_digits([*numbers, *_crop_segmented(steps, reader, numbers)])
    labels = text.split()
    if len(text) == 1 and len(numbers) == 1:
        numbers += _crop_segmented(steps, reader, numbers)
        labels *= len(numbers)  # both are crops of the same character
    return _label_digits(numbers, labels)


def _crop_number(number: TextNumber, read: ReadNumber, steps: PageTrace, reader: PageReader) -> _NumberCrops:
    """Crop a number as the models see it: its characters for the classifier, its strip for the recognizer."""
    if not number.characters:  # found by the segmentation network
        return _NumberCrops(tuple(read.ink), read.rects, ())
    inks = tuple(crop_character(character, steps.ink, steps.classed) for character in number.characters)
    strips: tuple[Plane, ...] = ()
    if reader.models is not None and abs(number.slope) <= PARAMS.slant:
        strip = read_strip(number, steps.ink, reader.models.recognizer).strip
        strips = (crop_rect(steps.ink.gray, strip),)
    return _NumberCrops(inks, tuple(character.rect for character in number.characters), strips, len(number.signs))


def _crop_segmented(steps: PageTrace, reader: PageReader, numbers: Sequence[_NumberCrops]) -> list[_NumberCrops]:
    """Return the only character of a page as the segmentation network cut it out, if that differs."""
    if len(numbers) != 1 or len(numbers[0].inks) != 1 or reader.models is None:
        return []
    gray = steps.ink.unpainted
    zoomed = steps.zoomed or zoom(gray, reader.classifier, reader.models.segmenter)
    if zoomed is None or zoomed.rect is None or zoomed.prediction is None:
        return []
    ink = np.asarray(zoomed.prediction.evidence, np.float32)
    inks = () if np.array_equal(ink, numbers[0].inks[0]) else (ink,)
    return [_NumberCrops(inks, (zoomed.rect,) * len(inks), (crop_rect(gray, line_rect_around(zoomed.rect, gray)),))]


def _label_digits(numbers: Sequence[_NumberCrops], labels: Sequence[str]) -> LabelledCrops:
    """Label the characters of each number that has as many as its label has digits, and its strip if it has its signs.

    If the page has another number of numbers than labels, its characters are labelled in order if they are as many as
    all digits.
    """
    if len(labels) != len(numbers):
        inks = tuple(ink for number in numbers for ink in number.inks)
        numbers, labels = [_NumberCrops(inks, (), ())], ["".join(labels)]
    pairs: list[tuple[Plane, int]] = []
    lines: list[tuple[Picture, tuple[int, ...]]] = []
    for number, label in zip(numbers, labels, strict=True):
        digits = tuple(int(character) for character in label if character.isdigit())
        if len(number.inks) == len(digits):
            pairs += zip(number.inks, digits, strict=True)
        if sum(character in SMALL_SIGNS for character in label) == number.signs:
            lines += _label_lines(number, tuple(map(symbol_class, label)))
    return _join_crops(pairs, lines, fits=bool(pairs))


def _label_non_digits(numbers: Sequence[_NumberCrops]) -> LabelledCrops:
    """Label every crop as no digit, except those that may be mistaken for a one."""
    pairs = [
        (ink, NO_DIGIT)
        for number in numbers
        for ink, rect in zip(number.inks, number.rects, strict=True)
        if rect.height < MAX_CLUTTER_RATIO * rect.width
    ]
    is_single = all(len(number.inks) < 2 for number in numbers)
    lines = [line for number in numbers if is_single for line in _label_lines(number, (NON_DIGIT,))]
    return _join_crops(pairs, lines, fits=True)


def _label_lines(number: _NumberCrops, text: tuple[int, ...]) -> list[tuple[Picture, tuple[int, ...]]]:
    """Return the strips of a number as the sequence recognizer sees them, with their text."""
    if len(text) > _MAX_DIGITS:
        return []
    strips = (_resize_line(strip, len(text)) for strip in number.strips)
    return [(strip, text) for strip in strips if strip is not None]


def _join_crops(
    pairs: Sequence[tuple[Plane, int]], lines: Sequence[tuple[Picture, tuple[int, ...]]], *, fits: bool
) -> LabelledCrops:
    return LabelledCrops(
        crops=tuple(to_levels(ink) for ink, _ in pairs),
        classes=tuple(digit for _, digit in pairs),
        lines=tuple(strip for strip, _ in lines),
        texts=tuple(text for _, text in lines),
        fits=fits,
    )


def _resize_line(gray: Plane, count: int) -> Picture | None:
    """Return a line crop as the sequence recognizer sees it; None if it is too wide, or too narrow for its symbols."""
    line = scale_strip(gray)
    is_readable = 2 * count * FRAME_PX <= line.shape[1] <= _MAX_LINE_WIDTH_PX
    return quantize(local_normalize(line)) if is_readable else None
