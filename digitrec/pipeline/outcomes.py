"""Turn the file results of a batch into its rows and the outcome of each file."""

import errno
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import cv2
import numpy as np

from digitrec import logs
from digitrec.pipeline import read_files
from digitrec.pipeline.labels import LABELS_FILE, LabelLookup
from digitrec.pipeline.read_files import FileResult
from digitrec.recognition import decision
from digitrec.storage import csv_tables
from digitrec.storage.claims import STOPPED, Claim, DeferredFile, FileIdentity, FileOutcome, backoff_s
from digitrec.storage.ledger import Ledger
from digitrec.text import is_comparable_label, matches_label
from digitrec.types import PageReading, PageStatus, Reason, TableRow, Thresholds

T = TypeVar("T")

_MAX_PREVIEW_BYTES = 16_000_000
"""Size of the previews that the ledger keeps of a batch: those of any 512 pictures (3 kB each, noise 10 kB), and of
5,000 pages of documents. A report draws missing ones from the originals."""
_ACCEPTED_PREVIEWS, _ACCEPTED_PREVIEW_PIXELS = 100, 48 * 48
"""Accepted pages of a batch whose preview is kept for its report, the first ones, and its size: 1 kB each."""
_MAX_IO_TRIES = 3
"""Failed reads (EIO) after which a file is rejected."""
_ID_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class BatchOutcomes:
    """Rows and outcomes of a batch, which the stage `record` stores in the ledger."""

    rows: tuple[TableRow, ...]
    claims: tuple[Claim, ...]
    """With their outcomes."""
    deferred: tuple[DeferredFile, ...]


@dataclass(frozen=True, slots=True)
class OutcomeBuilder:
    """Decides the outcome of every file, from its pages and from what the ledger knows of earlier tries."""

    ledger: Ledger
    thresholds: Thresholds
    grace_s: float
    now_s: Callable[[], float]
    others: list[Ledger] = field(default_factory=list)
    """Ledgers of other workers on this inbox, read-only: their answers count for duplicates and labels files."""
    steady_s: Callable[[], float] = time.monotonic
    """A clock that nobody can set, seconds."""
    began_s: dict[FileIdentity, float] = field(default_factory=dict)
    """When this process first deferred a file, by `steady_s`."""

    def decide_outcomes(
        self, claims: Sequence[Claim], results: Mapping[str, FileResult], labels: LabelLookup
    ) -> BatchOutcomes:
        """Decide the outcome of every claim.

        Args:
            claims: the files of the batch.
            results: file results by path; a file without one is deferred.
            labels: the labels that are known now.
        """
        decided, deferred, pages = [], [], []
        files = [results.get(claim.path, FileResult(defer_reason=STOPPED)) for claim in claims]
        is_any_read = any(not file.defer_reason for file in files)
        readings_by_file = read_files.decide_readings(files, self.thresholds)
        for claim, file, readings in zip(claims, files, readings_by_file, strict=True):
            is_deferred, retry = self._check_deferral(claim, file, is_any_read=is_any_read)
            if is_deferred:
                readings.clear()
            elif claim.path.rpartition("/")[2] == LABELS_FILE and file.rejected is not None:
                reason = "no labels file: its first line is not file,label"
                readings[:] = [decision.reject(1, file.rejected, reason)]
            elif file.defer_reason:
                readings.append(decision.reject(1, Reason.IO_ERROR, file.defer_reason))
            outcome = FileOutcome.DEFERRED if is_deferred else FileOutcome(decision.file_status(readings))
            detail = _why(file) if outcome is FileOutcome.DEFERRED else ""
            decided.append(replace(claim, outcome=outcome, sha256=file.sha256, detail=detail))
            deferred += [retry] if retry else []
            pages += [(claim, file, reading) for reading in readings]
        return BatchOutcomes(tuple(self._make_rows(pages, labels)), tuple(decided), tuple(deferred))

    def _check_deferral(self, claim: Claim, file: FileResult, *, is_any_read: bool) -> tuple[bool, DeferredFile | None]:
        """Return whether the file is deferred, and its next try, if it is retried with backoff."""
        if not file.defer_reason and not file.is_undecodable:
            return False, None
        if file.defer_reason and not (file.error or file.has_backoff):
            return True, None
        now_s = self.now_s()
        earlier = self._find_earlier_try(claim, file, now_s)
        if file.defer_reason:
            retry = retry_later(claim, file.defer_reason, earlier, now_s, file.sha256)
            is_given_up = (
                file.error == errno.EIO
                and retry.tries >= _MAX_IO_TRIES
                and now_s - retry.first_at_s >= self.grace_s
                # If no file can be read, the disk is at fault, not this file.
                and (
                    is_any_read
                    or self.ledger.has_read_since(time.strftime(_ID_TIME, time.gmtime(retry.first_at_s - 60)))
                )
            )
            return (False, None) if is_given_up else (True, retry)
        if claim.is_fresh if earlier is None else now_s - earlier.first_at_s < self.grace_s:
            retry = retry_later(claim, _why(file), earlier, now_s, file.sha256)
            return True, replace(retry, next_at_s=retry.first_at_s + self.grace_s)
        self.began_s.pop(claim.identity, None)
        return False, None

    def _find_earlier_try(self, claim: Claim, file: FileResult, now_s: float) -> DeferredFile | None:
        """Return the record of a file that was deferred before, its first try by the clock as it is set now.

        None if the file comes for the first time, or if it could be read before and has other bytes now.
        """
        earlier = self.ledger.deferred_file(claim.identity)
        if earlier is None or (file.is_undecodable and earlier.sha256 != file.sha256):
            self.began_s[claim.identity] = self.steady_s()
            return None
        began_s = self.began_s.get(claim.identity)
        waited_s = now_s - earlier.first_at_s if began_s is None else self.steady_s() - began_s
        if waited_s < 0:  # the clock was set back since an earlier process deferred the file
            self.began_s[claim.identity], waited_s = self.steady_s(), 0.0
        return replace(earlier, first_at_s=now_s - waited_s)

    def _make_rows(self, pages: Sequence[tuple[Claim, FileResult, PageReading]], labels: LabelLookup) -> list[TableRow]:
        """Return the rows of all pages in the order of the table, with labels, duplicates and previews."""
        rows: list[TableRow] = []
        first_rows: dict[tuple[str, int], str] = {}
        preview_bytes = accepted = 0
        in_order = sorted(pages, key=lambda page: csv_tables.sort_key(page[0].path, page[2].page))
        for number, (claim, file, reading) in enumerate(in_order, start=1):
            key = (file.sha256, reading.page)
            label = labels.find(claim.path)
            is_wrong = is_comparable_label(label) and not matches_label(reading.text, label)
            accepted += reading.status is PageStatus.ACCEPTED
            is_doubtful = reading.status is not PageStatus.ACCEPTED or is_wrong
            preview = None
            if (is_doubtful or accepted <= _ACCEPTED_PREVIEWS) and preview_bytes < _MAX_PREVIEW_BYTES:
                preview = encode_preview(file, reading, None if is_doubtful else _ACCEPTED_PREVIEW_PIXELS)
                preview_bytes += len(preview or b"")
            duplicate_of = ""
            if file.sha256:
                find = partial(Ledger.find_first_page, sha256=file.sha256, page=reading.page)
                earlier = [row for row in self._query_ledgers(find) if row]
                duplicate_of = "{}/{}".format(*min(earlier)) if earlier else first_rows.get(key, "")
            first_rows.setdefault(key, f"{claim.batch_id}/{number}")
            fields = (claim.path, file.sha256, claim.size, claim.received_at, label, duplicate_of)
            rows.append(TableRow(claim.batch_id, number, *fields, reading, preview))
        return rows

    def has_read(self, path: str) -> bool:
        """Return True if a picture of this path has an answer of any worker."""
        return any(self._query_ledgers(partial(Ledger.has_been_read, path=path)))

    def _query_ledgers(self, query: Callable[[Ledger], T]) -> list[T]:
        """Return the result of the query from this ledger and from those of other workers that can be read."""
        results = [query(self.ledger)]
        for other in list(self.others):
            try:
                results += [query(other)] if other.is_up_to_date() else []
            except sqlite3.Error as error:
                logs.warning("another worker's ledger cannot be read", why=error)
                self.others.remove(other)
        return results


def retry_later(claim: Claim, why: str, earlier: DeferredFile | None, now_s: float, sha256: str = "") -> DeferredFile:
    """Return the record of a deferred file: it is retried after 1 s, 2 s, 4 s, at most 5 minutes."""
    tries = earlier.tries + 1 if earlier else 1
    return DeferredFile(
        inode=claim.inode,
        size=claim.size,
        mtime_ns=claim.mtime_ns,
        sha256=sha256,
        why=why,
        first_at_s=earlier.first_at_s if earlier else now_s,
        tries=tries,
        next_at_s=now_s + backoff_s(tries),
    )


def _why(file: FileResult) -> str:
    return file.defer_reason or file.detail or "it cannot be decoded yet"


def encode_preview(file: FileResult, reading: PageReading, max_pixels: int | None = None) -> bytes | None:
    """Return the preview of a page as PNG, scaled down to `max_pixels`; None if the file has no such page."""
    previews = [page.preview for page in file.pages if page.number == reading.page and page.preview.size]
    if not previews:
        return None
    preview = previews[0]
    if max_pixels and preview.size > max_pixels:
        scale = (max_pixels / preview.size) ** 0.5
        size = [max(1, round(length * scale)) for length in preview.shape[::-1]]
        preview = np.asarray(cv2.resize(preview, size, interpolation=cv2.INTER_AREA), np.uint8)
    is_encoded, png = cv2.imencode(".png", preview)
    if not is_encoded:
        raise ValueError(f"no PNG of a preview of shape {preview.shape}")
    return png.tobytes()
