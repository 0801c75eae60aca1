"""Step 7: originals to `done/` or `rejected/`, deferred files back into the inbox."""

import errno
import itertools
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from digitrec import files, logs, text
from digitrec.pipeline.inbox import Inbox, move_to_free_name, parent_folders
from digitrec.pipeline.labels import LABELS_FILE as LABELS
from digitrec.pipeline.labels import LabelLookup
from digitrec.storage import csv_tables
from digitrec.types import Claim, FileOutcome, Rendering, Row

if TYPE_CHECKING:
    from digitrec.pipeline.outcomes import OutcomeBuilder

DONE, REJECTED = "done", "rejected"


@dataclass(frozen=True, slots=True)
class FolderOutbox:
    """The outbox as a folder: tables, and the originals of one worker's inbox."""

    folder: Path
    inbox: Inbox

    def publish(self, batch_id: str, rows: Sequence[Row], how: Rendering) -> None:
        """Put both tables of a batch there; see `pipeline.Outbox.publish`.

        Raises:
            FileExistsError: a file with this name and other content is there; nothing is replaced.
            OSError: the outbox cannot be written.
        """
        for name, table in csv_tables.tables(batch_id, rows, how).items():
            files.publish_new(self.folder / name, table)

    def archive(self, claims: Sequence[Claim], rows: Sequence[Row]) -> list[Claim]:
        """Put every original of a recorded batch where it belongs; may be done again after a crash.

        `rows` are those of the rejected files at least: they tell why.

        Returns:
            The claims with the places of their files.
        """
        placed = [_archive_file(claim, self.inbox, self.folder) for claim in claims]
        # Only now: an original that is named like a reason file keeps its name.
        first = {row.path: row for row in reversed(rows)}  # by path: the row of the first page
        placed = [
            _add_reason_file(claim, first[claim.path], self.folder) if claim.outcome is FileOutcome.REJECTED else claim
            for claim in placed
        ]
        _fsync(placed, self.inbox, self.folder)
        return placed

    def clean_up(
        self, batch_id: str, placed: Sequence[Claim], truth: LabelLookup, outcome_builder: "OutcomeBuilder"
    ) -> None:
        """See `pipeline.Outbox.clean_up`."""
        for stranger in set(self.inbox.claimed_files(batch_id)) - {claim.path for claim in placed}:
            logs.warn("a file that was never claimed lies among the claims; deferred", file=stranger, batch=batch_id)
            self.inbox.defer(batch_id, stranger)
        file_labels(batch_id, placed, truth, outcome_builder, self.inbox, self.folder)


def file_labels(
    batch_id: str,
    claims: Iterable[Claim],
    truth: LabelLookup,
    outcome_builder: "OutcomeBuilder",
    inbox: Inbox,
    outbox: Path,
) -> None:
    """File every labels.csv away with the last of its pictures: all are read, and none waits under its name."""
    paths = {claim.path for claim in claims if claim.outcome is not FileOutcome.DEFERRED}
    for folder in sorted(parent_folders(paths)):
        listed = truth.listed_files(folder)
        # Files are read in the order of their paths: where one of these waits, the last do.
        is_waiting = any(os.path.lexists(f"{inbox.root}/{path}") for names in reversed(listed) for path in names)
        is_named = not is_waiting and any(names & paths for names in listed)
        if is_named and all(any(map(outcome_builder.has_read, names)) for names in listed):
            path = LABELS if folder == "." else f"{folder}/{LABELS}"
            try:
                place = move_to_free_name(inbox.root / path, outbox, f"{DONE}/{batch_id}/{path}")
            except OSError as why:
                if why.errno != errno.ENAMETOOLONG:
                    raise
                logs.warn("labels stay in the inbox: their path is too long for the outbox", file=path, batch=batch_id)
                continue
            files.fsync_folder((outbox / place).parent)
            files.fsync_folder((inbox.root / path).parent)
            logs.event("labels filed away", file=path, batch=batch_id)


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


def _add_reason_file(claim: Claim, row: Row, outbox: Path) -> Claim:
    if claim.reason_file:
        return claim
    original = outbox.parent / claim.location
    reason_file = _write_reason(original, row, outbox / REJECTED / claim.batch_id)
    return replace(claim, reason_file=reason_file.relative_to(outbox.parent).as_posix())


def _defer(claim: Claim, source: Path, inbox: Inbox) -> Claim:
    if not os.path.lexists(source):  # an earlier try put it back, or it was gone before it was read
        return replace(claim, location=claim.location or f"{inbox.root.name}/{claim.path}")
    path = inbox.defer(claim.batch_id, claim.path)
    logs.event("deferred", file=path, batch=claim.batch_id, why=claim.detail)
    return replace(claim, location=f"{inbox.root.name}/{path}")


def _move(source: Path, outbox: Path, path: str) -> str:
    target = outbox / path
    with suppress(OSError):  # there is no folder yet, or the name is taken or refused: that is seen to below
        files.move_across(source, target)
        return path
    # Between filesystems a crash can leave the finished copy and the original: then only the unlink is missing.
    is_copied = target.is_file() and source.stat().st_dev != target.stat().st_dev
    if is_copied and files.sha256_of(target) == files.sha256_of(source):
        source.unlink()
        return path
    return move_to_free_name(source, outbox, path)


def _write_reason(original: Path, row: Row, home: Path) -> Path:
    """Write the reason file beside a rejected original, or in the folder of its batch; gives its path."""
    told = {
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
    last = f"{digest}-{row.row}.reason.json"
    beside = map(original.with_name, (f"{original.name}.reason.json", f"{digest}.reason.json", last))
    for path in itertools.chain(beside, [home / last]):  # the last where all paths beside the original are too long
        try:
            files.publish_new(path, json.dumps(told, indent=2) + "\n")
        except FileExistsError:
            continue
        except OSError as why:
            if why.errno != errno.ENAMETOOLONG:
                raise
        else:
            return path
    raise FileExistsError(errno.EEXIST, "no free name for a reason file", str(original))


def _fsync(placed: Sequence[Claim], inbox: Inbox, outbox: Path) -> None:
    roots = {inbox.root.name: inbox.root, outbox.name: outbox}
    targets = {claim.location.rpartition("/")[0].partition("/") for claim in placed}
    sources = {(claim.batch_id, claim.path.rpartition("/")[0]) for claim in placed}
    folders = {roots[top] / rest for top, _, rest in targets}
    for folder in folders | {inbox.location(*source) for source in sources}:
        if folder.is_dir():
            files.fsync_folder(folder)
