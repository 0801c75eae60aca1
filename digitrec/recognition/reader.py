"""A file's bytes -> its pages, each digit found and scored: one pure step, for any thread or process."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from digitrec.arrays import PageResult, Picture
from digitrec.errors import RejectedImage
from digitrec.images import decode
from digitrec.images.decode import MEDIUM_PX, DecodedPage
from digitrec.recognition import binarize, layout
from digitrec.recognition.blank import find_writing
from digitrec.recognition.classifier import NO_DIGIT, DigitClassifier
from digitrec.recognition.ensemble import ENSEMBLE_EXIT_CONFIDENCE, p_single_digit
from digitrec.recognition.fast_path import (
    FastPathResult,
    confirm_fast_path,
    confirm_zoom,
    line_gray,
    run_fast_path,
    zoom_gray,
)
from digitrec.recognition.full_path import RecognitionModels, run_full_path
from digitrec.recognition.geometry import from_page_coords, group_rows, to_page_coords
from digitrec.recognition.page import make_page, undecoded_page
from digitrec.recognition.preprocess import GrayPage, downscale
from digitrec.recognition.trace import PreprocessedPage, RecognitionTrace
from digitrec.recognition.unread import find_unread, is_clear_of_edges
from digitrec.recognition.zoom import ZoomResult, zoom
from digitrec.types import Limits, Reason

_FAST_EXIT_CONFIDENCE = 0.99
"""One digit, clearly cut out and read with at least this probability, needs no further look; nor does a page need more
detail whose answer is at least so sure without."""
_DISPUTED_FACTOR = 0.5
"""An answer that one of several readers disputes is as likely wrong as right."""
_MEDIUM_PX = 512
"""A larger page is looked at in this size first: most digits fill enough of it."""
_LARGE_DIGIT_PX = 28
"""A digit that is at least so long there is as good as on the page itself: it becomes 20."""
_SMALL_PAGE_VALUES = 1_000_000
"""Pages of up to so many levels wait for each other in memory."""


class _PendingPage(NamedTuple):
    """A small page that is read together with others."""

    file: int
    """Position of its file in the chunk."""
    pages: list[PageResult]
    """Those of its file that are read."""
    format: str
    sheet: DecodedPage


@dataclass(frozen=True, slots=True)
class PageReader:
    """Reads pages with its collaborators, chosen in app.py.

    First at a glance; if that is not sure, with the line network's word for it; then its only sign closely, by both. Of
    pages with several signs, or none, first the classical way, and if that is not sure, with all networks.

    The same bytes give the same pages in any process; what a page becomes depends on that page alone.
    """

    classifier: DigitClassifier
    models: RecognitionModels | None = None
    """None: what the classical way says, stands."""

    def read(self, data: bytes, limits: Limits) -> list[PageResult]:
        """Read all pages of a file, decoding one at a time.

        Raises:
            RejectedImage: there is no page to speak of: empty, no picture, cut off, not read, or over a limit.
        """
        (found,) = self.read_files([data], limits)
        if isinstance(found, RejectedImage):
            raise found
        return found

    def read_files(
        self, files: Iterable[bytes], limits: Limits, begin_page: Callable[[int], object] = lambda _: None
    ) -> list[list[PageResult] | RejectedImage]:
        """Read several files, each as it would be read alone; in place of its pages, why a file has none.

        Small pages of all files are read together at the end; of others no more than one is in memory.

        Args:
            files: their bytes.
            limits: what is opened at all.
            begin_page: called with the position of a file as each of its pages begins.
        """
        waiting: list[_PendingPage] = []
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
                        waiting.append(_PendingPage(file, pages, name, sheet))
            except RejectedImage as why:
                results.append(why)
            else:
                results.append(pages)
        together = self.trace_all([(page.format, page.sheet) for page in waiting])
        for page in waiting:
            begin_page(page.file)
            page.pages.append(next(together).page)
        return results

    def trace(self, format_name: str, sheet: DecodedPage) -> RecognitionTrace:
        """Read one sheet, and keep what it became at each step.

        Without writing its page has the reason `blank`; if it was not decoded, that reason.
        """
        (found,) = self.trace_all([(format_name, sheet)])
        return found

    def trace_all(self, sheets: Sequence[tuple[str, DecodedPage]]) -> Iterator[RecognitionTrace]:
        """The same for several sheets, each with the format of its file.

        They take the steps of a glance together: what one step needs is in the processor's caches then, and a page
        takes a tenth less. What a page becomes depends on that page alone all the same.
        """
        pictures = [sheet.picture for _, sheet in sheets]
        seen = [None] * len(sheets) if self.models is None else run_fast_path(pictures, self.models.segmenter)
        found = list(zip(sheets, seen, strict=True))
        pages = iter(self._scored([one.page(name, sheet) for (name, sheet), one in found if one is not None]))
        plain = [None if one is not None else _small_picture(sheet) for (_, sheet), one in found]
        shown = [(*of, picture, None) for of, picture in zip(sheets, plain, strict=True) if picture is not None]
        looked = self._looks(shown)
        for ((name, sheet), one), picture in zip(found, plain, strict=True):
            if one is not None and self.models is not None:
                yield self._from_glance(next(pages), one, sheet, self.models)
            else:
                yield next(looked) if picture is not None else self.read_full(name, sheet)

    def read_full(self, format_name: str, sheet: DecodedPage, close: ZoomResult | None = None) -> RecognitionTrace:
        """Read one sheet without a glance before: the classical way, and with all networks if that is not sure.

        With `close`, its main sign was looked at before.
        """
        picture = sheet.at_least_px(MEDIUM_PX)
        if isinstance(picture, RejectedImage):
            return RecognitionTrace(undecoded_page(format_name, sheet, picture))
        is_reduced = max(picture.shape) < max(sheet.width, sheet.height)
        if is_reduced or max(picture.shape) > _MEDIUM_PX:
            steps = self._look(format_name, sheet, downscale(picture, _MEDIUM_PX), close)
            if _is_large(steps.page) and _confidence(steps.page) >= _FAST_EXIT_CONFIDENCE:
                return steps
            picture = sheet.full_detail() if is_reduced else picture
            if isinstance(picture, RejectedImage):
                return RecognitionTrace(undecoded_page(format_name, sheet, picture))
            close = None  # there is more to see now
        return self._look(format_name, sheet, picture, close)

    def _from_glance(
        self, page: PageResult, seen: FastPathResult, sheet: DecodedPage, networks: RecognitionModels
    ) -> RecognitionTrace:
        """A page on which a glance found one sign, with its scores: as many looks as it takes to be sure.

        If something on the page is left unread, all of it is read the classical way, which knows of numbers.
        """
        steps = self._glanced(page, seen, sheet, networks)
        if not steps.took_fast_path:  # read the classical way, and checked there
            return steps
        steps = _add_unread(steps)
        if not steps.unread:
            return steps
        other = self.read_full(page.format, sheet)
        is_better = len(other.page.boxes) > 1 or (other.page.reason is None and bool(other.page.boxes))
        return other if is_better else steps

    def _glanced(
        self, page: PageResult, seen: FastPathResult, sheet: DecodedPage, networks: RecognitionModels
    ) -> RecognitionTrace:
        confidence = _confidence(page)
        if seen.is_isolated and confidence >= _FAST_EXIT_CONFIDENCE:
            return RecognitionTrace(
                page, PreprocessedPage(seen.picture, seen.thumbnail.gray, seen.plane), took_fast_path=True
            )
        if confidence >= 2 * ENSEMBLE_EXIT_CONFIDENCE - 1:  # else their mean is too low, whatever the line network says
            gray = line_gray(seen)
            second = confirm_fast_path(page, gray, networks.recognizer)
            if _confidence(second.page) >= ENSEMBLE_EXIT_CONFIDENCE:
                return RecognitionTrace(
                    page, PreprocessedPage(seen.picture, gray, seen.plane), second, took_fast_path=True
                )
        return self._nearer(page, seen, sheet, networks)

    def _nearer(
        self, page: PageResult, seen: FastPathResult, sheet: DecodedPage, networks: RecognitionModels
    ) -> RecognitionTrace:
        """The page's only sign looked at closely; if the line network sees more than one, the page as a whole."""
        picture = sheet.at_least_px(MEDIUM_PX)
        if isinstance(picture, RejectedImage):
            return RecognitionTrace(undecoded_page(page.format, sheet, picture))
        gray = zoom_gray(seen, picture)
        close = zoom(gray, self.classifier, networks.segmenter, seen.crop)
        second = None if close is None else confirm_zoom(page, gray, close, networks.recognizer)
        if second is not None:
            return RecognitionTrace(page, PreprocessedPage(picture, gray, seen.plane), second, took_fast_path=True)
        return self.read_full(page.format, sheet, close)

    def _look(
        self, format_name: str, sheet: DecodedPage, picture: Picture, close: ZoomResult | None
    ) -> RecognitionTrace:
        (found,) = self._looks([(format_name, sheet, picture, close)])
        return found

    def _looks(
        self, shown: Sequence[tuple[str, DecodedPage, Picture, ZoomResult | None]]
    ) -> Iterator[RecognitionTrace]:
        """Sheets the classical way, each in the detail of a picture, and with all networks if that is not sure."""
        greys = [GrayPage.of(picture) for _, _, picture, _ in shown]
        planes = [binarize.estimate_ink(gray) for gray in greys]
        found = [layout.group_digits(plane) for plane in planes]
        pages = self._scored(
            [
                make_page(name, sheet, gray.preview, plane, signs)
                for (name, sheet, _, _), gray, plane, signs in zip(shown, greys, planes, found, strict=True)
            ]
        )
        for page, (_, _, picture, close), gray, plane in zip(pages, shown, greys, planes, strict=True):
            yield self._checked(page, PreprocessedPage(picture, gray.gray, plane), close)

    def _checked(self, page: PageResult, decoded: PreprocessedPage, close: ZoomResult | None) -> RecognitionTrace:
        """A page that was read the classical way, looked at again if that is not sure."""
        is_sure = len(page.boxes) == 1 and _confidence(page) >= _FAST_EXIT_CONFIDENCE
        if self.models is None or (is_sure and is_clear_of_edges(page, decoded.gray, decoded.plane)):
            return _add_unread(RecognitionTrace(page, decoded))
        second = run_full_path(page, decoded.gray, decoded.plane, self.classifier, self.models, close)
        if not is_sure:
            return _add_unread(RecognitionTrace(page, decoded, second))
        opinions = [one.scores for one in second.predictions]
        opinions.append(
            p_single_digit(self.models.recognizer.read(decoded.gray)[0])
        )  # nothing is cut away from all of the page
        digit = int(page.scores[0, :NO_DIGIT].argmax())
        if second.predictions and all(int(scores[:NO_DIGIT].argmax()) == digit for scores in opinions):
            return _add_unread(RecognitionTrace(page, decoded))  # all agree, some less sure than the cut alone
        if len(second.page.boxes) > 1:  # one character to one, several to the other
            return _add_unread(RecognitionTrace(replace(page, reason=Reason.AMBIGUOUS_LAYOUT), decoded))
        if second.page.reason is None and int(second.page.scores[0, :NO_DIGIT].argmax()) == digit:
            second = replace(
                second, page=replace(second.page, layout_confidence=_DISPUTED_FACTOR * second.page.layout_confidence)
            )
        return _add_unread(RecognitionTrace(page, decoded, second))

    def _scored(self, pages: Sequence[PageResult]) -> list[PageResult]:
        if not pages:
            return []
        scores = self.classifier.score(np.concatenate([page.ink for page in pages]))
        ends = list(accumulate(len(page.ink) for page in pages))
        return [replace(page, scores=scores[end - len(page.ink) : end]) for page, end in zip(pages, ends, strict=True)]


def _add_unread(steps: RecognitionTrace) -> RecognitionTrace:
    """The same with what is left unread on the page, unless that was looked for before or nothing was decoded."""
    page, decoded = steps.page, steps.decoded
    if decoded is None or steps.unread:
        return steps
    spans = [from_page_coords(box, page, decoded.gray) for box in page.boxes]
    if spans:
        text = "".join(map(str, page.scores[:, :NO_DIGIT].argmax(axis=1).tolist()))
        unread = find_unread(decoded.gray, decoded.plane, spans, text)
    else:
        unread = find_writing(decoded.gray)
    boxes = tuple(to_page_coords(span, page, decoded.gray) for span in unread)
    return replace(steps, unread=boxes, has_rows=len(group_rows(spans)) > 1)


def _confidence(page: PageResult) -> float:
    """That its digits are all what they seem, 0..1; 0.0 if there are none, or it is not clear which belong together."""
    if page.reason is not None:
        return 0.0
    return page.layout_confidence * float(page.scores[:, :NO_DIGIT].max(axis=1).prod())


def _small_picture(sheet: DecodedPage) -> Picture | None:
    """The picture of a sheet that is small, with all the detail there is: one look the classical way will do."""
    picture = sheet.picture
    if isinstance(picture, RejectedImage) or sheet.decode_larger is not None or max(picture.shape) > _MEDIUM_PX:
        return None
    return picture


def _is_large(page: PageResult) -> bool:
    """Whether its digits lost nothing at medium size that scaling them to 20 pixels would have kept."""
    smallest = min((max(box.width, box.height) for box in page.boxes), default=0)
    return smallest * _MEDIUM_PX >= _LARGE_DIGIT_PX * max(page.width, page.height)
