"""A file's bytes -> its pages, each digit found and scored: one pure step, for any thread or process."""

from dataclasses import dataclass, replace
from functools import partial

from digitrec import imaging
from digitrec.classifiers.base import NONE, Classifier
from digitrec.errors import RejectedImage
from digitrec.imaging import ink, layout
from digitrec.imaging.contrast import GreyPage, Thumbnail
from digitrec.imaging.decode import Sheet
from digitrec.imaging.pages import on_sheet, page_of, undecoded
from digitrec.pictures import Page
from digitrec.recognition.explain import Decoded, Steps
from digitrec.recognition.glance import alone, is_worth_a_glance
from digitrec.recognition.ink_network import SIDE, whole
from digitrec.recognition.second_look import Networks, second_look
from digitrec.records import Limits

_SURE = 0.99
"""One digit, clearly cut out and read with at least this probability, needs no second look; nor does a page need more
detail whose answer is at least so sure at a glance."""


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
        picture = sheet.picture
        if isinstance(picture, RejectedImage):
            return Steps(undecoded(format_name, sheet, picture))
        if self.networks is None or not is_worth_a_glance(picture):
            return self.closely(format_name, sheet)
        tiny = Thumbnail.of(picture, SIDE)
        seen = self.networks.ink.look(tiny.grey, whole(tiny.grey))
        sign = alone(seen)
        if sign is not None and sign.is_large:
            page = self._scored(sign.page(format_name, sheet, tiny.grey, tiny.preview))
            if _confidence(page) >= _SURE:
                return Steps(page, Decoded(picture, tiny.grey, seen))
        return self.closely(format_name, sheet)

    def closely(self, format_name: str, sheet: Sheet) -> Steps:
        """The same without the glance: every step."""
        picture = sheet.fine()
        if isinstance(picture, RejectedImage):
            return Steps(undecoded(format_name, sheet, picture))
        grey = GreyPage.of(picture)
        plane = ink.find(grey)
        where = partial(on_sheet, plane=plane, sheet=sheet)
        page = self._scored(page_of(format_name, sheet, grey.preview, layout.arrange(plane), where))
        decoded = Decoded(picture, grey.grey, plane)
        if self.networks is None or (len(page.boxes) == 1 and _confidence(page) >= _SURE):
            return Steps(page, decoded)
        return Steps(page, decoded, second_look(page, grey.grey, plane, self.classifier, self.networks))

    def _scored(self, page: Page) -> Page:
        return replace(page, scores=self.classifier.score(page.ink))


def _confidence(page: Page) -> float:
    """That its digits are all what they seem, 0..1; 0.0 if there are none, or it is not clear which belong together."""
    if page.reason is not None:
        return 0.0
    return page.certainty * float(page.scores[:, :NONE].max(axis=1).prod())

