"""A file's bytes -> its pages, each digit found and scored: one pure step, for any thread or process."""

from dataclasses import dataclass, replace

from digitrec import imaging
from digitrec.classifiers.base import NONE, Classifier
from digitrec.errors import RejectedImage
from digitrec.imaging import ink
from digitrec.imaging.contrast import WORK_PX, grey_of, smaller
from digitrec.imaging.decode import Sheet
from digitrec.imaging.pages import page_of, undecoded
from digitrec.recognition.second_look import Networks, second_look
from digitrec.records import Limits, Page

_SURE = 0.995
"""One digit, clearly cut out and read with at least this probability, needs no second look."""


@dataclass(frozen=True, slots=True)
class PageReader:
    """Reads pages with its collaborators, chosen in app.py: the cheap way first, the networks where that is not sure.

    The same bytes give the same pages in any process; what a page becomes depends on that page alone.
    """

    classifier: Classifier
    networks: Networks | None = None
    """None: what the cheap way says, stands."""

    def read(self, data: bytes, limits: Limits) -> list[Page]:
        """Read all pages of a file, decoding one at a time.

        Raises:
            RejectedImage: there is no page to speak of: empty, no picture, cut off, not read, or over a limit.
        """
        name, sheets = imaging.sheets(data, limits)
        return [self.page(name, sheet) for sheet in sheets]

    def page(self, format_name: str, sheet: Sheet) -> Page:
        """Read one sheet. Without writing it has the reason `blank`; if it was not decoded, that reason."""
        if isinstance(sheet.picture, RejectedImage):
            return undecoded(format_name, sheet, sheet.picture)
        plane = ink.find(sheet.picture)
        page = page_of(format_name, sheet, sheet.picture, plane)
        page = replace(page, scores=self.classifier.score(page.ink))
        if self.networks is None or _is_sure(page):
            return page
        grey = grey_of(smaller(sheet.picture, WORK_PX))
        return second_look(page, grey, plane, self.classifier, self.networks)


def _is_sure(page: Page) -> bool:
    return page.reason is None and len(page.scores) == 1 and float(page.scores[0, :NONE].max()) >= _SURE
