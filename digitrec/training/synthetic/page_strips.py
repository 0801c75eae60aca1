"""Cut the strips of numbers out of synthetic pages as recognition cuts them, to train the sequence recognizer.

Strips differ from lines that are drawn alone: rules and frames are painted out and leave rests, neighbours reach into
them, low resolution and blur come before the numbers are found.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from digitrec.images.decode import decode_pages
from digitrec.recognition.characters import class_components
from digitrec.recognition.classifier import DIGITS
from digitrec.recognition.number_reader import crop_strip
from digitrec.recognition.page_ink import PageInk, find_page_ink
from digitrec.recognition.sequence_recognizer import scale_strip
from digitrec.recognition.text_lines import TextNumber, find_numbers
from digitrec.training.synthetic.alternate_forms import alternate_form
from digitrec.training.synthetic.pages.drawing import Parameters
from digitrec.training.synthetic.pages.kinds import KINDS
from digitrec.training.synthetic.pages.truth import Truth
from digitrec.training.synthetic.symbols import GlyphSources, symbol_class
from digitrec.training.synthetic.text_lines import LineExample
from digitrec.types import Limits


@dataclass(frozen=True, slots=True)
class StripParams:
    """Kinds of pages, and which strips of a page are examples; set by hand."""

    signed: tuple[str, ...] = ("minus", "decimal", "date", "sum")  # kinds that are drawn three times as often
    left_out: tuple[str, ...] = (
        *("empty", "empty_cells", "word", "turned", "turned_page", "edge", "cut", "desk"),
        *("table", "big_page"),  # drawn in a second each; rows and small tables have the same strips
    )
    alternate: float = 0.15  # share of digits in a form that is rare in the data set
    most: int = 12  # strips of one page
    unpainted: float = 0.2  # share of strips in which rules are not painted out
    margins: tuple[float, float] = (0.12, 0.35)  # of a strip, over the height of its number
    width_px: tuple[int, int] = (16, 384)


PARAMS = StripParams()


def extract_strips(sources: GlyphSources, rng: Generator) -> list[LineExample]:
    """Draw one page, and return the strips of the numbers that were found as they are written."""
    page, truth = _draw(sources, rng)
    numbers = find_numbers(class_components(page.ink, page.margins), page.rules)
    if not _matches(numbers, truth):
        return []
    chosen = rng.permutation(len(numbers))[: PARAMS.most]
    examples = []
    for index in chosen.tolist():
        number, text = numbers[index], truth.texts[index]
        if _count_tall(text) != len(number.characters) and rng.random() < 0.5:
            continue  # touching and broken digits; more of them would be mistakes of the layout
        gray = page.unpainted if rng.random() < PARAMS.unpainted else page.gray
        margins = rng.uniform(*PARAMS.margins, 2)
        _, crop = crop_strip(number, gray, float(margins[0]), float(margins[1]))
        strip = np.asarray(np.clip(np.rint(scale_strip(crop)), 0, 255), np.uint8)
        if PARAMS.width_px[0] <= strip.shape[1] <= PARAMS.width_px[1]:
            examples.append(LineExample(strip, tuple(symbol_class(symbol) for symbol in text)))
    return examples


def add_alternate_forms(sources: GlyphSources, rng: Generator) -> GlyphSources:
    """Return sources in which a share of the pictures of each digit are alternate forms."""
    count = round(PARAMS.alternate / (1 - PARAMS.alternate) * len(sources.pictures) / DIGITS)
    forms = np.stack([alternate_form(digit, rng) for digit in range(DIGITS) for _ in range(count)])
    first = len(sources.pictures)
    by_digit = {
        digit: np.append(indices, np.arange(first + digit * count, first + (digit + 1) * count))
        for digit, indices in sources.by_digit.items()
    }
    return replace(sources, pictures=np.concatenate([sources.pictures, forms]), by_digit=by_digit)


def _draw(sources: GlyphSources, rng: Generator) -> tuple[PageInk, Truth]:
    """Draw a page of a random kind; return its ink, and what is written on it."""
    names = [name for name in KINDS if name not in PARAMS.left_out]
    weights = np.array([3.0 if name in PARAMS.signed else 1.0 for name in names])
    drawn = KINDS[str(rng.choice(names, p=weights / weights.sum()))](sources, Parameters(rng))
    _, sheets = decode_pages(drawn.file.content, Limits())
    (sheet,) = sheets
    picture = sheet.full_detail()
    if not isinstance(picture, np.ndarray):
        raise picture
    return find_page_ink(picture, sheet.decode_larger), drawn.truth


def _matches(numbers: Sequence[TextNumber], truth: Truth) -> bool:
    """Tell whether the numbers that were found are those that are written, one by one."""
    if len(numbers) != len(truth.numbers):
        return False
    if [number.line for number in numbers] != [number.line for number in truth.numbers]:
        return False
    return all(
        abs(len(number.characters) - _count_tall(text)) <= 1 for number, text in zip(numbers, truth.texts, strict=True)
    )


def _count_tall(text: str) -> int:
    """Count the characters of a text that are as high as digits."""
    return sum(symbol not in "-.,:=+" for symbol in text)
