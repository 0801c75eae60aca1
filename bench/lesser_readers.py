"""Readers with a part left out, for `bench.ablation`: in a module that child processes can import."""

from dataclasses import dataclass

import numpy as np

from digitrec.classifiers.base import CLASSES, DIGITS, NONE
from digitrec.imaging.contrast import Plane
from digitrec.imaging.decode import Sheet
from digitrec.pictures import Page
from digitrec.recognition.ink_network import InkNetwork, Seen
from digitrec.recognition.line_network import STEP, LineNetwork
from digitrec.recognition.page_reader import PageReader
from digitrec.recognition.sequence import Frames


class Blind(InkNetwork):
    """Sees no ink anywhere."""

    def __init__(self) -> None:
        """Need no weights."""

    def find(self, grey: Plane, afar: Seen | None = None) -> Seen | None:  # noqa: ARG002 - it does not look
        """Nothing."""
        return None


class Undecided(LineNetwork):
    """Holds every single digit, and none, for equally probable: a witness who changes nothing."""

    def __init__(self) -> None:
        """Need no weights."""

    def read(self, strip: Plane) -> tuple[Frames, float]:  # noqa: ARG002 - it does not look
        """One frame."""
        frame = np.full((1, CLASSES + 1), 1 / (DIGITS + 1), np.float32)
        frame[0, NONE] = 0.0
        return frame, float(STEP)


@dataclass(frozen=True, slots=True)
class WithoutGlance(PageReader):
    """Looks closely at every page."""

    def page(self, format_name: str, sheet: Sheet) -> Page:
        """Read one sheet."""
        return self.closely(format_name, sheet).page


@dataclass(frozen=True, slots=True)
class WithoutLine(PageReader):
    """Numbers as the classical way cuts them; a second look, without the line network, at single signs only."""

    def page(self, format_name: str, sheet: Sheet) -> Page:
        """Read one sheet."""
        cheap = PageReader(self.classifier).page(format_name, sheet)
        return cheap if len(cheap.boxes) > 1 else self.closely(format_name, sheet).page
