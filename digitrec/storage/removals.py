"""Originals that a person requeued or pruned, in the ledger, and in a journal in the outbox for a lost ledger."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from digitrec import files, logs, text
from digitrec.storage.claims import Claim, RemovalKind, RemovedOriginal
from digitrec.storage.ledger import Ledger

JOURNAL_NAME = ".digitrec-departures.jsonl"


def record_removals(ledger: Ledger, outbox: Path, removals: Sequence[RemovedOriginal]) -> None:
    """Record removals durably, before their originals are moved; a later one of the same file replaces an earlier one.

    Raises:
        OSError, sqlite3.Error: they are not recorded; do not move the originals.
    """
    if not removals:
        return
    ledger.record_removals(removals)
    lines = "".join(json.dumps(_to_json(removal)) + "\n" for removal in removals)
    with open(outbox / JOURNAL_NAME, "ab", opener=_open_no_follow) as journal:
        # A line may be incomplete after a power cut: start a new one.
        journal.write(b"\n" * bool(journal.tell()) + lines.encode())
        files.fsync(journal)
    files.fsync_folder(outbox)


def _open_no_follow(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def read_journal(outbox: Path) -> Iterator[RemovedOriginal]:
    """Yield the removals in the journal, oldest first; a later one of the same file replaces an earlier one."""
    try:
        lines = (outbox / JOURNAL_NAME).read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in filter(None, lines):
        try:
            fields = json.loads(line)
            path, location = (text.unescape_cell(str(fields[name])) for name in ("file", "place"))
            kind, removed_at = RemovalKind(fields["what"]), str(fields["at"])
            yield RemovedOriginal(str(fields["batch_id"]), path, kind, removed_at, location)
        except (ValueError, KeyError, TypeError) as why:
            logs.warning("a line about a removed original is not valid", journal=outbox / JOURNAL_NAME, why=why)


def find_removed(ledger: Ledger, batch_id: str, claims: Iterable[Claim], workspace: Path) -> dict[str, RemovedOriginal]:
    """Return the recorded removals of a batch that took place, by path; a crash may have prevented one."""
    removals = ledger.removals(batch_id)
    return {
        claim.path: removals[claim.path]
        for claim in claims
        if claim.path in removals and not (claim.location and os.path.lexists(workspace / claim.location))
    }


def _to_json(removal: RemovedOriginal) -> dict[str, str]:
    path, location = text.escape_cell(removal.path), text.escape_cell(removal.location)
    return {
        "batch_id": removal.batch_id,
        "file": path,
        "what": removal.kind,
        "at": removal.removed_at,
        "place": location,
    }


def remove_empty_folders(folder: Path, outbox: Path) -> None:
    """Remove an empty folder, and the empty folders above it, up to that of the batch."""
    while len(folder.relative_to(outbox).parts) >= 2:  # done/<batch> and below
        try:
            folder.rmdir()
        except OSError:  # not empty, or removed by another process
            return
        folder = folder.parent
