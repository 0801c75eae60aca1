"""Import corrections from a table: first plan all lines, then apply all or none."""

import os
import shlex
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TypeAlias

from digitrec.exchange import spreadsheet
from digitrec.exchange.spreadsheet import RowError, SheetRow
from digitrec.pipeline.ledgers import find_ledgers, order_by_trust
from digitrec.settings import Settings
from digitrec.storage.corrected_tables import write_corrected_table
from digitrec.storage.corrections import (
    ILLEGIBLE,
    NONE,
    Correction,
    ReviewMethod,
    Verdict,
    get_latest_id,
    read_latest,
    read_number_corrections,
)
from digitrec.storage.judgements import Judgement, record_judgements
from digitrec.storage.ledger import Ledger
from digitrec.text import escape, pluralize, unescape_cell
from digitrec.types import Number, PageReading, Reason, TableRow

_BY_FILE = "SELECT batch_id, row FROM claims JOIN readings USING (batch_id, path) WHERE path = ? ORDER BY batch_id, row"
_BY_SHA256 = "SELECT batch_id, row FROM readings WHERE sha256 = ? ORDER BY batch_id, row"

AnswerId: TypeAlias = tuple[str, int, int]
"""Batch, row, and number of the page; 0 for the whole page, and for the number of a page that has no other."""


@dataclass(slots=True)
class ImportPlan:
    """Corrections that a table asks for."""

    corrections: dict[str, dict[AnswerId, str]] = field(default_factory=dict)
    """Labels by worker, then by answer. Only new ones."""
    errors: list[str] = field(default_factory=list)
    """One sentence per line that cannot be applied."""
    repeated: int = 0
    """Lines with the verdict that a reviewer has given already."""
    unchanged: int = 0
    """Unedited lines of an exported table."""


@dataclass(slots=True)
class ImportResult:
    """Applied corrections."""

    confirmed: int = 0
    corrected: int = 0
    illegible: int = 0
    tables: list[Path] = field(default_factory=list)
    """Corrected tables of finished reviews."""


@dataclass(frozen=True, slots=True)
class _CurrentAnswer:
    """Answer for a page or a number, and the label that a reviewer gave it last."""

    worker: str
    row: TableRow
    number: int
    """As in `AnswerId`."""
    answer: PageReading | Number
    label: str | None
    """None if no verdict tells it."""
    has_corrected_numbers: bool = False
    """Whether a reviewer corrected single numbers of the page; False if the answer is for a number."""

    @property
    def id(self) -> AnswerId:
        """Return the id of the answer."""
        return self.row.batch_id, self.row.row, self.number


def plan_import(content: bytes, ledgers: Mapping[str, Ledger], *, confirm_unchanged: bool = False) -> ImportPlan:
    """Match every line of a table with answers; changes nothing.

    Args:
        content: of the file, see `spreadsheet.read_rows`.
        ledgers: of all workers, by name.
        confirm_unchanged: confirm unedited lines in review of an exported table; except those with another verdict
            since, and those that look like no digit.

    Raises:
        UsageError: the content is no such table.
    """
    plan = ImportPlan()
    catalogue = _AnswerCatalogue(ledgers)
    labels = _Labels()
    for row in spreadsheet.read_rows(content):
        if isinstance(row, tuple):
            plan.errors.append(f"line {row[0]}: {row[1]}")
            continue
        try:
            answers = catalogue.find(row)
            label = _parse_label(row, answers, confirm_unchanged=confirm_unchanged)
            if label is None:
                plan.unchanged += 1
                continue
            for answer in answers:
                labels.add(answer.id, row.number, label)
        except RowError as error:
            plan.errors.append(f"line {row.number}: {error}")
            continue
        changed = [answer for answer in answers if answer.label != label]
        plan.repeated += not changed
        for answer in changed:
            plan.corrections.setdefault(answer.worker, {})[answer.id] = label
    return plan


class _Labels:
    """What the lines of a table say of answers."""

    def __init__(self) -> None:
        self._of_answers: dict[AnswerId, tuple[int, str]] = {}
        self._of_pages: dict[tuple[str, int], tuple[int, bool]] = {}

    def add(self, answer: AnswerId, line: int, label: str) -> None:
        """Add what a line says of an answer; RowError if an earlier line contradicts it."""
        earlier_line, earlier_label = self._of_answers.setdefault(answer, (line, label))
        if earlier_label != label:
            raise RowError(f"it says {label}, and line {earlier_line} says {earlier_label} of the same answer")
        is_page = answer[2] == 0
        earlier_line, was_page = self._of_pages.setdefault(answer[:2], (line, is_page))
        if was_page is not is_page:
            raise RowError(f"line {earlier_line} is about the same page: as a whole, or about one of its numbers")


def apply_import(settings: Settings, plan: ImportPlan, *, who: str, at: str) -> ImportResult:
    """Apply a plan, worker by worker: all corrections of one worker, or none. Idempotent.

    Raises:
        UsageError: `who` is no name.
        Conflict: another reviewer judged one of the rows at the same time.
        EnvironmentFailure, OSError, sqlite3.Error: corrections of earlier workers are kept.
    """
    result = ImportResult()
    for worker, labels in plan.corrections.items():
        with closing(Ledger.open_shared(find_ledgers(settings)[worker])) as ledger:
            judgements = [
                Judgement(batch_id, row, label, get_latest_id(ledger, batch_id, row), number)
                for (batch_id, row, number), label in sorted(labels.items())
            ]
            for correction in record_judgements(
                ledger, judgements, reviewer=who, method=ReviewMethod.FILE, reviewed_at=at
            ):
                if (correction.batch_id, correction.row, correction.number) in labels:
                    result.confirmed += correction.verdict is Verdict.CONFIRMED
                    result.corrected += correction.verdict is Verdict.CORRECTED
                    result.illegible += correction.verdict is Verdict.ILLEGIBLE
            for batch_id in sorted({batch_id for batch_id, _, _ in labels}):
                table = write_corrected_table(settings.outbox, ledger, batch_id)
                result.tables += [table] if table else []
    return result


def _parse_label(row: SheetRow, answers: list[_CurrentAnswer], *, confirm_unchanged: bool) -> str | None:
    """Return the label of a line for these answers; None if it is unedited."""
    text = row.text
    if row.is_ours and all(_is_unedited(text, answer.answer) for answer in answers):
        is_verdict = row["status"] in {"corrected", "confirmed"}
        is_verdict |= confirm_unchanged and row["status"] == "review" and all(map(_is_confirmable, answers))
        return text if is_verdict and text not in {"", ILLEGIBLE} else None
    if not text:
        raise RowError(f"it has no text; {NONE!r} says that there is no digit")
    if row.integer("number") and " " in text:
        raise RowError(f"{text!r} has a space, and is one number")
    if not row.is_literal:
        for old in {answer.answer.text for answer in answers} | {answer.label for answer in answers}:
            if old and _is_rewritten(old, text):
                raise RowError(f"{text} is what spreadsheets make of {old}; write '{text} if it is meant, or '{old}")
    return text


def _is_unedited(text: str, answer: PageReading | Number) -> bool:
    """Return whether a line has the answer of the service; 0.1 left pages that look like no digit without a text."""
    return text == answer.text or (text == ILLEGIBLE and not answer.text and answer.reason is Reason.NOT_A_DIGIT)


def _is_rewritten(old: str, text: str) -> bool:
    """Return whether a spreadsheet that reads texts as numbers may have made a text of another one.

    >>> _is_rewritten("0650", "650"), _is_rewritten("3,10", "3.1"), _is_rewritten("0650", "0651")
    (True, True, False)
    """
    try:
        return old != text and Decimal(old.replace(",", ".")) == Decimal(text.replace(",", "."))
    except InvalidOperation:  # no number
        return False


def _is_confirmable(answer: _CurrentAnswer) -> bool:
    """Return True if an unedited answer counts as right: no verdict differs from it, and it looks like a digit."""
    is_judged = answer.label is not None or answer.has_corrected_numbers
    return not is_judged and answer.answer.reason is not Reason.NOT_A_DIGIT


class _AnswerCatalogue:
    """Finds the answers that a line identifies, in all ledgers."""

    def __init__(self, ledgers: Mapping[str, Ledger]) -> None:
        self._ledgers = order_by_trust(ledgers)
        self._corrections = {worker: read_latest(ledger) for worker, ledger in self._ledgers.items()}
        self._row: tuple[str, TableRow] | None = None
        self._of_numbers: tuple[TableRow, dict[tuple[int, int], Correction]] | None = None

    def find(self, row: SheetRow) -> list[_CurrentAnswer]:
        """Return all answers that a line identifies: several, if the same bytes were read more than once.

        Raises:
            RowError: none, or it is ambiguous.
        """
        return [self._find_answer(row, worker, page) for worker, page in self._find_pages(row)]

    def _find_answer(self, row: SheetRow, worker: str, page: TableRow) -> _CurrentAnswer:
        numbers = page.reading.numbers
        position = row.integer("number") or 0
        if position > len(numbers):
            raise RowError(f"the page has {pluralize(len(numbers), 'number')}, not {position}")
        answer = numbers[position - 1] if position else page.reading
        if isinstance(answer, Number):
            for column, place in (("line", answer.line), ("column", answer.column)):
                if row.integer(column) not in (None, place):
                    raise RowError(f"number {position} has another {column}: was the table sorted in part?")
        has_corrected_numbers = False
        if position and len(numbers) > 1:
            correction = self._read_number_corrections(worker, page).get((page.row, position))
        else:
            position, correction = 0, self._corrections[worker].get((page.batch_id, page.row))
            if len(numbers) > 1:
                verdicts = [entry.verdict for entry in self._read_number_corrections(worker, page).values()]
                has_corrected_numbers = any(
                    verdict.is_settled and verdict is not Verdict.CONFIRMED for verdict in verdicts
                )
        is_settled = correction is not None and correction.verdict.is_settled
        label = correction.new or ILLEGIBLE if correction is not None and is_settled else None
        return _CurrentAnswer(worker, page, position, answer, label, has_corrected_numbers)

    # A table of numbers has many lines about one page: the last page is kept.

    def _read_row(self, worker: str, batch_id: str, row: int) -> TableRow | None:
        if self._row is None or (self._row[0], self._row[1].batch_id, self._row[1].row) != (worker, batch_id, row):
            page = self._ledgers[worker].row(batch_id, row)
            if page is None:
                return None
            self._row = worker, page
        return self._row[1]

    def _read_number_corrections(self, worker: str, page: TableRow) -> dict[tuple[int, int], Correction]:
        if self._of_numbers is None or self._of_numbers[0] is not page:
            corrections = read_number_corrections(self._ledgers[worker], page.batch_id, page.row)
            self._of_numbers = page, corrections
        return self._of_numbers[1]

    def _find_pages(self, row: SheetRow) -> list[tuple[str, TableRow]]:
        number, page = row.integer("row"), row.integer("page")
        if row["batch_id"] and number is not None:
            return [self._find_row(row, row["batch_id"], number, page)]
        if row["sha256"]:
            pages = self._query(_BY_SHA256, row["sha256"].lower())
        elif row["file"]:
            pages = self._query(_BY_FILE, os.fsencode(unescape_cell(row["file"])))
            pages = pages or self._query(_BY_FILE, os.fsencode(row["file"]))
        else:
            raise RowError("it names no answer")
        pages = [(worker, answer) for worker, answer in pages if not _find_difference(row, answer, page)]
        if not pages:
            name = shlex.quote(escape(row["file"] or row["sha256"])[:200])
            raise RowError(f"there is no such answer; `digitrec why {name}` shows the history of the file")
        if len({answer.reading.page for _, answer in pages}) > 1:
            raise RowError("the file has several pages; name one in a column page")
        if len({answer.sha256 for _, answer in pages}) > 1:
            raise RowError("several files had this name; name one by batch_id and row, or by sha256")
        return pages

    def _find_row(self, row: SheetRow, batch_id: str, number: int, page: int | None) -> tuple[str, TableRow]:
        for worker in self._ledgers:
            answer = self._read_row(worker, batch_id, number)
            if answer is None:
                continue
            if difference := _find_difference(row, answer, page):
                raise RowError(f"row {number} of {batch_id} has another {difference}: was the table sorted in part?")
            return worker, answer
        raise RowError(f"there is no row {number} in batch {escape(batch_id[:60])}")

    def _query(self, statement: str, value: object) -> list[tuple[str, TableRow]]:
        pages: dict[tuple[str, int], tuple[str, TableRow]] = {}
        for worker, ledger in self._ledgers.items():
            for batch_id, number in ledger.query(statement, (value,)).fetchall():
                row = self._read_row(worker, batch_id, number)
                if row is not None and (batch_id, number) not in pages:
                    pages[batch_id, number] = worker, row
        return list(pages.values())


def _find_difference(row: SheetRow, answer: TableRow, page: int | None) -> str:
    """Return the column in which a line and an answer differ; empty if none."""
    if row["batch_id"] not in ("", answer.batch_id):
        return "batch_id"
    if row["sha256"].lower() not in ("", answer.sha256):
        return "sha256"
    if row["file"] and answer.path not in (unescape_cell(row["file"]), row["file"]):
        return "file"
    return "page" if page not in (None, answer.reading.page) else ""
