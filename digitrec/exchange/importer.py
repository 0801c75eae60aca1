"""Corrections made elsewhere: first what each line means, of all lines; then, if all is well, all of them."""

import os
import shlex
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from digitrec.exchange import spreadsheet
from digitrec.exchange.export import order_by_trust
from digitrec.exchange.spreadsheet import RowError, SheetRow
from digitrec.pipeline.ledgers import find_ledgers
from digitrec.settings import Settings
from digitrec.storage.corrected_tables import write_corrected_table
from digitrec.storage.corrections import (
    NONE,
    Judgement,
    ReviewMethod,
    Verdict,
    get_latest_id,
    read_latest,
    record_judgements,
)
from digitrec.storage.ledger import Ledger
from digitrec.text import escape, unescape_cell
from digitrec.types import Reason, TableRow

_OF_FILE = "SELECT batch_id, row FROM claims JOIN readings USING (batch_id, path) WHERE path = ? ORDER BY batch_id, row"
_OF_BYTES = "SELECT batch_id, row FROM readings WHERE sha256 = ? ORDER BY batch_id, row"


@dataclass(slots=True)
class ImportPlan:
    """What a table asks for."""

    corrections: dict[str, dict[tuple[str, int], str]] = field(default_factory=dict)
    """By worker, then by batch and row: digits or 'none'. Only what is new."""
    errors: list[str] = field(default_factory=list)
    """Why a line cannot be applied, a sentence each."""
    already_known: int = 0
    """Lines that say what a person has said already."""
    unchanged: int = 0
    """Lines of an edited table that were left as they were."""


@dataclass(slots=True)
class ImportResult:
    """What was done."""

    confirmed: int = 0
    corrected: int = 0
    tables: list[Path] = field(default_factory=list)
    """Corrected tables of reviews that are finished."""


@dataclass(frozen=True, slots=True)
class _Answer:
    worker: str
    row: TableRow
    holds: str | None
    """What a person said of it last, if that settles it."""


def plan_import(content: bytes, ledgers: Mapping[str, Ledger], *, confirm_unchanged: bool = False) -> ImportPlan:
    """Find what every line of a table means; changes nothing.

    Args:
        content: of the file, see `sheet.lines`.
        ledgers: of all workers, by name.
        confirm_unchanged: what is in review in an edited table and was left as it is, is right; not where a person
            has said otherwise since, nor where it does not look like a digit.

    Raises:
        UsageError: it is no such table.
    """
    found = ImportPlan()
    catalogue = _Catalogue(ledgers)
    said_at: dict[tuple[str, int], tuple[int, str]] = {}
    for line in spreadsheet.read_rows(content):
        if isinstance(line, tuple):
            found.errors.append(f"line {line[0]}: {line[1]}")
            continue
        try:
            answers = catalogue.named_by(line)
            new = _said(line, answers, confirm_unchanged=confirm_unchanged)
            if new is None:
                found.unchanged += 1
                continue
            for answer in answers:
                key = (answer.row.batch_id, answer.row.row)
                before, earlier = said_at.setdefault(key, (line.number, new))
                if earlier != new:
                    raise RowError(f"it says {new}, and line {before} says {earlier} of the same answer")
        except RowError as why:
            found.errors.append(f"line {line.number}: {why}")
            continue
        fresh = [one for one in answers if one.holds != new]
        found.already_known += not fresh
        for one in fresh:
            found.corrections.setdefault(one.worker, {})[one.row.batch_id, one.row.row] = new
    return found


def apply_import(settings: Settings, wanted: ImportPlan, *, who: str, at: str) -> ImportResult:
    """Carry a plan out, worker by worker: all of one, or nothing. May be done again.

    Raises:
        UsageError: `who` is no name.
        Conflict: somebody judged one of the rows this very moment.
        EnvironmentFailure, OSError, sqlite3.Error: what is told by then is kept.
    """
    done = ImportResult()
    for worker, said in wanted.corrections.items():
        with closing(Ledger.open_shared(find_ledgers(settings)[worker])) as ledger:
            newest_ids = {key: get_latest_id(ledger, *key) for key in said}
            judgements = [Judgement(*key, new, newest_ids[key]) for key, new in said.items()]
            for one in record_judgements(ledger, judgements, reviewer=who, method=ReviewMethod.FILE, reviewed_at=at):
                done.confirmed += one.verdict is Verdict.CONFIRMED
                done.corrected += one.verdict is Verdict.CORRECTED
            for batch_id in sorted({batch_id for batch_id, _ in said}):
                table = write_corrected_table(settings.outbox, ledger, batch_id)
                done.tables += [table] if table else []
    return done


def _said(line: SheetRow, answers: list[_Answer], *, confirm_unchanged: bool) -> str | None:
    """What a line says of these answers; None if it was left as it was."""
    text = line.text
    if line.is_ours and all(text == one.row.reading.text for one in answers):
        is_meant = line["status"] in {"corrected", "confirmed"}
        is_meant |= confirm_unchanged and line["status"] == "review" and all(map(_is_confirmable, answers))
        return text if is_meant and text else None
    if not text:
        raise RowError(f"it has no text; {NONE!r} says that there is no digit")
    if not line.is_literal:
        for known in {one.row.reading.text for one in answers} | {one.holds for one in answers}:
            if known and text != known and text.zfill(len(known)) == known:
                raise RowError(
                    f"{text} is what spreadsheets make of {known}; write '{text} if it is meant, or '{known}"
                )
    return text


def _is_confirmable(answer: _Answer) -> bool:
    """Whether an answer left as it is counts as right: nobody has said otherwise, and it looks like a digit."""
    return answer.holds is None and answer.row.reading.reason is not Reason.NOT_A_DIGIT


class _Catalogue:
    """Finds the answers that a line names, in all ledgers."""

    def __init__(self, ledgers: Mapping[str, Ledger]) -> None:
        self._ledgers = order_by_trust(ledgers)
        self._holds = {worker: read_latest(ledger) for worker, ledger in self._ledgers.items()}

    def named_by(self, line: SheetRow) -> list[_Answer]:
        """All answers that a line names: several, if the same bytes were read more than once.

        Raises:
            BadLine: none, or it is not clear which.
        """
        number, page = line.integer("row"), line.integer("page")
        if line["batch_id"] and number is not None:
            return [self._exact(line, line["batch_id"], number, page)]
        if line["sha256"]:
            found = self._ask(_OF_BYTES, line["sha256"].lower())
        elif line["file"]:
            found = self._ask(_OF_FILE, os.fsencode(unescape_cell(line["file"])))
            found = found or self._ask(_OF_FILE, os.fsencode(line["file"]))
        else:
            raise RowError("it names no answer")
        found = [one for one in found if not _differs(line, one.row, page)]
        if not found:
            named = shlex.quote(escape(line["file"] or line["sha256"])[:200])
            raise RowError(f"there is no such answer; `digitrec why {named}` tells what is known")
        if len({one.row.reading.page for one in found}) > 1:
            raise RowError("the file has several pages; name one in a column page")
        if len({one.row.sha256 for one in found}) > 1:
            raise RowError("several files had this name; name one by batch_id and row, or by sha256")
        return found

    def _exact(self, line: SheetRow, batch_id: str, number: int, page: int | None) -> _Answer:
        for worker, ledger in self._ledgers.items():
            row = ledger.row(batch_id, number)
            if row is None:
                continue
            if differs := _differs(line, row, page):
                raise RowError(f"row {number} of {batch_id} has another {differs}: was the table sorted in part?")
            return self._answer(worker, row)
        raise RowError(f"there is no row {number} in batch {escape(batch_id[:60])}")

    def _ask(self, statement: str, value: object) -> list[_Answer]:
        found: dict[tuple[str, int], _Answer] = {}
        for worker, ledger in self._ledgers.items():
            for batch_id, number in ledger.query(statement, (value,)).fetchall():
                row = ledger.row(batch_id, number)
                if row is not None and (batch_id, number) not in found:
                    found[batch_id, number] = self._answer(worker, row)
        return list(found.values())

    def _answer(self, worker: str, row: TableRow) -> _Answer:
        said = self._holds[worker].get((row.batch_id, row.row))
        return _Answer(worker, row, said.new if said is not None and said.verdict.is_settled else None)


def _differs(line: SheetRow, row: TableRow, page: int | None) -> str:
    """The column in which a line names another answer than this one; '' if none."""
    if line["batch_id"] not in ("", row.batch_id):
        return "batch_id"
    if line["sha256"].lower() not in ("", row.sha256):
        return "sha256"
    if line["file"] and row.path not in (unescape_cell(line["file"]), line["file"]):
        return "file"
    return "page" if page not in (None, row.reading.page) else ""
