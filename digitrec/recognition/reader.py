"""A file's bytes -> its pages, each digit found and scored: one pure step, for any thread or process."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from digitrec.arrays import Page, Picture
from digitrec.errors import RejectedImage
from digitrec.images import decode
from digitrec.images.decode import MEDIUM_PX, Sheet
from digitrec.recognition import binarize, layout
from digitrec.recognition.blank import find_writing
from digitrec.recognition.classifier import NONE, Classifier
from digitrec.recognition.ensemble import SURE_OF_BOTH, as_single
from digitrec.recognition.fast_path import Glance, closely_witnessed, glances, grey_closely, grey_of, witnessed
from digitrec.recognition.full_path import Networks, second_look
from digitrec.recognition.geometry import on_grey, on_page, rows_of
from digitrec.recognition.page import page_of, undecoded
from digitrec.recognition.preprocess import GreyPage, smaller
from digitrec.recognition.trace import Decoded, Steps
from digitrec.recognition.unread import find_unread, is_clear_of_edges
from digitrec.recognition.zoom import Close, close_look
from digitrec.types import Limits, Reason

_SURE = 0.99
"""One digit, clearly cut out and read with at least this probability, needs no further look; nor does a page need more
detail whose answer is at least so sure without."""
_DISPUTED = 0.5
"""An answer that one of several readers disputes is as likely wrong as right."""
_MEDIUM_PX = 512
"""A larger page is looked at in this size first: most digits fill enough of it."""
_LARGE_PX = 28
"""A digit that is at least so long there is as good as on the page itself: it becomes 20."""
_SMALL = 1_000_000
"""Pages of up to so many levels wait for each other in memory."""


class _Waiting(NamedTuple):
    """A small page that is read together with others."""

    file: int
    """Position of its file in the chunk."""
    pages: list[Page]
    """Those of its file that are read."""
    format: str
    sheet: Sheet


@dataclass(frozen=True, slots=True)
class PageReader:
    """Reads pages with its collaborators, chosen in app.py.

    First at a glance; if that is not sure, with the line network's word for it; then its only sign closely, by both. Of
    pages with several signs, or none, first the classical way, and if that is not sure, with all networks.

    The same bytes give the same pages in any process; what a page becomes depends on that page alone.
    """

    classifier: Classifier
    networks: Networks | None = None
    """None: what the classical way says, stands."""

    def read(self, data: bytes, limits: Limits) -> list[Page]:
        """Read all pages of a file, decoding one at a time.

        Raises:
            RejectedImage: there is no page to speak of: empty, no picture, cut off, not read, or over a limit.
        """
        (found,) = self.read_all([data], limits)
        if isinstance(found, RejectedImage):
            raise found
        return found

    def read_all(
        self, files: Iterable[bytes], limits: Limits, begin_page: Callable[[int], object] = lambda _: None
    ) -> list[list[Page] | RejectedImage]:
        """Read several files, each as it would be read alone; in place of its pages, why a file has none.

        Small pages of all files are read together at the end; of others no more than one is in memory.

        Args:
            files: their bytes.
            limits: what is opened at all.
            begin_page: called with the position of a file as each of its pages begins.
        """
        waiting: list[_Waiting] = []
        results: list[list[Page] | RejectedImage] = []
        for file, data in enumerate(files):
            begin_page(file)
            pages: list[Page] = []
            try:
                name, sheets = decode.sheets(data, limits)
                for sheet in sheets:
                    begin_page(file)
                    if decode.is_document(name) or sheet.size > _SMALL:
                        pages.append(self.steps(name, sheet).page)
                    else:
                        waiting.append(_Waiting(file, pages, name, sheet))
            except RejectedImage as why:
                results.append(why)
            else:
                results.append(pages)
        together = self.steps_of([(page.format, page.sheet) for page in waiting])
        for page in waiting:
            begin_page(page.file)
            page.pages.append(next(together).page)
        return results

    def steps(self, format_name: str, sheet: Sheet) -> Steps:
        """Read one sheet, and keep what it became at each step.

        Without writing its page has the reason `blank`; if it was not decoded, that reason.
        """
        (found,) = self.steps_of([(format_name, sheet)])
        return found

    def steps_of(self, sheets: Sequence[tuple[str, Sheet]]) -> Iterator[Steps]:
        """The same for several sheets, each with the format of its file.

        They take the steps of a glance together: what one step needs is in the processor's caches then, and a page
        takes a tenth less. What a page becomes depends on that page alone all the same.
        """
        pictures = [sheet.picture for _, sheet in sheets]
        seen = [None] * len(sheets) if self.networks is None else glances(pictures, self.networks.ink)
        found = list(zip(sheets, seen, strict=True))
        pages = iter(self._scored([one.page(name, sheet) for (name, sheet), one in found if one is not None]))
        plain = [None if one is not None else _plain(sheet) for (_, sheet), one in found]
        shown = [(*of, picture, None) for of, picture in zip(sheets, plain, strict=True) if picture is not None]
        looked = self._looks(shown)
        for ((name, sheet), one), picture in zip(found, plain, strict=True):
            if one is not None and self.networks is not None:
                yield self._from_glance(next(pages), one, sheet, self.networks)
            else:
                yield next(looked) if picture is not None else self.closely(name, sheet)

    def closely(self, format_name: str, sheet: Sheet, close: Close | None = None) -> Steps:
        """Read one sheet without a glance before: the classical way, and with all networks if that is not sure.

        With `close`, its main sign was looked at before.
        """
        picture = sheet.at(MEDIUM_PX)
        if isinstance(picture, RejectedImage):
            return Steps(undecoded(format_name, sheet, picture))
        is_reduced = max(picture.shape) < max(sheet.width, sheet.height)
        if is_reduced or max(picture.shape) > _MEDIUM_PX:
            steps = self._look(format_name, sheet, smaller(picture, _MEDIUM_PX), close)
            if _is_large(steps.page) and _confidence(steps.page) >= _SURE:
                return steps
            picture = sheet.fine() if is_reduced else picture
            if isinstance(picture, RejectedImage):
                return Steps(undecoded(format_name, sheet, picture))
            close = None  # there is more to see now
        return self._look(format_name, sheet, picture, close)

    def _from_glance(self, page: Page, seen: Glance, sheet: Sheet, networks: Networks) -> Steps:
        """A page on which a glance found one sign, with its scores: as many looks as it takes to be sure.

        If something on the page is left unread, all of it is read the classical way, which knows of numbers.
        """
        steps = self._glanced(page, seen, sheet, networks)
        if not steps.is_glance:  # read the classical way, and checked there
            return steps
        steps = _with_unread(steps)
        if not steps.unread:
            return steps
        other = self.closely(page.format, sheet)
        is_better = len(other.page.boxes) > 1 or (other.page.reason is None and bool(other.page.boxes))
        return other if is_better else steps

    def _glanced(self, page: Page, seen: Glance, sheet: Sheet, networks: Networks) -> Steps:
        confidence = _confidence(page)
        if seen.is_alone and confidence >= _SURE:
            return Steps(page, Decoded(seen.picture, seen.tiny.grey, seen.plane), is_glance=True)
        if confidence >= 2 * SURE_OF_BOTH - 1:  # else their mean is too low, whatever the line network says
            grey = grey_of(seen)
            second = witnessed(page, grey, networks.line)
            if _confidence(second.page) >= SURE_OF_BOTH:
                return Steps(page, Decoded(seen.picture, grey, seen.plane), second, is_glance=True)
        return self._nearer(page, seen, sheet, networks)

    def _nearer(self, page: Page, seen: Glance, sheet: Sheet, networks: Networks) -> Steps:
        """The page's only sign looked at closely; if the line network sees more than one, the page as a whole."""
        picture = sheet.at(MEDIUM_PX)
        if isinstance(picture, RejectedImage):
            return Steps(undecoded(page.format, sheet, picture))
        grey = grey_closely(seen, picture)
        close = close_look(grey, self.classifier, networks.ink, seen.seen)
        second = None if close is None else closely_witnessed(page, grey, close, networks.line)
        if second is not None:
            return Steps(page, Decoded(picture, grey, seen.plane), second, is_glance=True)
        return self.closely(page.format, sheet, close)

    def _look(self, format_name: str, sheet: Sheet, picture: Picture, close: Close | None) -> Steps:
        (found,) = self._looks([(format_name, sheet, picture, close)])
        return found

    def _looks(self, shown: Sequence[tuple[str, Sheet, Picture, Close | None]]) -> Iterator[Steps]:
        """Sheets the classical way, each in the detail of a picture, and with all networks if that is not sure."""
        greys = [GreyPage.of(picture) for _, _, picture, _ in shown]
        planes = [binarize.find(grey) for grey in greys]
        found = [layout.arrange(plane) for plane in planes]
        pages = self._scored(
            [
                page_of(name, sheet, grey.preview, plane, signs)
                for (name, sheet, _, _), grey, plane, signs in zip(shown, greys, planes, found, strict=True)
            ]
        )
        for page, (_, _, picture, close), grey, plane in zip(pages, shown, greys, planes, strict=True):
            yield self._checked(page, Decoded(picture, grey.grey, plane), close)

    def _checked(self, page: Page, decoded: Decoded, close: Close | None) -> Steps:
        """A page that was read the classical way, looked at again if that is not sure."""
        is_sure = len(page.boxes) == 1 and _confidence(page) >= _SURE
        if self.networks is None or (is_sure and is_clear_of_edges(page, decoded.grey, decoded.plane)):
            return _with_unread(Steps(page, decoded))
        second = second_look(page, decoded.grey, decoded.plane, self.classifier, self.networks, close)
        if not is_sure:
            return _with_unread(Steps(page, decoded, second))
        opinions = [one.scores for one in second.witnesses]
        opinions.append(as_single(self.networks.line.read(decoded.grey)[0]))  # nothing is cut away from all of the page
        digit = int(page.scores[0, :NONE].argmax())
        if second.witnesses and all(int(scores[:NONE].argmax()) == digit for scores in opinions):
            return _with_unread(Steps(page, decoded))  # all agree, some less sure than the cut alone
        if len(second.page.boxes) > 1:  # one character to one, several to the other
            return _with_unread(Steps(replace(page, reason=Reason.AMBIGUOUS_LAYOUT), decoded))
        if second.page.reason is None and int(second.page.scores[0, :NONE].argmax()) == digit:
            second = replace(second, page=replace(second.page, certainty=_DISPUTED * second.page.certainty))
        return _with_unread(Steps(page, decoded, second))

    def _scored(self, pages: Sequence[Page]) -> list[Page]:
        if not pages:
            return []
        scores = self.classifier.score(np.concatenate([page.ink for page in pages]))
        ends = list(accumulate(len(page.ink) for page in pages))
        return [replace(page, scores=scores[end - len(page.ink) : end]) for page, end in zip(pages, ends, strict=True)]


def _with_unread(steps: Steps) -> Steps:
    """The same with what is left unread on the page, unless that was looked for before or nothing was decoded."""
    page, decoded = steps.page, steps.decoded
    if decoded is None or steps.unread:
        return steps
    spans = [on_grey(box, page, decoded.grey) for box in page.boxes]
    if spans:
        text = "".join(map(str, page.scores[:, :NONE].argmax(axis=1).tolist()))
        unread = find_unread(decoded.grey, decoded.plane, spans, text)
    else:
        unread = find_writing(decoded.grey)
    boxes = tuple(on_page(span, page, decoded.grey) for span in unread)
    return replace(steps, unread=boxes, has_rows=len(rows_of(spans)) > 1)


def _confidence(page: Page) -> float:
    """That its digits are all what they seem, 0..1; 0.0 if there are none, or it is not clear which belong together."""
    if page.reason is not None:
        return 0.0
    return page.certainty * float(page.scores[:, :NONE].max(axis=1).prod())


def _plain(sheet: Sheet) -> Picture | None:
    """The picture of a sheet that is small, with all the detail there is: one look the classical way will do."""
    picture = sheet.picture
    if isinstance(picture, RejectedImage) or sheet.finer is not None or max(picture.shape) > _MEDIUM_PX:
        return None
    return picture


def _is_large(page: Page) -> bool:
    """Whether its digits lost nothing at medium size that scaling them to 20 pixels would have kept."""
    smallest = min((max(box.width, box.height) for box in page.boxes), default=0)
    return smallest * _MEDIUM_PX >= _LARGE_PX * max(page.width, page.height)
