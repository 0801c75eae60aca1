"""Make a lost or damaged ledger again from what lies in the outbox, and lost tables from the ledger.

Not in any CSV, so lost with a ledger: deferred files, the threshold of the time, and of corrections those
of reviews that were not finished, and who made the others.
"""

import csv
import errno
import io
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
from digitrec.storage.ledger import Ledger
from digitrec.storage.object_client import ObjectStore
from digitrec.text import escape, unescape_cell
from digitrec.types import (
    Batch,
    BatchStage,
    Box,
    Claim,
    Digit,
    FileOutcome,
    OutputFormat,
    PageReading,
    PageStatus,
    Reason,
    TableRow,
)

_MOST_NUMBERED = 100
_MOST_REASON_BYTES = 1 << 20
# Such a name was never written: the filesystem refuses it.
_REFUSED = {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}
REBUILT_AT = "rebuilt_at"


def rebuild_ledger(ledger: Ledger, outbox: Path, inbox: Path, *, skip: Collection[str], now: str) -> int:
    """Put every published batch into an empty ledger; gives how many.

    Args:
        ledger: a new one.
        outbox: where the CSVs and the originals are.
        inbox: where originals of an unfinished batch may still lie claimed.
        skip: batches that other workers' ledgers know.
        now: time to note, ISO 8601.
    """
    ledger.set_meta(REBUILT_AT, now)
    ours = dict.fromkeys(batch_id for batch_id in csv_tables.find_published(outbox) if batch_id not in skip)
    restored = sum(restore_batch(ledger, batch_id, outbox, inbox) for batch_id in ours)
    ledger.record_removals([one for one in removals.read_journal(outbox) if one.batch_id in ours])
    return restored


def write_missing_tables(outbox: Path, ledgers: Mapping[str, Ledger], wanted: Collection[str]) -> Iterator[str]:
    """Write the missing tables of finished batches again, byte by byte as they were; yield the name of each.

    A table that is there is left as it is, and so is latest.csv.

    Args:
        outbox: of the workspace; a worker that reads a store has its tables there.
        ledgers: of all workers, by name.
        wanted: ids of batches; none means all that are finished.

    Raises:
        UsageError: no ledger knows a batch that is wanted, or it is not finished.
        EnvironmentFailure, OSError: the outbox cannot be read or written.
    """
    batches = [(ledger, batch) for ledger in ledgers.values() for batch in ledger.batches()]
    for batch_id in wanted:
        check_finished(batch_id, {batch.id: batch.stage for _, batch in batches})
    for ledger, batch in batches:
        if batch.stage is BatchStage.CLOSED and batch.id in (wanted or {batch.id}):
            yield from _write_tables_of(batch, ledger, outbox)


def _write_tables_of(batch: Batch, ledger: Ledger, outbox: Path) -> Iterator[str]:
    rows = ledger.rows(batch.id)
    if not rows or batch.rendering is None:
        return
    url = ledger.get_meta("outbox_url")
    store = ObjectStore(url) if url else None
    for name, table in csv_tables.render_tables(batch.id, rows, batch.rendering).items():
        if store is not None and store.read(name) is None:
            store.atomic_create(name, table.encode())
            yield name
        elif store is None and not os.path.lexists(outbox / name):
            files.atomic_create(outbox / name, table)
            yield name
    corrected = (
        corrected_tables.render_corrected(ledger, batch.id)
        if corrected_tables.is_table_current(ledger, batch.id)
        else None
    )
    path = outbox / corrected_tables.CORRECTED_FOLDER / f"{batch.id}.csv"
    if corrected is not None and not os.path.lexists(path):
        files.make_dir(path.parent, under=outbox)
        files.atomic_create(path, corrected)
        yield path.relative_to(outbox).as_posix()


def restore_batch(ledger: Ledger, batch_id: str, outbox: Path, inbox: Path) -> bool:
    """Put one batch into the ledger from its CSVs; False if it has none.

    Raises:
        EnvironmentFailure: they cannot be understood.
    """
    table = outbox / f"{batch_id}.csv"
    if not table.is_file():
        return False
    try:
        columns, lines = _read_table(table, batch_id)
        digit_columns, digit_lines = _read_table(outbox / f"{batch_id}.digits.csv", batch_id)
        if not lines:
            raise ValueError("it has no rows")
        digits = _parse_digits(digit_lines)
        rows = [_parse_row(line, tuple(digits.get(line["row"], ()))) for line in lines]
        how = _parse_rendering(lines[0], columns, digit_columns, "excel" if _has_bom(table) else "plain")
        by_path: dict[str, list[TableRow]] = {}
        for row in rows:
            by_path.setdefault(row.path, []).append(row)
        claims = [_make_claim(batch_id, path, of_file, outbox) for path, of_file in by_path.items()]
        is_open = any((one / batch_id).is_dir() for one in (inbox / CLAIMED).glob("*"))
        stage = BatchStage.PUBLISHED if is_open else BatchStage.CLOSED
        ledger.restore_batch(Batch(batch_id, rows[0].received_at, stage, how), claims, rows)
    except (ValueError, KeyError, OverflowError, csv.Error, FileNotFoundError, sqlite3.IntegrityError) as why:
        hint = "Move it out of the outbox, or put it right; then start again."
        raise EnvironmentFailure(f"{table} cannot be understood: {describe_error(why)}", hint=hint) from why
    corrected = _restore_corrections(ledger, batch_id, outbox)
    logs.info("batch restored from its CSV", batch=batch_id, rows=len(rows), corrections=corrected)
    return True


def _restore_corrections(ledger: Ledger, batch_id: str, outbox: Path) -> int:
    """From the batch's corrected table; one that cannot be understood is no reason to have no ledger."""
    try:
        return corrected_tables.restore_corrections(ledger, outbox, batch_id)
    except (ValueError, KeyError, csv.Error, DigitrecError) as why:
        logs.warning("the corrections of a batch cannot be read back", batch=batch_id, why=why)
        return 0


def _parse_rendering(
    first: Mapping[str, str], columns: tuple[str, ...], digit_columns: tuple[str, ...], csv_profile: str
) -> OutputFormat:
    return OutputFormat(
        columns=columns,
        digit_columns=digit_columns,
        schema_version=int(first["schema_version"]),
        csv_profile=csv_profile,
        model_id=first["model_id"],
        app_version=first["app_version"],
        processed_at=first["processed_at"],
        threshold=None,
        max_error=None,
    )


def _has_bom(table: Path) -> bool:
    with table.open("rb") as file:
        return file.read(3) == b"\xef\xbb\xbf"


def _read_table(table: Path, batch_id: str) -> tuple[tuple[str, ...], list[dict[str, str]]]:
    reader = csv.DictReader(io.StringIO(table.read_bytes().decode("utf-8-sig"), newline=""), strict=True)
    lines = list(reader)
    for line in lines:
        if None in line or None in line.values():
            raise ValueError(f"line {reader.line_num} or one before it has not as many cells as the header")
        if line["batch_id"] != batch_id:
            raise ValueError(f"it has a row of batch {escape(line['batch_id'])}")
    return tuple(reader.fieldnames or ()), lines


def _parse_digits(lines: Sequence[Mapping[str, str]]) -> dict[str, list[Digit]]:
    found: dict[str, list[Digit]] = {}
    for line in lines:
        box = Box(*(int(line[name]) for name in ("x", "y", "width", "height")))
        found.setdefault(line["row"], []).append(Digit(box, tuple(float(line[f"p{digit}"]) for digit in range(10))))
    return found


def _parse_row(line: Mapping[str, str], digits: tuple[Digit, ...]) -> TableRow:
    reading = PageReading(
        page=int(line["page"]),
        status=PageStatus(line["status"]),
        text=line["text"],
        confidence=_parse_float(line["confidence"]),
        runner_up=line["runner_up"],
        runner_up_confidence=_parse_float(line["runner_up_confidence"]),
        reason=Reason(line["reason_code"]) if line["reason_code"] else None,
        detail=unescape_cell(line["reason"]),
        format=line["format"],
        width=int(line["width"]) if line["width"] else None,
        height=int(line["height"]) if line["height"] else None,
        digits=digits,
    )
    return TableRow(
        batch_id=line["batch_id"],
        row=int(line["row"]),
        path=unescape_cell(line["file"]),
        sha256=line["sha256"],
        size=int(line["size_bytes"]),
        received_at=line["received_at"],
        label=unescape_cell(line["label"]),
        duplicate_of=line["duplicate_of"],
        reading=reading,
    )


def _make_claim(batch_id: str, path: str, rows: Sequence[TableRow], outbox: Path) -> Claim:
    statuses = {row.reading.status for row in rows}
    fate = FileOutcome.REVIEW if len(statuses) > 1 else FileOutcome(next(iter(statuses)))
    home = f"{'rejected' if fate is FileOutcome.REJECTED else 'done'}/{batch_id}"
    place = _find_original(outbox / home, path, rows[0])
    reason_file = _find_reason(outbox / home, place, rows[0]) if fate is FileOutcome.REJECTED else ""
    return Claim(
        batch_id,
        path,
        inode=0,
        size=rows[0].size,
        mtime_ns=0,
        is_fresh=False,
        received_at=rows[0].received_at,
        outcome=fate,
        sha256=rows[0].sha256,
        location=f"{outbox.name}/{home}/{place}" if place else "",
        reason_file=f"{outbox.name}/{home}/{reason_file}" if reason_file else "",
    )


def _find_original(home: Path, path: str, row: TableRow) -> str:
    """Where an original lies under its batch's folder: by its name, else by its bytes under a name near to it."""
    name = Path(path).name
    size = _get_size(home / path)
    if size == row.size:
        return path
    near = [files.numbered_name(name, number) for number in range(2, _MOST_NUMBERED)]
    plain = files.portable_name(name)
    near += [plain, *(files.numbered_name(plain, number) for number in range(2, _MOST_NUMBERED))]
    for candidate in (Path(path).with_name(each).as_posix() for each in dict.fromkeys(near)):
        if _get_size(home / candidate) == row.size and row.sha256 in ("", files.hash_file(home / candidate)):
            return candidate
    return "" if size is None else path


def _find_reason(home: Path, place: str, row: TableRow) -> str:
    """The file beside a rejected original that tells of this row; others may be originals that have such a name."""
    if not place:
        return ""
    digest = row.sha256[:16] or f"row-{row.row}"
    stems = (Path(place).name, digest, f"{digest}-{row.row}")
    candidates = [Path(place).with_name(f"{stem}.reason.json").as_posix() for stem in stems]
    # Where these paths would be too long, it lies in the folder of the batch.
    return next((one for one in (*candidates, f"{stems[-1]}.reason.json") if _is_reason_of(home / one, row)), "")


def _is_reason_of(path: Path, row: TableRow) -> bool:
    size = _get_size(path)
    if size is None or size > _MOST_REASON_BYTES:
        return False
    try:
        told = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(told, dict) and (told.get("batch_id"), told.get("row")) == (row.batch_id, row.row)


def _get_size(path: Path) -> int | None:
    """In bytes; None if no regular file lies there."""
    try:
        state = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as why:
        if why.errno not in _REFUSED:
            raise
        return None
    return state.st_size if stat.S_ISREG(state.st_mode) else None


def _parse_float(cell: str) -> float | None:
    return float(cell) if cell else None


def check_finished(batch_id: str, stages: Mapping[str, BatchStage]) -> None:
    """Raise UsageError unless a batch that a person names is finished; `stages` are those of all ledgers."""
    if stages.get(batch_id) is not BatchStage.CLOSED:
        shown = text.escape(batch_id)
        raise UsageError(f"batch {shown} is {'not closed yet' if batch_id in stages else 'in no ledger'}")
