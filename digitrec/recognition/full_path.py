"""A page that the cheap way is not sure of, looked at by the networks: what all of them together say.

A single sign has up to four witnesses: the digit as the classical way cut it out, the digit as the ink network did, and
the line network, which sees the page itself, around either cut. Their scores are averaged; if those around the
classical cut are sure, what the ink network sees closely is not asked for. A number is read by the line network, row by
row; where the classical way cut out as many digits, each is a witness, too. A sign that is none before or after the
digits, such as a currency's, is left out of the number, and a person is asked; one that stands between digits is
guessed to be one of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from digitrec.arrays import Ink, Page, Scores
from digitrec.models.package import INK_TFLITE, LINE_TFLITE, Bundle
from digitrec.recognition import layout, normalize
from digitrec.recognition.classifier import CLASSES, DIGITS, NONE, Classifier
from digitrec.recognition.ctc import Frames, Line, Text, decode, probabilities
from digitrec.recognition.ensemble import SURE_OF_BOTH, Witness, as_single, given_one, mean, of_one_sign, with_none
from digitrec.recognition.geometry import Span, around, between_uprights, cut, on_grey, on_page, rows_of, strip_around
from digitrec.recognition.preprocess import Plane
from digitrec.recognition.segmenter import InkNetwork, Seen
from digitrec.recognition.sequence_recognizer import LineNetwork, slanted, with_margin
from digitrec.recognition.zoom import Close, close_look
from digitrec.types import Reason

_LONG = 1.3
"""A page at least this many times as wide as high may be one line of writing: ..."""
_LONGEST_STRIP = 16.0
"""... its strip is as wide as the page, if that is at most so many times as wide as high: longer ones lose detail."""
_EMPTY = 0.5
"""Nothing is written if the line network gives that at least this probability for every ..."""
_EMPTY_STEPS = 16
"""... so many steps of its strip, and nothing else found ink."""
_STILL_DOUBTED = 0.3
"""If the classical way finds as many digits, this share of the line network's doubt about their number is left."""
_OF_LINE = 0.9
"""What the line network says of a number's digit counts so much, what the classifier says of its cut the rest: alone, a
digit of another school is easily taken for another one or for a letter."""
_PLAIN = 0.95
"""A number that is less probable is looked at slanted to either side, and smaller, too."""
_SLANTS = (-0.25, 0.2)
_MARGIN = 0.1
_MOST_BESIDE = 0.05
"""Ink beside a sign, as a share of its own, up to which it is alone on its page."""
_NEARLY = 0.1
"""A number of digits alone is preferred to one with other signs, if it is at least this share as probable; and one sign
to several, if the classical way saw one."""
_LEAST = 1e-12
_NOTHING = np.zeros((0, normalize.SIDE, normalize.SIDE), np.float32)
_NO_SCORES = np.zeros((0, CLASSES), np.float32)


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks that look at the page itself."""

    ink: InkNetwork
    line: LineNetwork

    @classmethod
    def load(cls, bundle: Bundle) -> Self:
        """Load them from a model folder that has them.

        Raises:
            ModelError: one cannot be run.
        """
        name = bundle.card.id
        return cls(
            InkNetwork(bundle.content(INK_TFLITE), f"{INK_TFLITE} of {name}"),
            LineNetwork(bundle.content(LINE_TFLITE), f"{LINE_TFLITE} of {name}"),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """A page as the second look sees it."""

    page: Page
    """As the cheap way read it, with its scores."""
    grey: Plane
    """(h, w), 0..255."""
    plane: Plane
    """Its ink by the classical way, (h, w)."""
    spans: tuple[Span, ...]
    """Where the classical way found digits, in pixels of the grey plane."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadStrip:
    """A strip of the page, in pixels of its grey plane, and what the line network says of it."""

    strip: Span
    step_px: float
    line: Line


@dataclass(frozen=True, slots=True, eq=False)
class SecondLook:
    """What the networks saw on a page, and what came of it."""

    page: Page
    """As read again."""
    strips: tuple[ReadStrip, ...]
    """One for each row."""
    seen: Seen | None = None
    """Where the ink network looked closely; None if it found nothing, or that counts for nothing here."""
    witnesses: tuple[Witness, ...] = ()
    """Of a single sign; none if there are several."""


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """Digits side by side: where each is, how it looks, (n, 28, 28), and what it may be, (n, 11)."""

    spans: Sequence[Span]
    ink: Ink
    scores: Scores
    certainty: float
    """Probability that there are so many digits, and where they are."""
    has_others: bool = False
    """Signs that are no digits stand among them, and were left out."""


def second_look(
    page: Page,
    grey: Plane,
    plane: Plane,
    classifier: Classifier,
    networks: Networks,
    close: Close | None = None,
    *,
    ask_all: bool = False,
) -> SecondLook:
    """Read a page again, with all there is.

    Args:
        page: as the cheap way read it, with its scores.
        grey: the page, (h, w), 0..255.
        plane: its ink by the classical way, (h, w).
        classifier: of single digits.
        networks: that look at the page.
        close: what was seen closely of its main sign, if it was looked at before.
        ask_all: ask all witnesses of a single sign, even if the first two are sure.
    """
    sight = Sight(page, grey, plane, tuple(on_grey(box, page, grey) for box in page.boxes))
    rows = rows_of(sight.spans) or [[]]
    lines = [_line(sight, row, networks.line, is_only=len(rows) == 1) for row in rows]
    if len(lines) == 1 and len(lines[0].line.text) < 2:
        return _single(sight, lines[0], classifier, networks, close, ask_all=ask_all)
    if len(lines) == 1 and len(sight.spans) == 1:
        share = _share_of_one(lines[0])
        if share is not None:
            return _single(sight, lines[0], classifier, networks, close, share_of_one=share, ask_all=True)
    numbers = [_number(sight, row, line) for row, line in zip(rows, lines, strict=True)]
    # What the classical way left out was read all the same, if it stands in the strip.
    reason = None if len(lines) == 1 and lines[0].strip.width >= grey.shape[1] else _doubt(sight)
    return SecondLook(_together(sight, numbers, reason), tuple(lines))


def _doubt(sight: Sight) -> Reason | None:
    """Whether the classical way left something out that no network was asked about."""
    is_all = sight.page.reason is None or layout.arrange(sight.plane).is_all
    return None if is_all else Reason.AMBIGUOUS_LAYOUT


def _line(sight: Sight, row: Sequence[Span], network: LineNetwork, *, is_only: bool) -> ReadStrip:
    """The row as the line network reads it: the strip around it, over the whole width if the page may be one line."""
    height, width = sight.grey.shape
    strip = Span(0, 0, width, height)
    if row:
        near = strip_around(around(row), sight.grey)
        is_long = is_only and width >= _LONG * height and width <= _LONGEST_STRIP * near.height
        strip = between_uprights(near, sight.grey, sight.plane) if is_long else near
    piece = cut(sight.grey, strip)
    frames, step_px = network.read(piece)
    line, views = decode(frames), [frames]
    if len(line.text) > 1 and line.probability < _PLAIN:
        others = [*(slanted(piece, slant) for slant in _SLANTS), with_margin(piece, _MARGIN)]
        views += [network.read(other)[0] for other in others]
        line = decode(*views)
    if NONE in line.text and len(line.text) > 1:
        digits = decode(*views, only=DIGITS)
        if _stands_between(line.text) or digits.probability > _NEARLY * line.probability:
            line = digits
    return ReadStrip(strip, step_px, line)


def _stands_between(text: Text) -> bool:
    """Whether a sign that is none stands between digits: it is a digit, strangely written."""
    digits = [place for place, sign in enumerate(text) if sign != NONE]
    return bool(digits) and NONE in text[digits[0] : digits[-1]]


def _share_of_one(read: ReadStrip) -> float | None:
    """The probability of the line being one sign, if that is not much less likely than what it says; else None.

    Strokes of a digit that are apart look like two digits to the line network, though the classical way saw one.
    """
    chances = of_one_sign(read.line.frames)
    return float(chances.sum()) if chances.max() >= _NEARLY * read.line.probability else None


def _single(
    sight: Sight,
    line: ReadStrip,
    classifier: Classifier,
    networks: Networks,
    close: Close | None,
    *,
    share_of_one: float | None = None,
    ask_all: bool,
) -> SecondLook:
    """One sign: the mean of what its witnesses say, or of the first two if that is sure. Blank if all see bare paper.

    With `share_of_one` the line network would rather see several: what it says of one counts, and some doubt is left.
    """
    of_one = as_single if share_of_one is None else given_one
    # A line of one sign was compared with every other sign already, in all its views.
    is_one = len(line.line.text) == 1
    of_line = with_none(line.line.alternatives[0, :DIGITS]) if is_one else of_one(line.line.frames)
    certainty = 1.0 if share_of_one is None else 1.0 - _STILL_DOUBTED * (1.0 - share_of_one)
    witnesses = [Witness("line network", of_line, line.strip)]
    where, ink = None, None
    if sight.spans:
        where = around(sight.spans)
    elif not _is_empty(line.line.frames):
        where = around(_spans_of(line) or [line.strip])
    if len(sight.spans) == 1:
        ink = sight.page.ink[0]
        witnesses.append(Witness("classical cut", sight.page.scores[0], ink))
        scores = mean(witnesses)
        if not ask_all and scores[0, :DIGITS].max() >= SURE_OF_BOTH and _is_alone(sight):
            return SecondLook(replace(sight.page, scores=scores), (line,), None, tuple(witnesses))
    grey = sight.grey
    close = close_look(grey, classifier, networks.ink) if close is None else close.on(grey)
    if close is not None and close.where is not None:
        where = close.where
        if close.cut is not None:
            ink, strip = np.asarray(close.cut.looked_at), strip_around(where, grey)
            frames, _ = networks.line.read(cut(grey, strip))
            witnesses += [close.cut, Witness("line network, closer", of_one(frames), strip)]
    rows = []
    if where is not None:
        ink = _cut_out(sight, where) if ink is None else ink  # strokes that were taken for several signs
        rows = [_Row([where], ink[None], mean(witnesses), certainty)]
    # One sign, clearly: then what the classical way did not know where to put was no ink.
    reason = None if close is not None and close.is_clear else _doubt(sight)
    seen = None if close is None else close.seen
    return SecondLook(_together(sight, rows, reason), (line,), seen, tuple(witnesses))


def _is_alone(sight: Sight) -> bool:
    """Whether the classical way's only sign is in one piece and has nothing beside it: else it may be several."""
    found = layout.arrange(sight.plane)
    return found.is_clear and found.digits[0].pieces == 1 and found.beside(sight.plane) <= _MOST_BESIDE


def _is_empty(frames: Frames) -> bool:
    """Whether the line network sees bare paper."""
    nothing = float(probabilities(frames, [()])[0])
    return bool(nothing >= _EMPTY ** max(1.0, len(frames) / _EMPTY_STEPS))


def _number(sight: Sight, row: Sequence[Span], read: ReadStrip) -> _Row:
    """Several signs: as the line network reads them, and each as it was cut out, where that gives as many."""
    line = read.line
    if not line.text:  # the classical way cut out something there
        own = [sight.spans.index(span) for span in row]
        return _Row(
            (),
            _NOTHING,
            _NO_SCORES,
            (line.probability + float(sight.page.scores[own, NONE].prod())) / 2,
        )
    chances = np.maximum(line.alternatives, _LEAST)  # (n, 11)
    scores = chances / chances.sum(axis=1, keepdims=True)
    certainty = min(1.0, line.probability / float(np.prod(scores[np.arange(len(line.text)), line.text])))
    spans = _spans_of(read)
    if len(row) == len(line.text):
        own = [sight.spans.index(span) for span in row]
        spans = list(row)
        scores = _OF_LINE * scores + (1 - _OF_LINE) * sight.page.scores[own]
        certainty = 1 - _STILL_DOUBTED * (1 - certainty)
    kept = [place for place, sign in enumerate(line.text) if sign != NONE] or list(range(len(line.text)))[:1]
    spans = [spans[place] for place in kept]
    ink = np.stack([_cut_out(sight, span) for span in spans])
    return _Row(spans, ink, scores[kept].astype(np.float32), certainty, has_others=len(kept) < len(line.text))


def _spans_of(read: ReadStrip) -> list[Span]:
    """Where the signs of a line stand: between them, half-way from one to the next."""
    middles = read.strip.left + (read.line.steps + 0.5) * read.step_px
    half = 0.45 * read.strip.height
    edges = (middles[1:] + middles[:-1]) / 2
    lefts = np.maximum(np.append(-np.inf, edges), middles - half)
    rights = np.minimum(np.append(edges, np.inf), middles + half)
    return [Span(left, read.strip.top, right, read.strip.bottom) for left, right in zip(lefts, rights, strict=True)]


def _cut_out(sight: Sight, span: Span) -> Plane:
    """The ink of one digit of a number, 28 x 28: for people to look at."""
    across, down = sight.plane.shape[1] / sight.grey.shape[1], sight.plane.shape[0] / sight.grey.shape[0]
    top, bottom = max(0, int(span.top * down)), max(1, int(np.ceil(span.bottom * down)))
    left, right = max(0, int(span.left * across)), max(1, int(np.ceil(span.right * across)))
    return normalize.centred(sight.plane[top:bottom, left:right])


def _together(sight: Sight, rows: list[_Row], reason: Reason | None) -> Page:
    """The page, read again: blank only if the classical way found nothing, either."""
    certainty = float(np.prod([row.certainty for row in rows]))  # that a row is empty may be in doubt, too
    rows = [row for row in rows if row.spans]
    page = sight.page
    if not rows and page.boxes:
        return replace(page, certainty=certainty, reason=Reason.NOT_A_DIGIT)
    if not rows:
        return replace(page, boxes=(), ink=_NOTHING, scores=_NO_SCORES, reason=Reason.BLANK)
    return replace(
        page,
        boxes=tuple(on_page(span, page, sight.grey) for row in rows for span in row.spans),
        ink=np.concatenate([row.ink for row in rows]),
        scores=np.concatenate([row.scores for row in rows]),
        certainty=certainty,
        reason=Reason.NOT_A_DIGIT if any(row.has_others for row in rows) else reason,
    )
