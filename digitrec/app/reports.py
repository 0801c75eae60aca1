"""The ledger's account of a batch -> the facts its report is made of."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import digitrec
from digitrec import logs, text
from digitrec.app import composition
from digitrec.errors import MissingPackage, RejectedImage, UsageError
from digitrec.reports import batch_report
from digitrec.reports.batch import BatchFacts, DeferredFacts, ReviewVerdict, RowFacts
from digitrec.reports.drift import Reference, read_reference
from digitrec.reports.trend import BatchStats, compute_batch_stats
from digitrec.reports.trend_report import TREND_DIR, write_trend
from digitrec.review import queries
from digitrec.settings import Settings
from digitrec.storage.corrected_tables import CORRECTED_FOLDER
from digitrec.storage.corrections import find_audited_rows, read_latest
from digitrec.storage.ledger import Ledger
from digitrec.text import format_utc
from digitrec.types import FileOutcome, PageStatus, Reason, TableRow


def write_report(settings: Settings, ledger: Ledger, batch_id: str) -> None:
    """Write `reports/<batch>/` and the list of all reports."""
    batch_report.write_batch_report(settings.reports / batch_id, _pictured(settings, ledger, batch_id))
    batch_report.write_index(settings.reports)


def rewrite_report(settings: Settings, ledgers: Mapping[str, Ledger], batch_id: str) -> tuple[Path, int]:
    """Write the report of one batch again; gives the list of reports and how many were made.

    Raises:
        UsageError: no ledger has answers for the batch.
    """
    made = sum(1 for _ in rewrite_reports(settings, ledgers, batch_id))
    if not made:
        raise UsageError(f"no ledger has answers for batch {batch_id}")
    return batch_report.write_index(settings.reports), made


def rewrite_reports(settings: Settings, ledgers: Mapping[str, Ledger], only: str | None = None) -> Iterator[BatchFacts]:
    """Write the report of every recorded batch again, or of one, and give what each is made of."""
    for worker, ledger in ledgers.items():
        for batch in ledger.batches():
            if batch.rendering is not None and only in (None, batch.id):
                facts = _pictured(replace(settings, worker=worker), ledger, batch.id)
                batch_report.write_batch_report(settings.reports / batch.id, facts)
                yield facts


def load_batch_facts(settings: Settings, ledger: Ledger, batch_id: str) -> BatchFacts:
    """What the ledger knows of a recorded batch.

    Raises:
        LookupError: there is no such batch, or it has no answers yet.
    """
    batch = ledger.batch(batch_id)
    if batch is None or batch.rendering is None:
        raise LookupError(f"the ledger has no answers for batch {batch_id}")
    count = ledger.count(batch_id)
    deferred = [one for one in ledger.claims(batch_id) if one.outcome is FileOutcome.DEFERRED] if count.deferred else []
    previews = ledger.previews(batch_id)
    checked = _checked(ledger, batch_id)
    corrected_csv = settings.outbox / CORRECTED_FOLDER / f"{batch_id}.csv"
    how, table = batch.rendering, settings.table_location(batch_id)
    return BatchFacts(
        batch_id=batch.id,
        worker=settings.worker,
        model_id=how.model_id,
        app_version=how.app_version,
        opened_at=batch.opened_at,
        processed_at=how.processed_at,
        files=count,
        threshold=how.threshold,
        max_error=how.max_error,
        csv=table if isinstance(table, str) else f"../../{settings.outbox.name}/{table.name}",
        rows=[
            _row(row, previews.get(row.row), checked.get(row.row)) for row in ledger.rows(batch_id, with_digits=False)
        ],
        deferred=[DeferredFacts(text.escape(one.path), one.detail) for one in deferred],
        corrected_csv=f"../../{settings.outbox.name}/{CORRECTED_FOLDER}/{batch_id}.csv"
        if corrected_csv.exists()
        else "",
    )


def _pictured(settings: Settings, ledger: Ledger, batch_id: str) -> BatchFacts:
    """The facts of a batch; a picture that its page shows and the ledger has not kept is drawn from the original."""
    facts = load_batch_facts(settings, ledger, batch_id)
    shown = batch_report.select_pictured_rows(facts.rows)
    drawn = {one.row: _drawn(settings, ledger, batch_id, one) for one in facts.rows if one.row in shown}
    return replace(facts, rows=[replace(one, preview_png=drawn.get(one.row, one.preview_png)) for one in facts.rows])


def _drawn(settings: Settings, ledger: Ledger, batch_id: str, one: RowFacts) -> bytes | None:
    """The picture of a row, also if the ledger has not kept it; None if the original is gone or was never decoded."""
    if one.preview_png is not None or (one.status is PageStatus.REJECTED and one.reason is not Reason.BLANK):
        return one.preview_png
    from digitrec.review import page_images  # OpenCV: seldom needed here

    entry = queries.read_entry(ledger, batch_id, one.row)
    try:
        return page_images.draw_preview(settings.outbox, settings.limits, entry.row, entry.location) if entry else None
    except (page_images.OriginalMissing, RejectedImage):
        return None


def _checked(ledger: Ledger, batch_id: str) -> dict[int, ReviewVerdict]:
    """What people said of the batch's rows, by row."""
    said = read_latest(ledger, batch_id)
    drawn = find_audited_rows(ledger, batch_id) if said else set()
    return {
        row: ReviewVerdict(one.verdict, one.new, one.reviewer, one.reviewed_at, row in drawn)
        for (_, row), one in said.items()
    }


def _row(row: TableRow, preview: bytes | None, checked: ReviewVerdict | None) -> RowFacts:
    read = row.reading
    return RowFacts(
        row=row.row,
        file=text.escape(row.path),
        page=read.page,
        status=read.status,
        text=read.text,
        confidence=read.confidence,
        runner_up=read.runner_up,
        runner_up_confidence=read.runner_up_confidence,
        reason=read.reason,
        detail=read.detail,
        label=text.escape(row.label),
        preview_png=preview,
        duplicate_of=row.duplicate_of,
        review=checked,
    )


def write_all_reports(settings: Settings, ledgers: Mapping[str, Ledger]) -> tuple[Path, int]:
    """Write all of them; gives the list of reports, and how many reports of batches were made.

    Where a slim installation cannot draw the trend, a warning says so.

    Args:
        settings: say where reports and models lie.
        ledgers: of all workers.

    Raises:
        OSError: the disk does not take them.
    """
    entries: list[BatchStats] = []
    for facts in rewrite_reports(settings, ledgers):
        entries.append(compute_batch_stats(facts))
    made_at = format_utc(time.time())
    try:
        write_trend(
            settings.reports / TREND_DIR,
            entries,
            _references(settings),
            made_at=made_at,
            app_version=digitrec.__version__,
        )
    except MissingPackage as why:  # the other reports are what a slim installation can have
        logs.warning("the trend is not made", why=why, hint=why.hint)
    return batch_report.write_index(settings.reports), len(entries)


def _references(settings: Settings) -> dict[str, Reference]:
    """What the cards of this workspace's models tell, by id; a model that was removed, or is damaged, tells nothing."""
    cards = [one.card for one in composition.open_model_registry(settings).list() if one.card is not None]
    return {card.id: read_reference(card) for card in cards}
