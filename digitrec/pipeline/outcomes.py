"""What was read of a batch's files -> its rows, and what becomes of each file."""

import errno
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import cv2

from digitrec import logs
from digitrec.pipeline import read_files
from digitrec.pipeline.labels import LABELS_FILE as LABELS
from digitrec.pipeline.labels import LabelLookup
from digitrec.pipeline.read_files import FileResult
from digitrec.recognition import decision
from digitrec.storage import csv_tables
from digitrec.storage.ledger import Ledger
from digitrec.types import Claim, DeferredFile, FileOutcome, Identity, Reading, Reason, Row, Status, backoff_s

T = TypeVar("T")

_MOST_PREVIEW_BYTES = 16_000_000
"""Size of the previews that the ledger keeps of a batch: those of any 512 pictures (3 kB each, noise 10 kB), and of
5,000 pages of documents. A report draws what is missing from the originals."""
_MOST_TRIES = 3
_ID_TIME = "%Y%m%dT%H%M%SZ"
STOPPED = "the service was stopped before it was read"


@dataclass(frozen=True, slots=True)
class BatchOutcomes:
    """Everything step 5 records of a batch."""

    rows: tuple[Row, ...]
    claims: tuple[Claim, ...]
    """With their fates."""
    deferred: tuple[DeferredFile, ...]


@dataclass(frozen=True, slots=True)
class OutcomeBuilder:
    """Judges pages and decides; asks the ledger what was known before."""

    ledger: Ledger
    threshold: float
    grace_s: float
    now_s: Callable[[], float]
    others: list[Ledger] = field(default_factory=list)
    """Of other workers on this inbox, for reading: what they answered counts as known."""
    steady_s: Callable[[], float] = time.monotonic
    """A time that no setting of a clock changes, seconds."""
    began_s: dict[Identity, float] = field(default_factory=dict)
    """When this process first deferred a file, by `steady_s`."""

    def decide_outcomes(
        self, claims: Sequence[Claim], contents: Mapping[str, FileResult], truth: LabelLookup
    ) -> BatchOutcomes:
        """Decide about every claim.

        Args:
            claims: the files of the batch.
            contents: what was read, by path; a file that is missing here is deferred.
            truth: the labels that are known now.
        """
        decided, deferred, rows = [], [], []
        found = [contents.get(claim.path, FileResult(defer_reason=STOPPED)) for claim in claims]
        others_can = any(not content.defer_reason for content in found)
        judged = read_files.decide_readings(found, self.threshold)
        for claim, content, readings in zip(claims, found, judged, strict=True):
            fate, retry = self._fate(claim, content, others_can=others_can)
            if fate is not None:
                readings.clear()
            elif claim.path.rpartition("/")[2] == LABELS and content.rejected is not None:
                readings[:] = [decision.reject(1, content.rejected, "no labels file: its first line is not file,label")]
            elif content.defer_reason:
                readings.append(decision.reject(1, Reason.IO_ERROR, content.defer_reason))
            fate = fate or FileOutcome(decision.file_status(readings))
            decided.append(
                replace(
                    claim,
                    outcome=fate,
                    sha256=content.sha256,
                    detail=_why(content) if fate is FileOutcome.DEFERRED else "",
                )
            )
            deferred += [retry] if retry else []
            rows += [(claim, content, one) for one in readings]
        return BatchOutcomes(tuple(self._rows(rows, truth)), tuple(decided), tuple(deferred))

    def _fate(
        self, claim: Claim, content: FileResult, *, others_can: bool
    ) -> tuple[FileOutcome | None, DeferredFile | None]:
        """Return `deferred` and when to retry; or None: the readings decide."""
        if not content.defer_reason and not content.is_undecodable:
            return None, None
        if content.defer_reason and not (content.error or content.has_backoff):
            return FileOutcome.DEFERRED, None
        now_s = self.now_s()
        known = self._known(claim, content, now_s)
        if content.defer_reason:
            retry = retry_later(claim, content.defer_reason, known, now_s, content.sha256)
            is_given_up = (
                content.error == errno.EIO
                and retry.tries >= _MOST_TRIES
                and now_s - retry.first_at_s >= self.grace_s
                # If nothing can be read it is the disk, not the file.
                and (
                    others_can
                    or self.ledger.has_read_since(time.strftime(_ID_TIME, time.gmtime(retry.first_at_s - 60)))
                )
            )
            return (None, None) if is_given_up else (FileOutcome.DEFERRED, retry)
        if claim.is_fresh if known is None else now_s - known.first_at_s < self.grace_s:
            retry = retry_later(claim, _why(content), known, now_s, content.sha256)
            return FileOutcome.DEFERRED, replace(retry, next_at_s=retry.first_at_s + self.grace_s)
        self.began_s.pop(claim.identity, None)
        return None, None

    def _known(self, claim: Claim, content: FileResult, now_s: float) -> DeferredFile | None:
        """Return what is known of a deferred file, its first try by the clock as it is set now.

        None if it comes for the first time, or could be read before and now has other bytes.
        """
        known = self.ledger.deferred_file(claim.identity)
        if known is None or (content.is_undecodable and known.sha256 != content.sha256):
            self.began_s[claim.identity] = self.steady_s()
            return None
        began_s = self.began_s.get(claim.identity)
        waited_s = now_s - known.first_at_s if began_s is None else self.steady_s() - began_s
        if waited_s < 0:  # the clock was set back since an earlier process deferred the file
            self.began_s[claim.identity], waited_s = self.steady_s(), 0.0
        return replace(known, first_at_s=now_s - waited_s)

    def _rows(self, found: Sequence[tuple[Claim, FileResult, Reading]], truth: LabelLookup) -> list[Row]:
        rows: list[Row] = []
        first: dict[tuple[str, int], str] = {}
        preview_bytes = 0
        in_order = sorted(found, key=lambda one: csv_tables.order(one[0].path, one[2].page))
        for number, (claim, content, read) in enumerate(in_order, start=1):
            key = (content.sha256, read.page)
            label = truth.find(claim.path)
            is_shown = read.status is not Status.ACCEPTED or label not in ("", read.text)
            preview = None
            if is_shown and preview_bytes < _MOST_PREVIEW_BYTES:
                preview = encode_preview(content, read)
                preview_bytes += len(preview or b"")
            duplicate_of = self._earlier(key, first) if content.sha256 else ""
            first.setdefault(key, f"{claim.batch_id}/{number}")
            told = (claim.path, content.sha256, claim.size, claim.received_at, label, duplicate_of)
            rows.append(Row(claim.batch_id, number, *told, read, preview))
        return rows

    def _earlier(self, key: tuple[str, int], first: Mapping[tuple[str, int], str]) -> str:
        found = [earlier for earlier in self._asked(lambda ledger: ledger.first_with(*key)) if earlier]
        return "{}/{}".format(*min(found)) if found else first.get(key, "")

    def has_read(self, path: str) -> bool:
        """Return True if a picture of this path has an answer, whichever worker gave it."""
        return any(self._asked(partial(Ledger.has_been_read, path=path)))

    def _asked(self, question: Callable[[Ledger], T]) -> list[T]:
        answers = [question(self.ledger)]
        for other in list(self.others):
            try:
                answers += [question(other)] if other.is_up_to_date() else []
            except sqlite3.Error as why:
                logs.warn("another worker's ledger cannot be asked", why=why)
                self.others.remove(other)
        return answers


def retry_later(claim: Claim, why: str, known: DeferredFile | None, now_s: float, sha256: str = "") -> DeferredFile:
    """What to remember of a file that stays in the inbox: tried again after 1 s, 2 s, 4 s, at most 5 minutes."""
    tries = known.tries + 1 if known else 1
    return DeferredFile(
        inode=claim.inode,
        size=claim.size,
        mtime_ns=claim.mtime_ns,
        sha256=sha256,
        why=why,
        first_at_s=known.first_at_s if known else now_s,
        tries=tries,
        next_at_s=now_s + backoff_s(tries),
    )


def _why(content: FileResult) -> str:
    return content.defer_reason or content.detail or "it cannot be decoded yet"


def encode_preview(content: FileResult, one: Reading) -> bytes | None:
    """The small picture of a reading's page, as PNG; None if there is no page."""
    pictures = [page.preview for page in content.pages if page.number == one.page and page.preview.size]
    if not pictures:
        return None
    done, png = cv2.imencode(".png", pictures[0])
    if not done:
        raise ValueError(f"no PNG of a preview of shape {pictures[0].shape}")
    return png.tobytes()
