"""The kinds of pictures that are measured."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of pictures."""

    name: str
    letter: str
    """What the targets call it."""
    files: int
    """At full size."""
    usual: int
    """Of these, without --full: enough for the start not to weigh much."""

    def count(self, scale: float | None) -> int:
        """How many files at a share of the full size, at least two; None: the usual number.

        >>> KINDS[DIGITS].count(0.05), KINDS[SHEETS].count(0.01), KINDS[PHOTOS].count(None)
        (500, 2, 60)
        """
        return self.usual if scale is None else max(2, round(self.files * scale))


DIGITS, SCANS, SHEETS, PHOTOS, TABLES, STRIPS = "digits", "scans", "sheets", "photos", "tables", "strips"

KINDS: Mapping[str, Kind] = {
    DIGITS: Kind("28 x 28 PNG", "a", 10_000, 5_000),
    SCANS: Kind("paper scans, 60 to 400 px, JPEG", "b", 2_000, 1_000),
    SHEETS: Kind("A4 pages, 300 dpi, JPEG", "c", 40, 40),
    PHOTOS: Kind("phone photos, 12 MP, JPEG", "d", 200, 60),
    TABLES: Kind("tables of 112 numbers, JPEG", "e", 10, 4),
    STRIPS: Kind("table rows of 9 numbers, JPEG", "f", 100, 30),
}
