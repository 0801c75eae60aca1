"""The ledger made again from what lies in the outbox, when it is lost or damaged.

Not in any CSV, so not made again: files that were given back, corrections, and the threshold of the time.
"""

import csv
import io
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from digitrec import files, logs, names
from digitrec.batch_ids import BATCH_ID
from digitrec.errors import EnvironmentFailure
from digitrec.intake.inbox import CLAIMED
from digitrec.ledger import Ledger
from digitrec.operations import departures
from digitrec.records import Batch, Box, Claim, Digit, Fate, Reading, Reason, Rendering, Row, Stage, Status

_MOST_NUMBERED = 100
REBUILT_AT = "rebuilt_at"


def published(outbox: Path) -> list[str]:
    """The ids of all batches whose CSV lies in the outbox, oldest first."""
    if not outbox.is_dir():
        return []
    named = (name.removesuffix(".csv") for name in os.listdir(outbox) if name.endswith(".csv"))
    return sorted(filter(BATCH_ID.fullmatch, named))


def rebuild(ledger: Ledger, outbox: Path, inbox: Path, *, skip: Collection[str], now: str) -> int:
    """Put every published batch into an empty ledger; gives how many.

    Args:
        ledger: a new one.
        outbox: where the CSVs and the originals are.
        inbox: where originals of an unfinished batch may still lie claimed.
        skip: batches that other workers' ledgers know.
        now: time to note, ISO 8601.
    """
    ledger.remember(REBUILT_AT, now)
    ours = dict.fromkeys(batch_id for batch_id in published(outbox) if batch_id not in skip)
    restored = sum(restore(ledger, batch_id, outbox, inbox) for batch_id in ours)
    ledger.note_departures([one for one in departures.read(outbox) if one.batch_id in ours])
    return restored


def restore(ledger: Ledger, batch_id: str, outbox: Path, inbox: Path) -> bool:
    """Put one batch into the ledger from its CSVs; False if it has none.

    Raises:
        EnvironmentFailure: they cannot be understood.
    """
    table = outbox / f"{batch_id}.csv"
    if not table.is_file():
        return False
    try:
        columns, lines = _read(table)
        digit_columns, digit_lines = _read(outbox / f"{batch_id}.digits.csv")
        digits = _digits(digit_lines)
        rows = [_row(line, tuple(digits.get(line["row"], ()))) for line in lines]
    except (ValueError, KeyError, csv.Error, FileNotFoundError) as why:
        hint = "Move it out of the outbox, or put it right; then start again."
        raise EnvironmentFailure(f"{table} cannot be understood: {why}", hint=hint) from why
    first = lines[0]
    how = Rendering(
        columns=columns,
        digit_columns=digit_columns,
        schema_version=int(first["schema_version"]),
        csv_profile="excel" if table.read_bytes().startswith(b"\xef\xbb\xbf") else "plain",
        model_id=first["model_id"],
        app_version=first["app_version"],
        processed_at=first["processed_at"],
        threshold=None,
        max_error=None,
    )
    by_path: dict[str, list[Row]] = {}
    for row in rows:
        by_path.setdefault(row.path, []).append(row)
    claims = [_claim(batch_id, path, of_file, outbox) for path, of_file in by_path.items()]
    is_open = any((one / batch_id).is_dir() for one in (inbox / CLAIMED).glob("*"))
    stage = Stage.PUBLISHED if is_open else Stage.CLOSED
    ledger.restore(Batch(batch_id, rows[0].received_at, stage, how), claims, rows)
    logs.event("batch restored from its CSV", batch=batch_id, rows=len(rows))
    return True


def _read(table: Path) -> tuple[tuple[str, ...], list[dict[str, str]]]:
    reader = csv.DictReader(io.StringIO(table.read_bytes().decode("utf-8-sig"), newline=""), strict=True)
    lines = list(reader)
    return tuple(reader.fieldnames or ()), lines


def _digits(lines: Sequence[Mapping[str, str]]) -> dict[str, list[Digit]]:
    found: dict[str, list[Digit]] = {}
    for line in lines:
        box = Box(*(int(line[name]) for name in ("x", "y", "width", "height")))
        found.setdefault(line["row"], []).append(Digit(box, tuple(float(line[f"p{digit}"]) for digit in range(10))))
    return found


def _row(line: Mapping[str, str], digits: tuple[Digit, ...]) -> Row:
    reading = Reading(
        page=int(line["page"]),
        status=Status(line["status"]),
        text=line["text"],
        confidence=_float(line["confidence"]),
        runner_up=line["runner_up"],
        runner_up_confidence=_float(line["runner_up_confidence"]),
        reason=Reason(line["reason_code"]) if line["reason_code"] else None,
        detail=names.from_cell(line["reason"]),
        format=line["format"],
        width=int(line["width"]) if line["width"] else None,
        height=int(line["height"]) if line["height"] else None,
        digits=digits,
    )
    return Row(
        batch_id=line["batch_id"],
        row=int(line["row"]),
        path=names.from_cell(line["file"]),
        sha256=line["sha256"],
        size=int(line["size_bytes"]),
        received_at=line["received_at"],
        label=names.from_cell(line["label"]),
        duplicate_of=line["duplicate_of"],
        reading=reading,
    )


def _claim(batch_id: str, path: str, rows: Sequence[Row], outbox: Path) -> Claim:
    statuses = {row.reading.status for row in rows}
    fate = Fate.REVIEW if len(statuses) > 1 else Fate(next(iter(statuses)))
    home = f"{'rejected' if fate is Fate.REJECTED else 'done'}/{batch_id}"
    place = _find(outbox / home, path)
    reason_file = _find_reason(outbox / home, place, rows[0].sha256) if fate is Fate.REJECTED else ""
    return Claim(
        batch_id,
        path,
        inode=0,
        size=rows[0].size,
        mtime_ns=0,
        is_fresh=False,
        received_at=rows[0].received_at,
        fate=fate,
        sha256=rows[0].sha256,
        place=f"{outbox.name}/{home}/{place}" if place else "",
        reason_file=f"{outbox.name}/{home}/{reason_file}" if reason_file else "",
    )


def _find(home: Path, path: str) -> str:
    """Where an original lies under its batch's folder: by its name, or by that with a number."""
    name = Path(path).name
    numbered = (files.numbered(name, number) for number in range(2, _MOST_NUMBERED))
    candidates = (Path(path).with_name(each).as_posix() for each in (name, *numbered))
    return next((one for one in candidates if (home / one).is_file()), "")


def _find_reason(home: Path, place: str, sha256: str) -> str:
    at = Path(place)
    candidates = (at.with_name(f"{stem}.reason.json").as_posix() for stem in (at.name, sha256[:16]) if place)
    return next((one for one in candidates if (home / one).is_file()), "")


def _float(cell: str) -> float | None:
    return float(cell) if cell else None
