"""Use cases that write reports: of one batch, or of all batches with the trend report and the index.

This module loads the facts of a batch from its ledger; `reports.batch` computes the numbers of its report, and
`reports.batch_report` writes the files.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import digitrec
from digitrec import text
from digitrec.app import composition
from digitrec.errors import RejectedImage, UsageError
from digitrec.reports import batch_report
from digitrec.reports.batch import BatchFacts, DeferredFacts, NumberAnswer, RowFacts
from digitrec.review import queries
from digitrec.settings import Settings
from digitrec.storage.claims import Claim, FileOutcome
from digitrec.storage.corrected_rows import apply_correction
from digitrec.storage.corrected_tables import CORRECTED_FOLDER
from digitrec.storage.corrections import Correction, find_audited_rows, read_latest, read_number_corrections
from digitrec.storage.ledger import Ledger
from digitrec.text import format_utc
from digitrec.types import Number, NumberCounts, PageStatus, Reason, TableRow


def report_batch(settings: Settings, ledger: Ledger, batch_id: str) -> None:
    """Write `reports/<batch>/` and the index of all reports."""
    batch_report.write_batch_report(settings.reports / batch_id, _load_facts_with_previews(settings, ledger, batch_id))
    batch_report.write_index(settings.reports)


def rewrite_report(settings: Settings, ledgers: Mapping[str, Ledger], batch_id: str) -> tuple[Path, int]:
    """Rebuild the report of one batch; return the path of the index, and the number of rebuilt reports.

    Raises:
        UsageError: no ledger has answers for the batch.
    """
    count = sum(1 for _ in _rewrite_reports(settings, ledgers, batch_id))
    if not count:
        raise UsageError(f"no ledger has answers for batch {batch_id}")
    return batch_report.write_index(settings.reports), count


def write_all_reports(settings: Settings, ledgers: Mapping[str, Ledger], *, has_png: bool = False) -> tuple[Path, int]:
    """Rebuild all reports; return the path of the index, and the number of batch reports.

    Args:
        settings: name the folders of reports and models.
        ledgers: of all workers.
        has_png: also write each chart of the trend as PNG, if matplotlib and seaborn are installed.

    Raises:
        OSError: a report cannot be written.
    """
    from digitrec.reports.drift import read_reference
    from digitrec.reports.trend import compute_batch_stats
    from digitrec.reports.trend_report import TREND_DIR, write_trend

    stats = []
    previous_at: dict[str, str] = {}
    for facts in _rewrite_reports(settings, ledgers):
        stats.append(compute_batch_stats(facts, previous_at.get(facts.worker, "")))
        previous_at[facts.worker] = facts.processed_at
    cards = [listing.card for listing in composition.open_model_registry(settings).list() if listing.card is not None]
    references = {card.id: read_reference(card) for card in cards}
    write_trend(
        settings.reports / TREND_DIR,
        stats,
        references,
        made_at=format_utc(time.time()),
        app_version=digitrec.__version__,
        has_png=has_png,
    )
    return batch_report.write_index(settings.reports), len(stats)


def _rewrite_reports(
    settings: Settings, ledgers: Mapping[str, Ledger], batch_id: str | None = None
) -> Iterator[BatchFacts]:
    """Rebuild the reports of all recorded batches, or of one; yield the facts of each, by worker and time."""
    for worker, ledger in ledgers.items():
        # Not by id: two batches of a run may be claimed within one second.
        recorded = [
            (batch.output_format.processed_at, batch.id)
            for batch in ledger.batches()
            if batch.output_format is not None and batch_id in (None, batch.id)
        ]
        for _, recorded_id in sorted(recorded):
            facts = _load_facts_with_previews(replace(settings, worker=worker), ledger, recorded_id)
            batch_report.write_batch_report(settings.reports / recorded_id, facts)
            yield facts


def load_batch_facts(settings: Settings, ledger: Ledger, batch_id: str) -> BatchFacts:
    """Read the facts of a recorded batch from its ledger.

    Raises:
        LookupError: there is no such batch, or it has no answers yet.
    """
    batch = ledger.batch(batch_id)
    if batch is None or batch.output_format is None:
        raise LookupError(f"the ledger has no answers for batch {batch_id}")
    count = ledger.count(batch_id)
    claims = ledger.claims(batch_id) if count.deferred else []
    previews = ledger.previews(batch_id)
    corrections, audited = read_latest(ledger, batch_id), find_audited_rows(ledger, batch_id)
    output_format, table = batch.output_format, settings.table_location(batch_id)
    corrected = Path(settings.outbox.name, CORRECTED_FOLDER, f"{batch_id}.csv")
    has_corrected = (settings.outbox.parent / corrected).exists()
    has_numbers = ledger.has_table("numbers")  # since schema 5
    return BatchFacts(
        batch_id=batch.id,
        worker=settings.worker,
        model_id=output_format.model_id,
        app_version=output_format.app_version,
        opened_at=batch.opened_at,
        processed_at=output_format.processed_at,
        files=count,
        numbers=ledger.count_numbers(batch_id) if has_numbers else NumberCounts(),
        answers=_read_answers(ledger, batch_id) if has_numbers else (),
        thresholds=output_format.thresholds,
        max_error=output_format.max_error,
        csv=table if isinstance(table, str) else f"../../{settings.outbox.name}/{table.name}",
        rows=[
            _to_row_facts(
                row, previews.get(row.row), corrections.get((batch_id, row.row)), is_audited=row.row in audited
            )
            for row in ledger.rows(batch_id, with_numbers=False)
        ],
        deferred=[
            DeferredFacts(text.escape(claim.path), claim.detail)
            for claim in claims
            if claim.outcome is FileOutcome.DEFERRED
        ],
        corrected_csv=f"../../{corrected}" if has_corrected else "",
    )


def _read_answers(ledger: Ledger, batch_id: str) -> list[NumberAnswer]:
    answers = ledger.query("SELECT text, status, confidence FROM numbers WHERE batch_id = ?", (batch_id,))
    return [NumberAnswer(number, PageStatus(status), confidence) for number, status, confidence in answers]


def _load_facts_with_previews(settings: Settings, ledger: Ledger, batch_id: str) -> BatchFacts:
    """Read the facts of a batch, with the numbers and previews of listed rows; draw previews that the ledger lacks."""
    facts = load_batch_facts(settings, ledger, batch_id)
    listed = batch_report.select_pictured_rows(facts.rows)
    corrections = read_latest(ledger, batch_id)
    originals = {text.escape(claim.path): claim for claim in ledger.claims(batch_id)}
    rows, room = [], batch_report.MAX_NUMBERS
    for row in facts.rows:
        if row.row not in listed:
            rows.append(row)
            continue
        numbers = _load_numbers(ledger, batch_id, row, corrections.get((batch_id, row.row)))
        numbers = numbers if len(numbers) <= room else ()
        room -= len(numbers)
        original = _find_original(settings, originals.get(row.file))
        preview = _load_preview(settings, ledger, batch_id, row)
        rows.append(replace(row, preview_png=preview, numbers=numbers, original=original))
    return replace(facts, rows=rows)


def _find_original(settings: Settings, claim: Claim | None) -> str:
    """Return the path of an original relative to the report; "" if it was rejected or is not in the outbox."""
    if claim is None or claim.outcome is FileOutcome.REJECTED:
        return ""
    return f"../../{claim.location}" if claim.location.startswith(f"{settings.outbox.name}/") else ""


def _load_numbers(ledger: Ledger, batch_id: str, row: RowFacts, correction: Correction | None) -> tuple[Number, ...]:
    """Return the numbers of a page that has several, with corrections applied."""
    page = ledger.row(batch_id, row.row) if " " in row.text else None
    if page is None:
        return ()
    of_numbers = read_number_corrections(ledger, batch_id, row.row)
    corrected = apply_correction(page, correction, {number: entry for (_, number), entry in of_numbers.items()})
    return corrected.reading.numbers


def _load_preview(settings: Settings, ledger: Ledger, batch_id: str, row: RowFacts) -> bytes | None:
    """Return the preview of a row; None if the original is missing or could not be decoded."""
    if row.preview_png is not None or (row.status is PageStatus.REJECTED and row.reason is not Reason.BLANK):
        return row.preview_png
    from digitrec.review import page_images  # loads OpenCV, rarely needed here

    entry = queries.read_entry(ledger, batch_id, row.row)
    try:
        return page_images.draw_preview(settings.outbox, settings.limits, entry.row, entry.location) if entry else None
    except (page_images.OriginalMissing, RejectedImage):
        return None


def _to_row_facts(row: TableRow, preview: bytes | None, review: Correction | None, *, is_audited: bool) -> RowFacts:
    return RowFacts.of(
        row.reading,
        row=row.row,
        file=text.escape(row.path),
        label=text.escape(row.label),
        preview_png=preview,
        duplicate_of=row.duplicate_of,
        review=review,
        is_audited=is_audited,
    )
