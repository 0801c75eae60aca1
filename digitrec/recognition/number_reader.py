"""Read one number: its strip with the sequence recognizer, and each of its characters with the classifier."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from digitrec.arrays import Ink, Scores
from digitrec.recognition import normalize
from digitrec.recognition.characters import ClassedComponents
from digitrec.recognition.classifier import CLASSES, DIGITS, NO_DIGIT, DigitClassifier
from digitrec.recognition.components import Component
from digitrec.recognition.ctc import DecodedLine, Text, decode_ctc
from digitrec.recognition.geometry import Rect, clip_rect, crop_rect
from digitrec.recognition.layout import crop_component
from digitrec.recognition.page_ink import PageInk
from digitrec.recognition.preprocess import Plane
from digitrec.recognition.sequence_recognizer import SIGNS, SequenceRecognizer, add_margin, shear
from digitrec.recognition.signs import SMALL_SIGNS, NumberSymbols, sign_of, split_symbols
from digitrec.recognition.text_lines import TextNumber


class NumberParams(NamedTuple):
    """Weights and thresholds of the ensemble of one number, measured on synthetic pages (`benchmarks.pages`)."""

    margin: float = 0.2
    """Paper above and below the number in its strip, as a share of its height."""
    margin_ends: float = 0.25
    """Paper before and after it."""
    slant: float = 0.05
    """Slope of a text line from which its strip is turned."""
    single_view: float = 0.95
    """A number with a lower probability is also read sheared to either side, and smaller."""
    shears: tuple[float, ...] = (-0.25, 0.2)
    """Of these views, pixels per pixel of height."""
    smaller: float = 0.1
    """Margin of the smaller view, as a share of the strip's height."""
    line_weight: float = 0.5
    """Weight of the recognizer's scores where it finds as many characters as the components; the classifier's get the
    rest."""
    doubt_after_agreement: float = 0.3
    """Factor for the recognizer's doubt about the number of digits in that case."""
    touching: float = 1.25
    """Width over height from which a component may be several characters."""
    digits_only: float = 0.1
    """A text of digits only is preferred to one with non-digits if it has at least this share of its probability."""
    sure: float = 0.8
    """Probability of the classifier's text from which a doubtful text of the recognizer does not outvote it."""
    doubtful: float = 0.9
    """Probability of the recognizer's text below which that holds."""
    bare: float = 0.5
    """Probability that a strip is empty from which what stands there is no number."""
    disputed: float = 0.7
    """Factor for the confidence of a number whose characters the models count differently."""
    tiny: float = 1e-12
    """Least probability, so that none is divided by zero."""


PARAMS = NumberParams()


@dataclass(frozen=True, slots=True, eq=False)
class LineReading:
    """A strip of the page, and the text decoded from it."""

    strip: Rect
    """In pixels of the page ink; may reach beyond the page if the line slants."""
    step_px: float
    """Pixels of the page ink per frame, across."""
    line: DecodedLine


@dataclass(frozen=True, slots=True, eq=False)
class ReadNumber:
    """The digits of one number."""

    rects: tuple[Rect, ...]
    """In pixels of the page ink."""
    ink: Ink
    """(n, 28, 28)."""
    scores: Scores
    """(n, 11)."""
    layout_confidence: float
    """Probability that these are all its digits, 0..1."""
    reading: LineReading | None = None
    """None if only the classifier was asked."""
    has_others: bool = False
    """Symbols that are no part of a number stand among the digits, and were left out."""
    signs: tuple[tuple[int, str], ...] = ()
    """Each sign and the index of the digit that it stands before."""
    sign_rects: tuple[Rect, ...] = ()
    """Of each sign, in pixels of the page ink."""

    @property
    def confidence(self) -> float:
        """Return the probability that all its digits are right, 0..1."""
        return self.layout_confidence * float(self.scores[:, :DIGITS].max(axis=1).prod())


def read_number(
    number: TextNumber,
    page: PageInk,
    classed: ClassedComponents,
    classifier: DigitClassifier,
    recognizer: SequenceRecognizer | None,
) -> ReadNumber:
    """Read a number with both models, and weight what each is good at; without a recognizer, with the classifier."""
    p = PARAMS
    ink = np.stack([crop_character(character, page, classed) for character in number.characters])
    classified = classifier.score(ink)
    rects = tuple(character.rect for character in number.characters)
    if recognizer is None:
        return ReadNumber(rects, ink, classified, 1.0)
    reading = read_strip(number, page, recognizer)
    text = reading.line.text
    for small in SMALL_SIGNS, SIGNS:  # a plus may be as low as a dash
        characters = [index for index, symbol in enumerate(text) if symbol < CLASSES or sign_of(symbol) not in small]
        if len(characters) == len(rects):
            return _combine(rects, ink, classified, reading, characters, number.signs)
    is_separate = all(character.width < p.touching * character.height for character in number.characters)
    own_confidence = float(classified[:, :DIGITS].max(axis=1).prod())
    own_text = classified[:, :DIGITS].argmax(axis=1).tolist()
    adds_ones = [symbol for symbol in text if symbol != 1] == [symbol for symbol in own_text if symbol != 1]
    is_outvoted = is_separate and own_confidence >= p.sure and reading.line.probability < p.doubtful and adds_ones
    if not text or is_outvoted:
        confidence = p.disputed if text else (1.0 + reading.line.probability) / 4
        return ReadNumber(rects, ink, classified, confidence, reading)
    return _from_line(reading, page, p.disputed if is_separate else 1.0)


def is_mark(number: ReadNumber) -> bool:
    """Tell whether what was read is a mark rather than a number: both models find no digit there."""
    if number.reading is None:
        return False
    text, no_digit = number.reading.line.text, float(number.scores[:, NO_DIGIT].max(initial=0.0))
    if not text:
        return number.reading.line.probability > PARAMS.bare or no_digit > 0.5
    return all(symbol >= NO_DIGIT for symbol in text) and number.reading.line.probability > 0.5


def _combine(
    rects: tuple[Rect, ...],
    ink: Ink,
    classified: Scores,
    reading: LineReading,
    characters: Sequence[int],
    small: Sequence[Component],
) -> ReadNumber:
    """Average the scores of both models, which found as many characters; the recognizer alone reads signs.

    Args:
        rects: of the characters.
        ink: (n, 28, 28), of the characters.
        classified: (n, 11), by the classifier.
        reading: by the recognizer.
        characters: positions of the characters in its text, (n,).
        small: components that may be the other symbols of its text.
    """
    p, line = PARAMS, reading.line
    line_scores, confidence = _line_scores(line)
    confidence = 1 - p.doubt_after_agreement * (1 - confidence)
    symbols = split_symbols(line.text)
    own = {position: index for index, position in enumerate(characters)}
    digits = [position for position in symbols.digits if position in own] or [characters[0]]  # signs and non-digits
    chosen = [own[position] for position in digits]
    scores = p.line_weight * line_scores[digits] + (1 - p.line_weight) * classified[chosen]
    rects_of_signs = _place_signs(symbols, characters, rects, small) if symbols.signs else {}
    symbols_at = symbol_rects(reading) if len(rects_of_signs) < len(symbols.signs) else []
    return ReadNumber(
        tuple(rects[index] for index in chosen),
        ink[chosen],
        scores.astype(np.float32),
        confidence * _sign_probability(line, symbols),
        reading,
        symbols.has_others,
        symbols.signs,
        tuple(
            rects_of_signs[position] if position in rects_of_signs else symbols_at[position]
            for position in symbols.sign_positions
        ),
    )


def _place_signs(
    symbols: NumberSymbols, characters: Sequence[int], rects: Sequence[Rect], small: Sequence[Component]
) -> dict[int, Rect]:
    """Return where the signs of a text stand: as characters, or as the small components before a character.

    Small ones are left out where there are more or fewer than the text has signs.
    """
    tall = set(symbols.sign_positions) & set(characters)
    rects_of_signs = {position: rects[characters.index(position)] for position in tall}
    for index, position in enumerate(characters):
        before = characters[index - 1] if index else -1
        signs = [sign for sign in symbols.sign_positions if before < sign < position]
        left = rects[index - 1].left if index else -math.inf
        neighbours = [sign.rect for sign in small if left <= sign.left < rects[index].left]
        if len(neighbours) == len(signs):
            rects_of_signs |= zip(signs, neighbours, strict=True)
    return rects_of_signs


def _from_line(reading: LineReading, page: PageInk, factor: float) -> ReadNumber:
    """Take the recognizer's text; its characters may touch."""
    line = reading.line
    scores, confidence = _line_scores(line)
    symbols, symbols_at = split_symbols(line.text), symbol_rects(reading)
    rects = tuple(symbols_at[position] for position in symbols.digits)
    ink = np.stack([normalize.normalize_mnist(crop_rect(page.ink, clip_rect(rect, page.ink))) for rect in rects])
    return ReadNumber(
        rects,
        ink,
        scores[list(symbols.digits)].astype(np.float32),
        factor * confidence * _sign_probability(line, symbols),
        reading,
        symbols.has_others,
        symbols.signs,
        tuple(symbols_at[position] for position in symbols.sign_positions),
    )


def _sign_probability(line: DecodedLine, symbols: NumberSymbols) -> float:
    """Return the probability that all signs of a number are right, given the number of its symbols."""
    rows = line.alternatives[list(symbols.sign_positions)]
    own = rows[np.arange(len(rows)), [line.text[position] for position in symbols.sign_positions]]
    return float(np.prod(own / np.maximum(rows.sum(axis=1), PARAMS.tiny)))


def _line_scores(line: DecodedLine) -> tuple[Scores, float]:
    """Return the scores of each symbol, (n, 11), and the probability that the line has as many symbols.

    Signs count as non-digits.
    """
    probabilities = np.maximum(line.alternatives, PARAMS.tiny)
    shares = probabilities / probabilities.sum(axis=1, keepdims=True)
    scores = np.column_stack([shares[:, :DIGITS], shares[:, DIGITS:].sum(axis=1)]).astype(np.float32)
    own = float(np.prod(shares[np.arange(len(line.text)), line.text]))
    return scores, min(1.0, line.probability / max(own, PARAMS.tiny))


def read_strip(number: TextNumber, page: PageInk, recognizer: SequenceRecognizer) -> LineReading:
    """Read the strip of a number in several views, if the first is doubtful."""
    p = PARAMS
    strip, crop = crop_strip(number, page.gray)
    frames, step_px = recognizer.read(crop)
    line, views = decode_ctc(frames), [frames]
    if len(line.text) > 1 and line.probability < p.single_view:
        variants = [*(shear(crop, slant) for slant in p.shears), add_margin(crop, p.smaller)]
        if page.rules is not None:
            variants.append(crop_strip(number, page.unpainted)[1])
        views += [recognizer.read(variant)[0] for variant in variants]
        line = decode_ctc(*views)
    if NO_DIGIT in line.text and len(line.text) > 1:
        digits = decode_ctc(*views, without=(NO_DIGIT,))
        if _has_inner_non_digit(line.text) or digits.probability > p.digits_only * line.probability:
            line = digits
    return LineReading(strip, step_px * strip.width / crop.shape[1], line)


def _has_inner_non_digit(text: Text) -> bool:
    """Return True if a non-digit stands between digits; it is assumed to be an unusual form of a digit."""
    digits = [index for index, symbol in enumerate(text) if symbol < DIGITS]
    return bool(digits) and NO_DIGIT in text[digits[0] : digits[-1]]


def crop_strip(
    number: TextNumber, gray: Plane, margin: float = PARAMS.margin, margin_ends: float = PARAMS.margin_ends
) -> tuple[Rect, Plane]:
    """Crop the strip around a number, turned level if the line slants.

    Args:
        number: its characters and signs.
        gray: the page, (h, w), 0..255.
        margin: paper above and below the number, as a share of its height.
        margin_ends: paper before and after it.

    Returns:
        The strip in pixels of the page, of which a slanting one may reach beyond the page, and the crop.
    """
    p, box, (rows, columns) = PARAMS, number.box, gray.shape
    if abs(number.slope) <= p.slant:
        high = max(box.height, 1)
        left, top = max(0, round(box.left - margin_ends * high)), max(0, round(box.top - margin * high))
        right = min(columns, round(box.right + margin_ends * high) + 1)
        bottom = min(rows, round(box.bottom + margin * high) + 1)
        return Rect(left, top, right, bottom), gray[top:bottom, left:right]
    tall = max(character.height for character in number.characters) * (1 + 2 * margin)
    run = float(np.hypot(1.0, number.slope))
    components = sorted((*number.characters, *number.signs), key=lambda component: component.left)
    first, last = components[0], components[-1]
    length = (last.right - first.left) * run + 2 * margin_ends * tall
    across, down = 1 / run, number.slope / run
    middle_x, middle_y = (first.left + last.right) / 2, (box.top + box.bottom) / 2
    size = (max(1, round(length)), max(1, round(tall)))
    # From pixels of the strip to pixels of the page.
    turn = np.array(
        [
            [across, -down, middle_x - across * size[0] / 2 + down * size[1] / 2],
            [down, across, middle_y - down * size[0] / 2 - across * size[1] / 2],
        ]
    )
    crop = cv2.warpAffine(
        gray, turn, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    half = across * size[0] / 2
    return Rect(middle_x - half, box.top, middle_x + half, box.bottom), np.asarray(crop, np.float32)


def symbol_rects(reading: LineReading) -> list[Rect]:
    """Return a rectangle for each symbol of a line; the borders are half-way between neighbours."""
    strip = reading.strip
    middles = strip.left + (reading.line.steps + 0.5) * reading.step_px
    half = 0.45 * strip.height
    edges = (middles[1:] + middles[:-1]) / 2
    lefts = np.maximum(np.append(-np.inf, edges), middles - half)
    rights = np.minimum(np.append(edges, np.inf), middles + half)
    return [Rect(left, strip.top, right, strip.bottom) for left, right in zip(lefts, rights, strict=True)]


def crop_character(character: Component, page: PageInk, classed: ClassedComponents) -> Plane:
    """Crop the ink of one character without other components, evened out along the stroke, (28, 28)."""
    return normalize.normalize_mnist(crop_component(page.ink, classed.pieces, character))
