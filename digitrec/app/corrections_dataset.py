"""What people said about pages -> pages to learn from, and pages that no model ever learns from."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from digitrec import files
from digitrec.errors import DataError
from digitrec.pipeline import workspace
from digitrec.settings import Settings
from digitrec.storage.corrections import ReviewedRow, Verdict, read_reviewed_rows
from digitrec.training.correction_examples import LabelledPage

HOLDOUT_EVERY = 5
"""One file in so many is held out."""


@dataclass(frozen=True, slots=True)
class CorrectionsDataset:
    """Every page whose truth is known once, with what a person said of it last."""

    train: tuple[LabelledPage, ...]
    held_out: tuple[LabelledPage, ...]
    confirmed: int
    """Of both."""
    corrected: int
    repeated: int
    """Verdicts on pages of the same bytes, besides the newest of each."""
    missing: int
    """Pages left out: the original was pruned or requeued, or is not what was read."""

    @property
    def pages(self) -> tuple[LabelledPage, ...]:
        """Both."""
        return (*self.train, *self.held_out)

    def require_training_pages(self) -> None:
        """Raise DataError if there is nothing to learn from."""
        if not self.train:
            raise DataError(
                f"nobody has corrected a page that can be learned from ({self.missing:,} originals are missing, "
                f"{len(self.held_out):,} pages are held out)",
                hint="Look at answers with `digitrec review`, or bring corrections in with `digitrec apply`.",
            )

    def to_json(self) -> dict[str, int]:
        """The counts."""
        return {
            "learned": len(self.train),
            "held_out": len(self.held_out),
            "confirmed": self.confirmed,
            "corrected": self.corrected,
            "repeated": self.repeated,
            "missing": self.missing,
        }


def load_corrections(settings: Settings) -> CorrectionsDataset:
    """Read the corrections of all workers; the newest verdict on the same page of the same bytes holds.

    Raises:
        sqlite3.Error: a ledger cannot be read now.
    """
    with workspace.open_ledgers_readonly(settings) as ledgers:
        said = [one for worker, ledger in ledgers.items() for one in read_reviewed_rows(ledger, worker)]
    return build_dataset(said, settings.workspace)


def build_dataset(said: Iterable[ReviewedRow], root: Path) -> CorrectionsDataset:
    """The same from what was said, in any order; originals lie below `root`."""
    newest: dict[tuple[str, int], list[ReviewedRow]] = {}
    for one in sorted(said, key=lambda each: (each.reviewed_at, each.batch_id, each.row), reverse=True):
        newest.setdefault((one.sha256, one.page), []).append(one)
    is_whole: dict[Path, str] = {}
    train: list[LabelledPage] = []
    held_out: list[LabelledPage] = []
    verdicts, missing = [], 0
    for key in sorted(newest):
        same = newest[key]  # the newest first; the same bytes may lie in several places
        path = next((path for one in same if _has_seen_bytes(path := root / one.location, one, is_whole)), None)
        if path is None:
            missing += 1
            continue
        page = LabelledPage(path, same[0].sha256, same[0].page, same[0].text)
        (held_out if is_held_out(page.sha256) else train).append(page)
        verdicts.append(same[0].verdict)
    return CorrectionsDataset(
        train=tuple(train),
        held_out=tuple(held_out),
        confirmed=verdicts.count(Verdict.CONFIRMED),
        corrected=verdicts.count(Verdict.CORRECTED),
        repeated=sum(len(same) - 1 for same in newest.values()),
        missing=missing,
    )


def is_held_out(sha256: str) -> bool:
    """Whether a file is never learned from: the same bytes are always on the same side, in every training.

    >>> is_held_out("00000005" + 56 * "0"), is_held_out("00000006" + 56 * "0")
    (True, False)
    """
    return int(sha256[:8], 16) % HOLDOUT_EVERY == 0


def _has_seen_bytes(path: Path, one: ReviewedRow, known: dict[Path, str]) -> bool:
    """Whether the bytes that a person saw lie there."""
    if not one.location or not one.sha256:
        return False
    if path not in known:
        try:
            known[path] = files.hash_file(path)
        except FileNotFoundError:
            known[path] = ""
    return known[path] == one.sha256
