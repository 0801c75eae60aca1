"""Rebuild a lost or damaged ledger from the outbox, and missing tables from the ledger.

No CSV has the deferred files, the thresholds, the corrections of unfinished reviews, and the reviewers: these are lost
with a ledger.
"""

import csv
import errno
import json
import os
import sqlite3
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from digitrec import files, logs, text
from digitrec.errors import DigitrecError, EnvironmentFailure, UsageError, describe_error
from digitrec.pipeline.inbox import CLAIMED
from digitrec.storage import corrected_tables, csv_tables, removals
from digitrec.storage.claims import Claim, FileOutcome
from digitrec.storage.ledger import Ledger
from digitrec.storage.object_client import ObjectStore
from digitrec.storage.schema import REBUILT_AT
from digitrec.storage.table_reader import read_batch_tables
from digitrec.types import Batch, BatchStage, TableRow

_MAX_NAME_NUMBER = 100
_MAX_REASON_BYTES = 1 << 20
_REFUSED_NAME_ERRORS = {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}
"""Errors for names that the filesystem does not allow, so that no such file was ever written."""


def rebuild_ledger(ledger: Ledger, outbox: Path, inbox: Path, *, skip: Collection[str], now: str) -> int:
    """Insert every published batch into an empty ledger; return their number.

    Args:
        ledger: a new one.
        outbox: folder with the CSVs and the originals.
        inbox: folder with the claims of unfinished batches.
        skip: batches in the ledgers of other workers.
        now: time of the rebuild, ISO 8601.
    """
    ledger.set_meta(REBUILT_AT, now)
    ours = dict.fromkeys(batch_id for batch_id in csv_tables.find_published(outbox) if batch_id not in skip)
    restored = sum(restore_batch(ledger, batch_id, outbox, inbox) for batch_id in ours)
    ledger.record_removals([removal for removal in removals.read_journal(outbox) if removal.batch_id in ours])
    return restored


def write_missing_tables(outbox: Path, ledgers: Mapping[str, Ledger], batch_ids: Collection[str]) -> Iterator[str]:
    """Write the missing tables of finished batches with the same bytes as before; yield their names.

    Existing tables and latest.csv stay unchanged.

    Args:
        outbox: of the workspace; the tables of a worker with an object store are written there.
        ledgers: of all workers, by name.
        batch_ids: finished batches; empty means all of them.

    Raises:
        UsageError: a batch is in no ledger, or not finished.
        EnvironmentFailure, OSError: the outbox cannot be read or written.
    """
    batches = [(ledger, batch) for ledger in ledgers.values() for batch in ledger.batches()]
    for batch_id in batch_ids:
        check_finished(batch_id, {batch.id: batch.stage for _, batch in batches})
    for ledger, batch in batches:
        if batch.stage is BatchStage.CLOSED and batch.id in (batch_ids or {batch.id}):
            yield from _write_tables_of(batch, ledger, outbox)


def _write_tables_of(batch: Batch, ledger: Ledger, outbox: Path) -> Iterator[str]:
    rows = ledger.rows(batch.id)
    if not rows or batch.output_format is None:
        return
    url = ledger.get_meta("outbox_url")
    store = ObjectStore(url) if url else None
    for name, table in csv_tables.render_tables(batch.id, rows, batch.output_format).items():
        if store is not None and store.read(name) is None:
            store.atomic_create(name, table.encode())
            yield name
        elif store is None and not os.path.lexists(outbox / name):
            files.atomic_create(outbox / name, table)
            yield name
    is_current = corrected_tables.is_table_current(ledger, batch.id)
    folder = outbox / corrected_tables.CORRECTED_FOLDER
    for name, table in corrected_tables.render_corrected(ledger, batch.id).items() if is_current else ():
        if not os.path.lexists(folder / name):
            files.make_dir(folder, under=outbox)
            files.atomic_create(folder / name, table)
            yield f"{folder.name}/{name}"


def restore_batch(ledger: Ledger, batch_id: str, outbox: Path, inbox: Path) -> bool:
    """Insert one batch into the ledger from its CSVs; return False if they do not exist.

    Raises:
        EnvironmentFailure: they are not valid.
    """
    table = outbox / f"{batch_id}.csv"
    if not table.is_file():
        return False
    try:
        output_format, rows = read_batch_tables(outbox, batch_id)
        by_path: dict[str, list[TableRow]] = {}
        for row in rows:
            by_path.setdefault(row.path, []).append(row)
        claims = [_make_claim(batch_id, path, file_rows, outbox) for path, file_rows in by_path.items()]
        is_open = any((folder / batch_id).is_dir() for folder in (inbox / CLAIMED).glob("*"))
        stage = BatchStage.PUBLISHED if is_open else BatchStage.CLOSED
        ledger.restore_batch(Batch(batch_id, rows[0].received_at, stage, output_format), claims, rows)
    except (ValueError, KeyError, OverflowError, csv.Error, FileNotFoundError, sqlite3.IntegrityError) as why:
        hint = "Move it out of the outbox, or put it right; then start again."
        raise EnvironmentFailure(f"{table} cannot be understood: {describe_error(why)}", hint=hint) from why
    corrected = _restore_corrections(ledger, batch_id, outbox)
    logs.info("batch restored from its CSV", batch=batch_id, rows=len(rows), corrections=corrected)
    return True


def _restore_corrections(ledger: Ledger, batch_id: str, outbox: Path) -> int:
    """Restore the corrections of a batch from its corrected table; skip an invalid one with a warning."""
    try:
        return corrected_tables.restore_corrections(ledger, outbox, batch_id)
    except (ValueError, KeyError, csv.Error, DigitrecError) as why:
        logs.warning("the corrections of a batch cannot be read back", batch=batch_id, why=why)
        return 0


def _make_claim(batch_id: str, path: str, rows: Sequence[TableRow], outbox: Path) -> Claim:
    statuses = {row.reading.status for row in rows}
    outcome = FileOutcome.REVIEW if len(statuses) > 1 else FileOutcome(next(iter(statuses)))
    folder = f"{'rejected' if outcome is FileOutcome.REJECTED else 'done'}/{batch_id}"
    original = _find_original(outbox / folder, path, rows[0])
    reason_file = _find_reason(outbox / folder, original, rows[0]) if outcome is FileOutcome.REJECTED else ""
    return Claim(
        batch_id,
        path,
        inode=0,
        size=rows[0].size,
        mtime_ns=0,
        is_fresh=False,
        received_at=rows[0].received_at,
        outcome=outcome,
        sha256=rows[0].sha256,
        location=f"{outbox.name}/{folder}/{original}" if original else "",
        reason_file=f"{outbox.name}/{folder}/{reason_file}" if reason_file else "",
    )


def _find_original(folder: Path, path: str, row: TableRow) -> str:
    """Return the path of an original in the folder of its batch: by name, else by content under a similar name."""
    name = Path(path).name
    size = _get_size(folder / path)
    if size == row.size:
        return path
    names = [files.numbered_name(name, number) for number in range(2, _MAX_NAME_NUMBER)]
    portable = files.portable_name(name)
    names += [portable, *(files.numbered_name(portable, number) for number in range(2, _MAX_NAME_NUMBER))]
    for candidate in (Path(path).with_name(name).as_posix() for name in dict.fromkeys(names)):
        if _get_size(folder / candidate) == row.size and row.sha256 in ("", files.hash_file(folder / candidate)):
            return candidate
    return "" if size is None else path


def _find_reason(folder: Path, location: str, row: TableRow) -> str:
    """Return the reason file of a row beside its rejected original; originals may have such names, too."""
    if not location:
        return ""
    digest = row.sha256[:16] or f"row-{row.row}"
    stems = (Path(location).name, digest, f"{digest}-{row.row}")
    candidates = [Path(location).with_name(f"{stem}.reason.json").as_posix() for stem in stems]
    # It is in the folder of the batch where these paths would be too long.
    return next((path for path in (*candidates, f"{stems[-1]}.reason.json") if _is_reason_of(folder / path, row)), "")


def _is_reason_of(path: Path, row: TableRow) -> bool:
    size = _get_size(path)
    if size is None or size > _MAX_REASON_BYTES:
        return False
    try:
        reason = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(reason, dict) and (reason.get("batch_id"), reason.get("row")) == (row.batch_id, row.row)


def _get_size(path: Path) -> int | None:
    """Return the size of a regular file, bytes; None if there is none."""
    try:
        state = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as why:
        if why.errno not in _REFUSED_NAME_ERRORS:
            raise
        return None
    return state.st_size if stat.S_ISREG(state.st_mode) else None


def check_finished(batch_id: str, stages: Mapping[str, BatchStage]) -> None:
    """Raise UsageError unless a batch is finished; `stages` are those of the batches in all ledgers."""
    if stages.get(batch_id) is not BatchStage.CLOSED:
        raise UsageError(
            f"batch {text.escape(batch_id)} is {'not closed yet' if batch_id in stages else 'in no ledger'}"
        )
