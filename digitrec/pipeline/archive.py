"""Stages `publish` and `archive`: write tables, move originals to `done/` or `rejected/`, return deferred files."""

import errno
import itertools
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from digitrec import files, logs, text
from digitrec.pipeline.inbox import Inbox, move_to_free_name, parent_folders
from digitrec.pipeline.labels import LABELS_FILE, LabelLookup
from digitrec.storage import csv_tables
from digitrec.storage.claims import STOPPED, Claim, FileOutcome
from digitrec.types import OutputFormat, TableRow

if TYPE_CHECKING:
    from digitrec.pipeline.outcomes import OutcomeBuilder

DONE, REJECTED = "done", "rejected"


class Outbox(Protocol):
    """Destination of tables and originals; every step is idempotent."""

    def publish(self, batch_id: str, rows: Sequence[TableRow], output_format: OutputFormat) -> None:
        """Write the tables of a batch, the main table last; each appears complete and replaces no other content.

        Raises:
            FileExistsError: a table of this name with other content exists.
        """

    def archive(self, claims: Sequence[Claim], rows: Sequence[TableRow]) -> list[Claim]:
        """Move every original to its destination; return the claims with their new locations.

        Args:
            claims: the files of a recorded batch.
            rows: the rows of its rejected files.
        """

    def clean_up(
        self, batch_id: str, claims: Sequence[Claim], labels: LabelLookup, outcome_builder: "OutcomeBuilder"
    ) -> None:
        """Archive the labels files of a batch and return unclaimed files in its folder to the inbox."""


@dataclass(frozen=True, slots=True)
class FolderOutbox:
    """The outbox as a folder: tables, and the originals of one worker's inbox."""

    folder: Path
    inbox: Inbox

    def publish(self, batch_id: str, rows: Sequence[TableRow], output_format: OutputFormat) -> None:
        """Write the tables of a batch; see `Outbox.publish`.

        Raises:
            FileExistsError: a file with this name and other content exists; nothing is replaced.
            OSError: the outbox cannot be written.
        """
        for name, table in csv_tables.render_tables(batch_id, rows, output_format).items():
            files.atomic_create(self.folder / name, table)

    def archive(self, claims: Sequence[Claim], rows: Sequence[TableRow]) -> list[Claim]:
        """Move every original of a recorded batch to its destination; idempotent after a crash.

        Args:
            claims: the files of the batch.
            rows: at least the rows of the rejected files, which give the reason.

        Returns:
            The claims with the new locations of their files.
        """
        archived = [_archive_file(claim, self.inbox, self.folder) for claim in claims]
        if stopped := sum(claim.detail == STOPPED for claim in claims):
            logs.info("deferred", files=stopped, batch=claims[0].batch_id, why=STOPPED)
        # Reason files come last: an original with such a name keeps it.
        first_rows = {row.path: row for row in reversed(rows)}  # by path: the row of the first page
        archived = [
            _add_reason_file(claim, first_rows[claim.path], self.folder)
            if claim.outcome is FileOutcome.REJECTED
            else claim
            for claim in archived
        ]
        roots = {self.inbox.root.name: self.inbox.root, self.folder.name: self.folder}
        targets = {claim.location.rpartition("/")[0].partition("/") for claim in archived}
        sources = {(claim.batch_id, claim.path.rpartition("/")[0]) for claim in archived}
        folders = {roots[root] / path for root, _, path in targets}
        for folder in folders | {self.inbox.location(*source) for source in sources}:
            if folder.is_dir():
                files.fsync_folder(folder)
        return archived

    def clean_up(
        self, batch_id: str, claims: Sequence[Claim], labels: LabelLookup, outcome_builder: "OutcomeBuilder"
    ) -> None:
        """Return unclaimed files to the inbox; archive every labels.csv whose pictures all have an answer."""
        for path in set(self.inbox.claimed_files(batch_id)) - {claim.path for claim in claims}:
            logs.warning("unclaimed file in the folder of a batch returned to the inbox", file=path, batch=batch_id)
            self.inbox.defer(batch_id, path)
        paths = {claim.path for claim in claims if claim.outcome is not FileOutcome.DEFERRED}
        for folder in sorted(parent_folders(paths)):
            pictures = labels.listed_files(folder)
            # Files are read in the order of their paths: if any of these waits, the last ones do.
            is_waiting = any(
                os.path.lexists(f"{self.inbox.root}/{path}") for names in reversed(pictures) for path in names
            )
            is_listed = not is_waiting and any(names & paths for names in pictures)
            if is_listed and all(any(map(outcome_builder.has_read, names)) for names in pictures):
                self._archive_labels(batch_id, LABELS_FILE if folder == "." else f"{folder}/{LABELS_FILE}")

    def _archive_labels(self, batch_id: str, path: str) -> None:
        source = self.inbox.root / path
        try:
            location = move_to_free_name(source, self.folder, f"{DONE}/{batch_id}/{path}")
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            logs.warning("labels stay in the inbox: their path is too long for the outbox", file=path, batch=batch_id)
            return
        files.fsync_folder((self.folder / location).parent)
        files.fsync_folder(source.parent)
        logs.info("labels archived", file=path, batch=batch_id)


def _archive_file(claim: Claim, inbox: Inbox, outbox: Path) -> Claim:
    source = inbox.location(claim.batch_id, claim.path)
    if claim.outcome is FileOutcome.DEFERRED:
        return _defer(claim, source, inbox)
    kind = REJECTED if claim.outcome is FileOutcome.REJECTED else DONE
    path = f"{kind}/{claim.batch_id}/{claim.path}"
    if os.path.lexists(source):
        path = _move(source, outbox, path)
    elif claim.location:
        return claim
    return replace(claim, location=f"{outbox.name}/{path}")


def _add_reason_file(claim: Claim, row: TableRow, outbox: Path) -> Claim:
    if claim.reason_file:
        return claim
    original = outbox.parent / claim.location
    reason_file = _write_reason(original, row, outbox / REJECTED / claim.batch_id)
    return replace(claim, reason_file=reason_file.relative_to(outbox.parent).as_posix())


def _defer(claim: Claim, source: Path, inbox: Inbox) -> Claim:
    if not os.path.lexists(source):  # an earlier try moved it back, or it disappeared before it was read
        return replace(claim, location=claim.location or f"{inbox.root.name}/{claim.path}")
    path = inbox.defer(claim.batch_id, claim.path)
    if claim.detail != STOPPED:  # after Ctrl-C, hundreds of files: `archive` logs them as one line
        logs.info("deferred", file=path, batch=claim.batch_id, why=claim.detail)
    return replace(claim, location=f"{inbox.root.name}/{path}")


def _move(source: Path, outbox: Path, path: str) -> str:
    target = outbox / path
    with suppress(OSError):  # the folder is missing, or the name is taken or refused: handled below
        files.move_durable(source, target)
        return path
    # Between filesystems a crash can leave both the finished copy and the original: then only the unlink is missing.
    is_copied = target.is_file() and source.stat().st_dev != target.stat().st_dev
    if is_copied and files.hash_file(target) == files.hash_file(source):
        source.unlink()
        return path
    return move_to_free_name(source, outbox, path)


def _write_reason(original: Path, row: TableRow, batch_dir: Path) -> Path:
    """Write the reason file beside a rejected original, or in the folder of its batch; return its path."""
    content = {
        "file": text.escape(row.path),
        "batch_id": row.batch_id,
        "row": row.row,
        "reason_code": row.reading.reason,
        "reason": row.reading.detail,
        "size_bytes": row.size,
        "sha256": row.sha256,
        "received_at": row.received_at,
    }
    digest = row.sha256[:16] or f"row-{row.row}"
    last_name = f"{digest}-{row.row}.reason.json"
    candidates = map(original.with_name, (f"{original.name}.reason.json", f"{digest}.reason.json", last_name))
    for path in itertools.chain(candidates, [batch_dir / last_name]):  # the last one if all others are too long
        try:
            files.atomic_create(path, json.dumps(content, indent=2) + "\n")
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
        else:
            return path
    raise FileExistsError(errno.EEXIST, "no free name for a reason file", str(original))
