"""Extract training examples from corrected pages.

Each page goes through the full path of recognition. The digit classifier gets the crop of each character, the sequence
recognizer the text lines. The fast path adds nothing, as it shows the same crops at a lower resolution.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from digitrec.arrays import PageResult, Picture
from digitrec.errors import RejectedImage
from digitrec.images import decode
from digitrec.images.decode import DecodedPage
from digitrec.recognition.classifier import NO_DIGIT
from digitrec.recognition.full_path import FullPathResult, run_full_path
from digitrec.recognition.geometry import Rect, crop_rect
from digitrec.recognition.preprocess import Plane, local_normalize
from digitrec.recognition.reader import PageReader
from digitrec.recognition.sequence_recognizer import FRAME_PX, LINE_HEIGHT_PX
from digitrec.recognition.trace import RecognitionTrace
from digitrec.training.datasets.image_folder import NONE
from digitrec.training.pipeline_examples import MAX_CLUTTER_RATIO, Examples, to_levels
from digitrec.training.synthetic import parallel
from digitrec.training.synthetic.generate import LineExamples, pad_to_stride, quantize
from digitrec.training.synthetic.parallel import ProgressCallback
from digitrec.training.synthetic.symbols import NON_DIGIT
from digitrec.types import Limits

_MAX_LINE_WIDTH_PX = 192
"""Widest line crop that the sequence recognizer is trained on."""
_MAX_DIGITS = 7
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
    """Crops of the text line, (40, w), quantized."""
    text: tuple[int, ...] = ()
    """Text of each of `lines`."""
    fits: bool = True
    """True if the number of characters matches the label; otherwise the crops have no labels."""


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
    pairs = [(line, page.text) for page in pages for line in page.lines]
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


def _extract_page(reader: PageReader, name: str, sheet: DecodedPage, text: str) -> LabelledCrops:
    steps = reader.read_full(name, sheet)
    if steps.decoded is None:
        return LabelledCrops(fits=False)
    result = None
    if reader.models is not None:  # run all models, even if the first ones are confident
        gray, plane = steps.decoded.gray, steps.decoded.plane
        result = run_full_path(steps.initial, gray, plane, reader.classifier, reader.models, use_all_models=True)
    return _label_non_digits(steps, result) if text == NONE else _label_digits(steps, result, text)


def _label_digits(steps: RecognitionTrace, result: FullPathResult | None, text: str) -> LabelledCrops:
    digits = tuple(int(character) for character in text if character.isdigit())
    has_digits_only = len(digits) == len(text)
    groups = [steps.initial.ink] if len(steps.initial.boxes) == len(digits) else []
    if has_digits_only and len(digits) == 1:
        groups += [plane[None] for plane in _segmenter_crops(steps.initial, result)]
    crops = tuple(to_levels(ink) for group in groups for ink in group)
    # The sequence recognizer knows neither signs nor several numbers in a line.
    lines = _line_crops(steps, result, len(digits)) if has_digits_only else ()
    return LabelledCrops(crops, digits * len(groups), lines, digits, fits=bool(groups))


def _label_non_digits(steps: RecognitionTrace, result: FullPathResult | None) -> LabelledCrops:
    """Label every crop as no digit, except those that may be mistaken for a one."""
    boxes = steps.initial.boxes
    inks = [
        ink for ink, box in zip(steps.initial.ink, boxes, strict=True) if box.height < MAX_CLUTTER_RATIO * box.width
    ]
    crops = tuple(to_levels(ink) for ink in (*inks, *_segmenter_crops(steps.initial, result)))
    lines = _line_crops(steps, result, 1) if len(boxes) == 1 else ()
    return LabelledCrops(crops, (NO_DIGIT,) * len(crops), lines, (NON_DIGIT,))


def _segmenter_crops(cheap: PageResult, result: FullPathResult | None) -> list[Plane]:
    """Return the character as the segmentation network cut it out, if it did."""
    if result is None:
        return []
    planes = [prediction.evidence for prediction in result.predictions if not isinstance(prediction.evidence, Rect)]
    classical = [ink.tobytes() for ink in cheap.ink]
    return [plane for plane in planes if plane.tobytes() not in classical]


def _line_crops(steps: RecognitionTrace, result: FullPathResult | None, count: int) -> tuple[Picture, ...]:
    """Return the line crops that the sequence recognizer read, if each holds all the writing of the page."""
    if result is None or steps.decoded is None or len(result.lines) != 1 or count > _MAX_DIGITS:
        return ()
    (reading,) = result.lines
    if count > 1 and NON_DIGIT in reading.line.text:
        return ()
    spans = {reading.strip, *(w.evidence for w in result.predictions if isinstance(w.evidence, Rect))}
    crops = [
        _resize_line(crop_rect(steps.decoded.gray, span), count) for span in sorted(spans, key=lambda span: span.width)
    ]
    return tuple(crop for crop in crops if crop is not None)


def _resize_line(gray: Plane, count: int) -> Picture | None:
    """Return a line crop as the sequence recognizer sees it; None if it is too wide, or too narrow for its symbols."""
    height, width = gray.shape
    scale = LINE_HEIGHT_PX / height
    width_px = max(4, round(width * scale))
    if width_px > _MAX_LINE_WIDTH_PX or width_px < 2 * count * FRAME_PX:
        return None
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized = np.asarray(cv2.resize(gray, (width_px, LINE_HEIGHT_PX), interpolation=interpolation), np.float32)
    return pad_to_stride(quantize(local_normalize(resized)))
