"""Data set of reviewed pages: corrections of all workers, split into training pages and held-out pages."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from digitrec import files
from digitrec.errors import DataError
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.settings import Settings
from digitrec.storage.corrections import ReviewedRow, Verdict, read_reviewed_rows
from digitrec.training.correction_examples import LabelledPage

HOLDOUT_EVERY = 5
"""One file in so many is held out."""


@dataclass(frozen=True, slots=True)
class CorrectionsDataset:
    """Confirmed and corrected pages, each once with its newest verdict."""

    train: tuple[LabelledPage, ...]
    held_out: tuple[LabelledPage, ...]
    confirmed: int
    """Confirmed pages of both parts."""
    corrected: int
    repeated: int
    """Older verdicts on pages of equal bytes."""
    missing: int
    """Pages left out: the original was pruned, requeued or altered."""

    @property
    def pages(self) -> tuple[LabelledPage, ...]:
        """Training pages, then held-out pages."""
        return (*self.train, *self.held_out)

    def require_training_pages(self) -> None:
        """Raise DataError if there is no page to train on."""
        if not self.train:
            raise DataError(
                f"there is no corrected page to train on ({self.missing:,} originals are missing, "
                f"{len(self.held_out):,} pages are held out)",
                hint="Review answers with `digitrec review`, or import corrections with `digitrec apply`.",
            )

    def to_json(self) -> dict[str, int]:
        """Return the counts."""
        return {
            "learned": len(self.train),
            "held_out": len(self.held_out),
            "confirmed": self.confirmed,
            "corrected": self.corrected,
            "repeated": self.repeated,
            "missing": self.missing,
        }


def load_corrections(settings: Settings) -> CorrectionsDataset:
    """Read the corrections of all workers; the newest verdict on a page of equal bytes wins.

    Raises:
        sqlite3.Error: a ledger cannot be read now.
    """
    with open_ledgers(settings) as ledgers:
        rows = [row for ledger in ledgers.values() for row in read_reviewed_rows(ledger)]
    return build_dataset(rows, settings.workspace)


def build_dataset(rows: Iterable[ReviewedRow], root: Path) -> CorrectionsDataset:
    """Return the data set of these reviewed rows, in any order; originals are below `root`."""
    by_page: dict[tuple[str, int], list[ReviewedRow]] = {}
    for row in sorted(rows, key=lambda item: (item.reviewed_at, item.batch_id, item.row), reverse=True):
        by_page.setdefault((row.sha256, row.page), []).append(row)
    hashes: dict[Path, str] = {}
    train: list[LabelledPage] = []
    held_out: list[LabelledPage] = []
    kinds, missing = [], 0
    for key in sorted(by_page):
        newest = by_page[key][0]
        # Equal bytes may be stored in several locations.
        paths = ((root / item.location, item) for item in by_page[key])
        path = next((path for path, item in paths if _is_unaltered(path, item, hashes)), None)
        if path is None:
            missing += 1
            continue
        page = LabelledPage(path, newest.sha256, newest.page, newest.text)
        (held_out if is_held_out(page.sha256) else train).append(page)
        kinds.append(newest.verdict)
    return CorrectionsDataset(
        train=tuple(train),
        held_out=tuple(held_out),
        confirmed=kinds.count(Verdict.CONFIRMED),
        corrected=kinds.count(Verdict.CORRECTED),
        repeated=sum(len(items) - 1 for items in by_page.values()),
        missing=missing,
    )


def is_held_out(sha256: str) -> bool:
    """Return whether a file is never trained on: equal bytes are in the same part in every training.

    >>> is_held_out("00000005" + 56 * "0"), is_held_out("00000006" + 56 * "0")
    (True, False)
    """
    return int(sha256[:8], 16) % HOLDOUT_EVERY == 0


def _is_unaltered(path: Path, row: ReviewedRow, hashes: dict[Path, str]) -> bool:
    """Return whether a path still holds the bytes that were reviewed; `hashes` caches hashes by path."""
    if not row.location or not row.sha256:
        return False
    if path not in hashes:
        try:
            hashes[path] = files.hash_file(path)
        except FileNotFoundError:
            hashes[path] = ""
    return hashes[path] == row.sha256
