"""A file's bytes -> its pages, each digit found and scored: one pure step, for any thread or process."""

from dataclasses import dataclass, replace

from digitrec import imaging
from digitrec.classifiers.base import NONE, Classifier
from digitrec.errors import RejectedImage
from digitrec.imaging import ink
from digitrec.imaging.contrast import smaller
from digitrec.imaging.decode import Sheet
from digitrec.imaging.pages import page_of, undecoded
from digitrec.pictures import Page, Picture
from digitrec.recognition.explain import Decoded, Steps
from digitrec.recognition.second_look import Networks, second_look
from digitrec.records import Limits

_SURE = 0.995
"""One digit, clearly cut out and read with at least this probability, needs no second look."""
_GLANCE_PX = 512
"""A larger page is looked at in this size first: most digits fill enough of it."""
_LARGE_PX = 40
"""A digit that is at least so long there is as good as on the page itself: it becomes 20."""


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
        if max(sheet.picture.shape) > _GLANCE_PX or sheet.finer is not None:
            steps = self._cheap(format_name, sheet, smaller(sheet.picture, _GLANCE_PX))
            if _is_sure(steps.cheap) and _is_large(steps.cheap):
                return steps
        picture = sheet.fine()
        if isinstance(picture, RejectedImage):
            return Steps(undecoded(format_name, sheet, picture))
        steps = self._cheap(format_name, sheet, picture)
        if self.networks is None or _is_sure(steps.cheap) or steps.decoded is None:
            return steps
        grey, plane = steps.decoded.grey, steps.decoded.plane
        return replace(steps, second=second_look(steps.cheap, grey, plane, self.classifier, self.networks))

    def _cheap(self, format_name: str, sheet: Sheet, picture: Picture) -> Steps:
        plane = ink.find(picture)
        page = page_of(format_name, sheet, picture, plane)
        return Steps(replace(page, scores=self.classifier.score(page.ink)), Decoded(picture, plane))


def _is_sure(page: Page) -> bool:
    return page.reason is None and len(page.scores) == 1 and float(page.scores[0, :NONE].max()) >= _SURE


def _is_large(page: Page) -> bool:
    """Whether the page's digit lost nothing at a glance that scaling it to 20 pixels would have kept."""
    longest = max(max(box.width, box.height) for box in page.boxes)
    return longest * _GLANCE_PX >= _LARGE_PX * max(page.width, page.height)
