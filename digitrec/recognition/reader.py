"""Read the pages of a file: decode, segment and classify. Has no side effects; runs in any thread or process."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from digitrec.arrays import PageResult, Picture
from digitrec.errors import RejectedImage
from digitrec.images import decode
from digitrec.images.decode import MEDIUM_PX, DecodedPage
from digitrec.recognition import normalize, turned
from digitrec.recognition.blank import find_writing
from digitrec.recognition.classifier import NO_DIGIT, DigitClassifier
from digitrec.recognition.enlarge import enlarge
from digitrec.recognition.ensemble import ENSEMBLE_EXIT_CONFIDENCE
from digitrec.recognition.fast_path import (
    FastPathResult,
    confirm_fast_path,
    confirm_zoom,
    line_gray,
    run_fast_path,
    zoom_gray,
)
from digitrec.recognition.geometry import from_page_coords, to_page_coords
from digitrec.recognition.models import RecognitionModels
from digitrec.recognition.preprocess import Mask
from digitrec.recognition.trace import PreprocessedPage, RecognitionTrace
from digitrec.recognition.unread import find_unread
from digitrec.recognition.zoom import zoom
from digitrec.types import Limits, Reason

if TYPE_CHECKING:
    from digitrec.recognition.second_opinion import SecondOpinion

_FAST_EXIT_CONFIDENCE = 0.99
"""Early exit: a page with one isolated character and at least this confidence needs no other model, and no more
detail."""
_LEAST_CONFIDENCE = 0.3
"""Confidence of the only character of a page below which the page path reads the page as well."""
_FEWEST_CONFIDENT = 0.8
"""Least sum of confidences over a half of the digits that it reads instead; two certain ones have 1."""
_SIGN_SHARE = 0.6
"""Share of a component inside the box of a sign from which it is that sign."""
_SMALL_PAGE_VALUES = 1_000_000
"""Most pixel values of a page that stays in memory until it is read together with others."""


class _PendingPage(NamedTuple):
    """A small page that is read together with others."""

    file: int
    """Index of its file."""
    pages: list[PageResult]
    """Results of its file so far."""
    format: str
    sheet: DecodedPage


@dataclass(frozen=True, slots=True)
class PageReader:
    """Reads pages in a cascade with early exits; `app.composition` chooses the models.

    A page with one character and nothing else takes the fast path, then an ensemble with the sequence recognizer, then
    the zoom. Every other page takes the page path.

    The result depends on the page's bytes alone, whatever the process or the other pages.
    """

    classifier: DigitClassifier
    models: RecognitionModels | None = None
    """None: the page path with the classifier only."""
    second_opinion: "SecondOpinion | None" = None
    """None: no other reader is asked."""

    def read_files(
        self, files: Iterable[bytes], limits: Limits, begin_page: Callable[[int], object] = lambda _: None
    ) -> list[list[PageResult] | RejectedImage]:
        """Read several files; the result of a file that has no pages is its rejection.

        Small pages of all files are read together at the end; of the others at most one is in memory.

        Args:
            files: contents of the files.
            limits: of size and number of pages.
            begin_page: called with the index of the file when each page begins.
        """
        pending: list[_PendingPage] = []
        results: list[list[PageResult] | RejectedImage] = []
        for file, data in enumerate(files):
            begin_page(file)
            pages: list[PageResult] = []
            try:
                name, sheets = decode.decode_pages(data, limits)
                for sheet in sheets:
                    begin_page(file)
                    if decode.is_multi_page(name) or sheet.size > _SMALL_PAGE_VALUES:
                        pages.append(self.trace(name, sheet).page)
                    else:
                        pending.append(_PendingPage(file, pages, name, sheet))
            except RejectedImage as why:
                results.append(why.without_traceback())
            else:
                results.append(pages)
        traces = self.trace_all([(page.format, page.sheet) for page in pending])
        for page in pending:
            begin_page(page.file)
            page.pages.append(next(traces).page)
        return results

    def trace(self, format_name: str, sheet: DecodedPage) -> RecognitionTrace:
        """Read one page and return its intermediate results.

        A page without writing gets the reason `blank`; a page that was not decoded, the reason of that.
        """
        (trace,) = self.trace_all([(format_name, sheet)])
        return trace

    def trace_all(self, sheets: Sequence[tuple[str, DecodedPage]]) -> Iterator[RecognitionTrace]:
        """Read several pages, each given with the format of its file; tiny ones are enlarged first."""
        large = [(enlarge(sheet), name, sheet) for name, sheet in sheets]
        traces = self._trace_all([(name, sheet if page is None else page.sheet) for page, name, sheet in large])
        if self.second_opinion is not None:
            traces = self.second_opinion.add_all(traces)
        for (page, _, _), trace in zip(large, traces, strict=True):
            yield trace if page is None else replace(trace, enlarged=page)

    def _trace_all(self, sheets: Sequence[tuple[str, DecodedPage]]) -> Iterator[RecognitionTrace]:
        """Read several pages, each given with the format of its file.

        The pages take each step of the fast path together, which is a tenth faster as code and weights stay in the CPU
        cache; the result of a page does not depend on the others.
        """
        pictures = [sheet.picture for _, sheet in sheets]
        fast = [None] * len(sheets) if self.models is None else run_fast_path(pictures, self.models.segmenter)
        pages = iter(
            self._score(
                [
                    result.page(name, sheet)
                    for (name, sheet), result in zip(sheets, fast, strict=True)
                    if result is not None
                ]
            )
        )
        singles = [
            None if result is None or self.models is None else self._exit_early(next(pages), result, sheet, self.models)
            for (_, sheet), result in zip(sheets, fast, strict=True)
        ]
        singles = [None if trace is None else _add_unread(trace) for trace in singles]
        for (name, sheet), single in zip(sheets, singles, strict=True):
            if single is None:
                yield self.read_without_fast_path(name, sheet)
            elif single.unread:  # the page path supports numbers
                other = self.read_without_fast_path(name, sheet)
                is_better = len(other.page.boxes) > 1 or (other.page.reason is None and bool(other.page.boxes))
                yield other if is_better else single
            elif (
                single.page.boxes and _confidence(single.page) < _LEAST_CONFIDENCE
            ):  # a sheet on a dark desk looks like one blot
                other = self.read_without_fast_path(name, sheet)
                yield other if turned.count_confident(other.initial) >= _FEWEST_CONFIDENT else single
            else:
                yield single

    def read_without_fast_path(self, format_name: str, sheet: DecodedPage) -> RecognitionTrace:
        """Read one page by the page path, straightened if it slants; if it reads poorly, in three other turns, too."""
        picture = sheet.full_detail()
        if isinstance(picture, RejectedImage):
            return RecognitionTrace(undecoded_page(format_name, sheet, picture))
        try:
            trace = self._read_page(format_name, sheet, picture)
        except RejectedImage as why:  # the page path decodes a page of small characters again in a larger size
            return RecognitionTrace(undecoded_page(format_name, sheet, why))
        trace = self._read_straightened(format_name, sheet, trace)
        if not turned.is_poor(trace.initial):
            return trace
        traces = list(self._read_turned(format_name, sheet, picture, trace.initial))
        best = turned.find_best(trace.initial, [other.initial for other in traces])
        return trace if best is None else traces[best]

    def _read_turned(
        self, format_name: str, sheet: DecodedPage, picture: Picture, page: PageResult
    ) -> Iterator[RecognitionTrace]:
        """Yield the traces of a page in the other three orientations.

        Of more than `turned.PARAMS.sampled` numbers, all are read only if a sample reads more confidently.
        """
        for quarters in (1, 2, 3):
            turned_sheet, turned_picture = turned.turn(sheet, picture, quarters)
            trace = self._read_page(format_name, turned_sheet, turned_picture, most=turned.PARAMS.sampled)
            if trace.page_path is not None and trace.page_path.is_sample:
                if not turned.is_promising(trace.initial, page):
                    continue
                trace = self._read_page(format_name, turned_sheet, turned_picture)
            yield replace(trace, turns=quarters)

    def _read_straightened(self, format_name: str, sheet: DecodedPage, trace: RecognitionTrace) -> RecognitionTrace:
        """Return the trace of a page as it reads when it is straightened, or the given one if that is better."""
        from digitrec.recognition import skew

        if trace.page_path is None or not (angle := skew.find_skew(trace.page_path.ink)):
            return trace
        level = skew.straighten(sheet, trace.initial, trace.page_path.ink, angle)
        other = self._read_page(format_name, level.sheet, level.picture, level.margins)
        if not skew.is_better(other.initial, trace.initial):
            return trace
        if other.initial.boxes and trace.page_path.ink.has_marks_around:
            other = replace(other, initial=replace(other.initial, reason=Reason.OTHER_MARKS))
        return replace(other, straightened=level)

    def _read_page(
        self,
        format_name: str,
        sheet: DecodedPage,
        picture: Picture,
        margins: Mask | None = None,
        most: int | None = None,
    ) -> RecognitionTrace:
        """Read one page, or at most `most` of its numbers, by the page path in one orientation.

        RejectedImage if it cannot be decoded in a larger size.
        """
        from digitrec.recognition.page_path import read_page  # takes 15 ms, and most files do not need it

        page, trace = read_page(format_name, sheet, picture, self.classifier, self.models, margins, most)
        decoded = PreprocessedPage(picture, trace.ink.unpainted, trace.ink.ink)
        result = RecognitionTrace(page, decoded, page_path=trace)
        return result if trace.is_sample else _add_unread(result)

    def _exit_early(
        self, page: PageResult, result: FastPathResult, sheet: DecodedPage, models: RecognitionModels
    ) -> RecognitionTrace | None:
        """Return the first result of the cascade that is confident enough; None if the page path has to read the page.

        The fast path found one character; `page` has the classifier's scores.
        """
        confidence = _confidence(page)
        if result.is_isolated and confidence >= _FAST_EXIT_CONFIDENCE:
            decoded = PreprocessedPage(result.picture, result.thumbnail.gray, result.plane)
            return RecognitionTrace(page, decoded, took_fast_path=True)
        if confidence >= 2 * ENSEMBLE_EXIT_CONFIDENCE - 1:  # else no second prediction brings the average over the exit
            gray = line_gray(result)
            confirmed = confirm_fast_path(page, gray, models.recognizer)
            if _confidence(confirmed.page) >= ENSEMBLE_EXIT_CONFIDENCE:
                decoded = PreprocessedPage(result.picture, gray, result.plane)
                return RecognitionTrace(page, decoded, confirmed, took_fast_path=True)
        return self._read_zoomed(page, result, sheet, models)

    def _read_zoomed(
        self, page: PageResult, result: FastPathResult, sheet: DecodedPage, models: RecognitionModels
    ) -> RecognitionTrace | None:
        """Zoom on the page's only character; None if the sequence recognizer reads several."""
        picture = sheet.at_least_px(MEDIUM_PX)
        if isinstance(picture, RejectedImage):
            return RecognitionTrace(undecoded_page(page.format, sheet, picture))
        gray = zoom_gray(result, picture)
        zoomed = zoom(gray, self.classifier, models.segmenter, result.crop)
        confirmed = None if zoomed is None else confirm_zoom(page, gray, zoomed, models.recognizer)
        if confirmed is None:
            return None
        return RecognitionTrace(page, PreprocessedPage(picture, gray, result.plane), confirmed, took_fast_path=True)

    def _score(self, pages: Sequence[PageResult]) -> list[PageResult]:
        """Classify the digits of several pages in one call."""
        if not pages:
            return []
        scores = self.classifier.score(np.concatenate([page.ink for page in pages]))
        ends = list(accumulate(len(page.ink) for page in pages))
        return [replace(page, scores=scores[end - len(page.ink) : end]) for page, end in zip(pages, ends, strict=True)]


def undecoded_page(format_name: str, sheet: DecodedPage, why: RejectedImage) -> PageResult:
    """Return the result of a page that could not be decoded."""
    return PageResult(
        number=sheet.number,
        format=format_name,
        width=sheet.width,
        height=sheet.height,
        boxes=(),
        ink=np.zeros((0, normalize.SIDE, normalize.SIDE), np.float32),
        preview=np.zeros((1, 1), np.uint8),
        reason=why.reason,
        detail=why.detail,
    )


def _add_unread(trace: RecognitionTrace) -> RecognitionTrace:
    """Search for ink that is not part of the answer, unless that was done before or the page was not decoded."""
    page, decoded = trace.page, trace.decoded
    if decoded is None or trace.unread:
        return trace
    rects = [from_page_coords(box, page, decoded.gray) for box in page.boxes]
    if rects:
        text = "".join(map(str, page.scores[:, :NO_DIGIT].argmax(axis=1).tolist()))
        unread = find_unread(decoded.gray, decoded.plane, rects, text)
    else:
        unread = find_writing(decoded.gray)
    boxes = [to_page_coords(rect, page, decoded.gray) for rect in unread]
    if not boxes:
        return trace
    is_sign = [any(box.share_inside(sign) > _SIGN_SHARE for sign in page.sign_boxes) for box in boxes]
    return replace(trace, unread=tuple(box for box, is_read in zip(boxes, is_sign, strict=True) if not is_read))


def _confidence(page: PageResult) -> float:
    """Return the probability that all digits are right, 0..1; 0.0 without digits or with an ambiguous layout."""
    if page.reason is not None:
        return 0.0
    return float(page.scores[:, :NO_DIGIT].max(axis=1).prod())
