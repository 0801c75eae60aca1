"""Originals that a person let go, told twice: in the ledger, and in the outbox for the day the ledger is lost."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from digitrec import files, logs, text
from digitrec.storage.ledger import Ledger
from digitrec.types import Claim, RemovalKind, RemovedOriginal

JOURNAL_NAME = ".digitrec-departures.jsonl"


def record_removals(ledger: Ledger, outbox: Path, departures: Sequence[RemovedOriginal]) -> None:
    """Note departures durably, before their originals are touched; noting one again replaces what was noted.

    Raises:
        OSError, sqlite3.Error: they are not noted; leave the originals where they are.
    """
    if not departures:
        return
    ledger.record_removals(departures)
    lines = "".join(json.dumps(_to_json(one)) + "\n" for one in departures)
    with open(outbox / JOURNAL_NAME, "ab", opener=_open_no_follow) as journal:
        # On a line of its own, even after one that a power cut left unfinished.
        journal.write(b"\n" * bool(journal.tell()) + lines.encode())
        files.fsync(journal)
    files.fsync_folder(outbox)


def _open_no_follow(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def read_journal(outbox: Path) -> Iterator[RemovedOriginal]:
    """What the outbox tells, oldest first; a later one about the same file replaces an earlier one."""
    try:
        lines = (outbox / JOURNAL_NAME).read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in filter(None, lines):
        try:
            found = json.loads(line)
            path, place = (text.unescape_cell(str(found[name])) for name in ("file", "place"))
            yield RemovedOriginal(str(found["batch_id"]), path, RemovalKind(found["what"]), str(found["at"]), place)
        except (ValueError, KeyError, TypeError) as why:
            logs.warning("this line about a departure cannot be understood", journal=outbox / JOURNAL_NAME, why=why)


def find_removed(ledger: Ledger, batch_id: str, claims: Iterable[Claim], workspace: Path) -> dict[str, RemovedOriginal]:
    """The departures of a batch, by path, whose originals have left indeed: a crash may have kept one back."""
    noted = ledger.removals(batch_id)
    return {
        claim.path: noted[claim.path]
        for claim in claims
        if claim.path in noted and not (claim.location and os.path.lexists(workspace / claim.location))
    }


def _to_json(one: RemovedOriginal) -> dict[str, str]:
    path, place = text.escape_cell(one.path), text.escape_cell(one.location)
    return {"batch_id": one.batch_id, "file": path, "what": one.kind, "at": one.removed_at, "place": place}


def remove_empty_folders(folder: Path, outbox: Path) -> None:
    """Remove a folder that originals have left, and those above it, up to the batch's; what is not empty stays."""
    while len(folder.relative_to(outbox).parts) >= 2:  # done/<batch> and below
        try:
            folder.rmdir()
        except OSError:  # not empty, or gone: both are fine
            return
        folder = folder.parent
