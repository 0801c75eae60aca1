"""Import corrections from a table: first plan all lines, then apply all or none."""

import os
import shlex
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from digitrec.exchange import spreadsheet
from digitrec.exchange.spreadsheet import RowError, SheetRow
from digitrec.pipeline.ledgers import find_ledgers, order_by_trust
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

_BY_FILE = "SELECT batch_id, row FROM claims JOIN readings USING (batch_id, path) WHERE path = ? ORDER BY batch_id, row"
_BY_SHA256 = "SELECT batch_id, row FROM readings WHERE sha256 = ? ORDER BY batch_id, row"


@dataclass(slots=True)
class ImportPlan:
    """Corrections that a table asks for."""

    corrections: dict[str, dict[tuple[str, int], str]] = field(default_factory=dict)
    """Digits or 'none', by worker, then by batch and row. Only new ones."""
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
    tables: list[Path] = field(default_factory=list)
    """Corrected tables of finished reviews."""


@dataclass(frozen=True, slots=True)
class _CurrentAnswer:
    """A row, and the label that a reviewer gave it last."""

    worker: str
    row: TableRow
    label: str | None
    """None if no verdict settles it."""


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
    labels: dict[tuple[str, int], tuple[int, str]] = {}
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
                key = (answer.row.batch_id, answer.row.row)
                earlier_line, earlier_label = labels.setdefault(key, (row.number, label))
                if earlier_label != label:
                    raise RowError(f"it says {label}, and line {earlier_line} says {earlier_label} of the same answer")
        except RowError as error:
            plan.errors.append(f"line {row.number}: {error}")
            continue
        changed = [answer for answer in answers if answer.label != label]
        plan.repeated += not changed
        for answer in changed:
            plan.corrections.setdefault(answer.worker, {})[answer.row.batch_id, answer.row.row] = label
    return plan


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
            judgements = [Judgement(*key, label, get_latest_id(ledger, *key)) for key, label in labels.items()]
            for correction in record_judgements(
                ledger, judgements, reviewer=who, method=ReviewMethod.FILE, reviewed_at=at
            ):
                result.confirmed += correction.verdict is Verdict.CONFIRMED
                result.corrected += correction.verdict is Verdict.CORRECTED
            for batch_id in sorted({batch_id for batch_id, _ in labels}):
                table = write_corrected_table(settings.outbox, ledger, batch_id)
                result.tables += [table] if table else []
    return result


def _parse_label(row: SheetRow, answers: list[_CurrentAnswer], *, confirm_unchanged: bool) -> str | None:
    """Return the label of a line for these answers; None if it is unedited."""
    text = row.text
    if row.is_ours and all(text == answer.row.reading.text for answer in answers):
        is_verdict = row["status"] in {"corrected", "confirmed"}
        is_verdict |= confirm_unchanged and row["status"] == "review" and all(map(_is_confirmable, answers))
        return text if is_verdict and text else None
    if not text:
        raise RowError(f"it has no text; {NONE!r} says that there is no digit")
    if not row.is_literal:
        for old in {answer.row.reading.text for answer in answers} | {answer.label for answer in answers}:
            if old and text != old and text.zfill(len(old)) == old:
                raise RowError(f"{text} is what spreadsheets make of {old}; write '{text} if it is meant, or '{old}")
    return text


def _is_confirmable(answer: _CurrentAnswer) -> bool:
    """Return True if an unedited answer counts as right: it has no other verdict, and looks like a digit."""
    return answer.label is None and answer.row.reading.reason is not Reason.NOT_A_DIGIT


class _AnswerCatalogue:
    """Finds the answers that a line identifies, in all ledgers."""

    def __init__(self, ledgers: Mapping[str, Ledger]) -> None:
        self._ledgers = order_by_trust(ledgers)
        self._corrections = {worker: read_latest(ledger) for worker, ledger in self._ledgers.items()}

    def find(self, row: SheetRow) -> list[_CurrentAnswer]:
        """Return all answers that a line identifies: several, if the same bytes were read more than once.

        Raises:
            RowError: none, or it is ambiguous.
        """
        number, page = row.integer("row"), row.integer("page")
        if row["batch_id"] and number is not None:
            return [self._find_row(row, row["batch_id"], number, page)]
        if row["sha256"]:
            answers = self._query(_BY_SHA256, row["sha256"].lower())
        elif row["file"]:
            answers = self._query(_BY_FILE, os.fsencode(unescape_cell(row["file"])))
            answers = answers or self._query(_BY_FILE, os.fsencode(row["file"]))
        else:
            raise RowError("it names no answer")
        answers = [answer for answer in answers if not _find_difference(row, answer.row, page)]
        if not answers:
            name = shlex.quote(escape(row["file"] or row["sha256"])[:200])
            raise RowError(f"there is no such answer; `digitrec why {name}` shows the history of the file")
        if len({answer.row.reading.page for answer in answers}) > 1:
            raise RowError("the file has several pages; name one in a column page")
        if len({answer.row.sha256 for answer in answers}) > 1:
            raise RowError("several files had this name; name one by batch_id and row, or by sha256")
        return answers

    def _find_row(self, row: SheetRow, batch_id: str, number: int, page: int | None) -> _CurrentAnswer:
        for worker, ledger in self._ledgers.items():
            answer = ledger.row(batch_id, number)
            if answer is None:
                continue
            if difference := _find_difference(row, answer, page):
                raise RowError(f"row {number} of {batch_id} has another {difference}: was the table sorted in part?")
            return self._add_label(worker, answer)
        raise RowError(f"there is no row {number} in batch {escape(batch_id[:60])}")

    def _query(self, statement: str, value: object) -> list[_CurrentAnswer]:
        answers: dict[tuple[str, int], _CurrentAnswer] = {}
        for worker, ledger in self._ledgers.items():
            for batch_id, number in ledger.query(statement, (value,)).fetchall():
                row = ledger.row(batch_id, number)
                if row is not None and (batch_id, number) not in answers:
                    answers[batch_id, number] = self._add_label(worker, row)
        return list(answers.values())

    def _add_label(self, worker: str, row: TableRow) -> _CurrentAnswer:
        correction = self._corrections[worker].get((row.batch_id, row.row))
        is_settled = correction is not None and correction.verdict.is_settled
        return _CurrentAnswer(worker, row, correction.new if correction is not None and is_settled else None)


def _find_difference(row: SheetRow, answer: TableRow, page: int | None) -> str:
    """Return the column in which a line and an answer differ; empty if none."""
    if row["batch_id"] not in ("", answer.batch_id):
        return "batch_id"
    if row["sha256"].lower() not in ("", answer.sha256):
        return "sha256"
    if row["file"] and answer.path not in (unescape_cell(row["file"]), row["file"]):
        return "file"
    return "page" if page not in (None, answer.reading.page) else ""
