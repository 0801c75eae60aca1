"""Pages that a person has read, as the networks see them: the examples that corrections give.

Each page passes through what the service does where it looks closely. What its parts are shown there, they learn from:
the digits' network each sign as it was cut out, the line network each strip around the writing. A glance adds nothing:
it shows the ink network's cut, smaller.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from digitrec.arrays import PageResult, Picture
from digitrec.errors import RejectedImage
from digitrec.images import decode
from digitrec.images.decode import DecodedPage
from digitrec.recognition.classifier import NO_DIGIT as NONE
from digitrec.recognition.full_path import FullPathResult, run_full_path
from digitrec.recognition.geometry import Rect, crop_rect
from digitrec.recognition.preprocess import Plane, local_normalize
from digitrec.recognition.reader import PageReader
from digitrec.recognition.sequence_recognizer import FRAME_PX, LINE_HEIGHT_PX
from digitrec.recognition.trace import RecognitionTrace
from digitrec.training.datasets.image_folder import NONE as NO_DIGIT
from digitrec.training.pipeline_examples import LIKE_A_ONE, Examples
from digitrec.training.synthetic import parallel
from digitrec.training.synthetic.generate import LineExamples, pad_to_stride, quantize
from digitrec.training.synthetic.parallel import ProgressCallback
from digitrec.training.synthetic.symbols import NON_DIGIT
from digitrec.types import Limits

_WIDEST = 192
"""Pixels of the longest strip that the line network learns from."""
_LONGEST = 7
"""Digits of the longest number that it learns from."""


@dataclass(frozen=True, slots=True)
class LabelledPage:
    """A page and what a person says it shows."""

    path: Path
    sha256: str
    page: int
    """From 1."""
    text: str
    """All its digits, left to right, top to bottom; or `none`."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledCrops:
    """What the networks are shown of one page, with the truth."""

    signs: tuple[Picture, ...] = ()
    """Each (28, 28), 0 = paper, 255 = ink."""
    classes: tuple[int, ...] = ()
    """Of `signs`: 0..9 or `NONE`."""
    strips: tuple[Picture, ...] = ()
    """Each (40, w), stored as `drawn.stored` does."""
    text: tuple[int, ...] = ()
    """What every one of `line_examples` says."""
    fits: bool = True
    """As many digits were found as there are; else nothing can be said of each."""


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
    """What the networks are shown of each page, in order.

    Args:
        reader: of the model that goes on learning.
        pages: what a person has read; every file is there.
        limits: on what is opened.
        processes: how many look; 0: as many as there are cores.
        on_progress: how many files are done.

    Raises:
        OSError: a file cannot be read.
    """
    files = [_LabelledFile(path, tuple(of_file)) for path, of_file in _by_file(pages).items()]
    found: dict[LabelledPage, LabelledCrops] = {}
    seen = parallel.map_items(
        _shown, _ExtractionContext(reader, limits), files, processes=processes, on_progress=on_progress
    )
    for file, shown in zip(files, seen, strict=True):
        found |= dict(zip(file.pages, shown, strict=True))
    return [found[page] for page in pages]


def digit_examples(shown: Iterable[LabelledCrops]) -> Examples:
    """What the digits' network learns from them."""
    pairs = [pair for one in shown for pair in zip(one.signs, one.classes, strict=True)]
    pictures = np.array([sign for sign, _ in pairs], np.uint8).reshape(-1, 28, 28)
    return Examples(pictures, np.array([digit for _, digit in pairs], np.int64))


def line_examples(shown: Iterable[LabelledCrops]) -> LineExamples:
    """What the line network learns from them."""
    pairs = [(strip, one.text) for one in shown for strip in one.strips]
    return LineExamples([strip for strip, _ in pairs], [text for _, text in pairs])


def _by_file(pages: Iterable[LabelledPage]) -> dict[Path, list[LabelledPage]]:
    files: dict[Path, list[LabelledPage]] = {}
    for page in pages:
        files.setdefault(page.path, []).append(page)
    return files


def _shown(desk: _ExtractionContext, file: _LabelledFile) -> list[LabelledCrops]:
    wanted = {page.page: page.text for page in file.pages}
    found: dict[int, LabelledCrops] = {}
    try:
        name, sheets = decode.decode_pages(file.path.read_bytes(), desk.limits)
        for sheet in sheets:
            if sheet.number in wanted:
                found[sheet.number] = _of_page(desk.reader, name, sheet, wanted[sheet.number])
    except RejectedImage:
        pass  # the service reads nothing there, either
    return [found.get(page.page, LabelledCrops(fits=False)) for page in file.pages]


def _of_page(reader: PageReader, name: str, sheet: DecodedPage, text: str) -> LabelledCrops:
    steps = reader.read_full(name, sheet)
    if steps.decoded is None:
        return LabelledCrops(fits=False)
    second = None
    if reader.models is not None:  # however sure the first looks were, there is more to see on this page
        grey, plane = steps.decoded.gray, steps.decoded.plane
        second = run_full_path(steps.initial, grey, plane, reader.classifier, reader.models, use_all_models=True)
    return _without_digit(steps, second) if text == NO_DIGIT else _with_digits(steps, second, text)


def _with_digits(steps: RecognitionTrace, second: FullPathResult | None, text: str) -> LabelledCrops:
    truth = tuple(map(int, text))
    cuts = [steps.initial.ink] if len(steps.initial.boxes) == len(truth) else []
    if len(truth) == 1:
        cuts += [plane[None] for plane in _closer_cuts(steps.initial, second)]
    signs = tuple(_levels(sign) for ink in cuts for sign in ink)
    return LabelledCrops(signs, truth * len(cuts), _strips(steps, second, len(truth)), truth, fits=bool(cuts))


def _without_digit(steps: RecognitionTrace, second: FullPathResult | None) -> LabelledCrops:
    """Every sign that was cut out is no digit, unless by itself it may be a one."""
    boxes = steps.initial.boxes
    plain = [ink for ink, box in zip(steps.initial.ink, boxes, strict=True) if box.height < LIKE_A_ONE * box.width]
    signs = tuple(_levels(ink) for ink in (*plain, *_closer_cuts(steps.initial, second)))
    strips = _strips(steps, second, 1) if len(boxes) == 1 else ()
    return LabelledCrops(signs, (NONE,) * len(signs), strips, (NON_DIGIT,))


def _closer_cuts(cheap: PageResult, second: FullPathResult | None) -> list[Plane]:
    """The sign as the ink network cut it out, if it did."""
    planes = [one.evidence for one in second.predictions if not isinstance(one.evidence, Rect)] if second else []
    known = [ink.tobytes() for ink in cheap.ink]
    return [plane for plane in planes if plane.tobytes() not in known]


def _strips(steps: RecognitionTrace, second: FullPathResult | None, count: int) -> tuple[Picture, ...]:
    """The strips that the line network read, if all the writing is in each."""
    if second is None or steps.decoded is None or len(second.lines) != 1 or count > _LONGEST:
        return ()
    (row,) = second.lines
    if count > 1 and NON_DIGIT in row.line.text:  # signs that are no digits stand there, too
        return ()
    spans = {row.strip, *(one.evidence for one in second.predictions if isinstance(one.evidence, Rect))}
    found = [_strip(crop_rect(steps.decoded.gray, span), count) for span in sorted(spans, key=lambda one: one.width)]
    return tuple(strip for strip in found if strip is not None)


def _strip(piece: Plane, count: int) -> Picture | None:
    """A piece of a page as the line network is shown it; None if it is too long, or too short for so many signs."""
    height, width = piece.shape
    scale = LINE_HEIGHT_PX / height
    wide = max(4, round(width * scale))
    if wide > _WIDEST or wide < 2 * count * FRAME_PX:
        return None
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return pad_to_stride(
        quantize(local_normalize(np.asarray(cv2.resize(piece, (wide, LINE_HEIGHT_PX), interpolation=how), np.float32)))
    )


def _levels(ink: Plane) -> Picture:
    """A sign that is cut out and normalised, (28, 28), as `Examples` hold it."""
    return np.asarray(np.rint(ink * 255), np.uint8)


def count_pages_by_kind(pages: Iterable[LabelledPage]) -> Counter[str]:
    """How many pages show one digit, several, or none."""
    return Counter(NO_DIGIT if page.text == NO_DIGIT else "one" if len(page.text) == 1 else "several" for page in pages)
