"""A file's bytes -> its pages, each digit found and scored: one pure step, for any thread or process."""

from dataclasses import dataclass, replace

from digitrec import imaging
from digitrec.classifiers.base import Classifier
from digitrec.imaging.decode import Sheet
from digitrec.imaging.pages import classical
from digitrec.records import Limits, Page


@dataclass(frozen=True, slots=True)
class PageReader:
    """Reads pages with its collaborators, chosen in app.py.

    The same bytes give the same pages in any process; what a page becomes depends on that page alone.
    """

    classifier: Classifier

    def read(self, data: bytes, limits: Limits) -> list[Page]:
        """Read all pages of a file, decoding one at a time.

        Raises:
            RejectedImage: there is no page to speak of: empty, no picture, cut off, not read, or over a limit.
        """
        name, sheets = imaging.sheets(data, limits)
        return [self.page(name, sheet) for sheet in sheets]

    def page(self, format_name: str, sheet: Sheet) -> Page:
        """Read one sheet. Without writing it has the reason `blank`; if it was not decoded, that reason."""
        page = classical(format_name, sheet)
        return replace(page, scores=self.classifier.score(page.ink))
