"""A file's bytes -> its pages, each digit found and scored: one pure step, for any thread or process."""

from dataclasses import dataclass, replace

from digitrec import imaging
from digitrec.classifiers.base import NONE, Classifier
from digitrec.errors import RejectedImage
from digitrec.imaging import ink
from digitrec.imaging.decode import Sheet
from digitrec.imaging.pages import page_of, undecoded
from digitrec.pictures import Page
from digitrec.recognition.explain import Decoded, Steps
from digitrec.recognition.second_look import Networks, second_look
from digitrec.records import Limits

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
        return self.steps(format_name, sheet).page

    def steps(self, format_name: str, sheet: Sheet) -> Steps:
        """Read one sheet, and keep what it became at each step."""
        if isinstance(sheet.picture, RejectedImage):
            return Steps(undecoded(format_name, sheet, sheet.picture))
        plane = ink.find(sheet.picture)
        page = page_of(format_name, sheet, sheet.picture, plane)
        page = replace(page, scores=self.classifier.score(page.ink))
        decoded = Decoded(sheet.picture, plane)
        if self.networks is None or _is_sure(page):
            return Steps(page, decoded)
        return Steps(page, decoded, second_look(page, decoded.grey, plane, self.classifier, self.networks))


def _is_sure(page: Page) -> bool:
    return page.reason is None and len(page.scores) == 1 and float(page.scores[0, :NONE].max()) >= _SURE
