"""Format what the commands print: summaries, tables, progress. rich is imported only when there is much to draw."""

import csv
import io
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import typer

from digitrec.errors import ModelError
from digitrec.models.calibration import REPORTED_ERROR_RATES, CalibrationTable, choose_operating_point
from digitrec.settings import Settings
from digitrec.storage import csv_tables
from digitrec.text import escape_message, pluralize
from digitrec.types import OutputFormat, TableRow

if TYPE_CHECKING:
    from digitrec.app.retrain import RetrainReport
    from digitrec.app.service import RunSummary
    from digitrec.monitoring.verify import IntegrityReport
    from digitrec.reports.statistics import Proportion
    from digitrec.training.classifier import TrainingState

_PATIENCE_S = 2.0
_MOST_BATCHES = 3
_TABLE_COLUMNS = ("file", "page", "status", "text", "confidence", "reason")


class ProgressBar:
    """A bar on the terminal, once something has taken two seconds; nothing where there is no terminal."""

    def __init__(self, what: str, *, unit: str) -> None:
        self._what = f"{what} ({unit})"
        self._began_s = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int) -> None:
        """So much is done."""
        is_slow = done < total and time.monotonic() - self._began_s > _PATIENCE_S
        if self._bar is None and is_slow and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress as Bar

            self._bar = Bar(console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self._what, total=total)
            self._bar.start()
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)


class TrainingProgress:
    """A bar for each stage of a training where there is a terminal, and a line for each epoch."""

    def __init__(self) -> None:
        self._stage = ""
        self._bar = ProgressBar("Training", unit="batches")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, value, trace)

    def update(self, now: "TrainingState") -> None:
        """Training got this far."""
        if now.stage != self._stage:
            self._bar.__exit__(None, None, None)
            self._stage, self._bar = now.stage, ProgressBar(now.stage, unit="done")
        self._bar.update((now.epoch - 1) * now.steps + now.step, now.epochs * now.steps)
        if now.words:
            typer.echo(now.words, err=True)
        if now.done is not None:
            typer.echo(
                f"epoch {now.epoch}/{now.epochs}  loss {now.done.loss:.4f}  accuracy {now.done.accuracy:.4f}  "
                f"held out: loss {now.done.validation_loss:.4f}  accuracy {now.done.validation_accuracy:.4f}  "
                f"{now.done.seconds:.0f} s",
                err=True,
            )


def format_proportion(proportion: "Proportion") -> str:
    """A proportion with its interval.

    >>> from digitrec.reports.statistics import wilson
    >>> format_proportion(wilson(995, 1000))
    '99.50 % (995 of 1,000; 95 %: 98.83 to 99.79)'
    """
    if proportion.share is None:
        return "none to count"
    interval = f"95 %: {100 * proportion.low:.2f} to {100 * proportion.high:.2f}"
    return f"{100 * proportion.share:.2f} % ({proportion.hits:,} of {proportion.total:,}; {interval})"


def format_summary(settings: Settings, summary: "RunSummary", *, is_stopped: bool = False) -> str:
    """One run in a few lines."""
    count = summary.count
    lines = []
    if not count.claimed and not is_stopped:
        lines.append(f"Nothing to read in {settings.source or settings.inbox}")
    else:
        lines.append(
            f"{_files(count.claimed)}: {count.accepted} accepted, {count.review} to review, "
            f"{count.rejected} rejected, {count.deferred} deferred"
        )
        for batch_id in summary.batches[-_MOST_BATCHES:]:
            table = settings.table_location(batch_id)
            if isinstance(table, str) or table.exists():  # else all its files were deferred
                lines += [f"  CSV     {table}", f"  report  {settings.reports / batch_id / 'index.html'}"]
    if (before := len(summary.batches) - _MOST_BATCHES) > 0:
        lines.append(f"  and {_batches(before)} before; all: {settings.reports / 'index.html'}")
    if summary.waiting:
        why = (
            "stopped before they were read" if is_stopped else "still changing, empty, or deferred (`digitrec status`)"
        )
        lines.append(f"{_files(summary.waiting)} left in {settings.source or 'the inbox'}: {why}")
    return "\n".join(map(escape_message, lines))


def summary_to_json(settings: Settings, summary: "RunSummary") -> dict[str, object]:
    """The same for scripts."""
    return {
        **summary.count.to_json(),
        "claimed": summary.count.claimed,
        "waiting": summary.waiting,
        "passed_over": asdict(summary.passed_over),
        "batches": [
            {
                "batch_id": batch_id,
                "csv": str(settings.table_location(batch_id)),
                "report": str(settings.reports / batch_id / "index.html"),
            }
            for batch_id in summary.batches
        ],
    }


def print_batches(settings: Settings, batches: Iterable[str]) -> None:
    """The answers of these batches as a table, from their CSVs."""
    for batch_id in batches:
        path = settings.table_location(batch_id)
        if isinstance(path, str):
            typer.echo(f"{path} is not fetched to be shown here")
        elif path.exists():
            with path.open(encoding="utf-8-sig", newline="") as file:
                _print_table(list(csv.DictReader(file)))


def print_rows(rows: Sequence[TableRow], how: OutputFormat, *, form: str) -> None:
    """Rows as `table`, `json` or `csv`; json and csv have the columns of the main CSV."""
    text = csv_tables.render_main(rows, how)
    if form == "csv":
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
        return
    lines = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
    if form == "json":
        typer.echo(json.dumps(lines, indent=1))
    else:
        _print_table(lines)


def format_integrity_report(account: "IntegrityReport") -> str:
    """What `verify` found, for people."""
    count = account.count
    verdict = pluralize(len(account.discrepancies), "difference") if account.discrepancies else "no difference"
    lines = [
        f"{_batches(account.batches)} closed, {_files(count.claimed)} claimed = {count.accepted} accepted + "
        f"{count.review} review + {count.rejected} rejected + {count.deferred} deferred: {verdict}"
    ]
    lines += [f"not finished yet: {batch_id} (the next `digitrec run` does)" for batch_id in account.open_batches]
    lines += [f"note: {note}" for note in account.notes]
    lines += [f"DIFFERENCE: {difference}" for difference in account.discrepancies]
    return "\n".join(lines)


def integrity_report_to_json(account: "IntegrityReport", written: Sequence[str]) -> str:
    """Return what `verify` found, for scripts; `written` are the tables that it wrote again, by name."""
    return json.dumps({**account.to_json(), "tables_written": list(written)})


def _print_table(lines: Sequence[dict[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in _TABLE_COLUMNS:
        table.add_column(column, justify="right" if column in {"page", "confidence"} else "left", overflow="fold")
    styles = {"accepted": "green", "review": "yellow", "rejected": "red"}
    for line in lines:
        cells = [Text(_short(column, line[column]), style=styles.get(line[column], "")) for column in _TABLE_COLUMNS]
        table.add_row(*cells)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _short(column: str, cell: str) -> str:
    return f"{float(cell):.4f}" if column == "confidence" and cell else cell


def _batches(number: int) -> str:
    return pluralize(number, "batch", "batches")


def _files(number: int) -> str:
    return pluralize(number, "file")


def thresholds_to_json(tables: Sequence[CalibrationTable], max_error: float) -> list[dict[str, object]]:
    """For each of `list_error_rates`: the threshold, which table decides, what each accepts.

    `threshold` is null where this rate cannot be guaranteed.
    """
    entries: list[dict[str, object]] = []
    for rate in list_error_rates(max_error):
        try:
            decision = choose_operating_point(tables, rate)
        except ModelError:
            entries.append({"max_error": rate, "threshold": None, "decided_by": None, "tables": []})
            continue
        rows = [(table, table.point_at(decision.threshold)) for table in tables]
        accepted = [
            {"name": table.name, "pages": table.pages, "accepted": row.accepted, "wrong": row.wrong, "upper": row.upper}
            for table, row in rows
        ]
        entries.append(
            {"max_error": rate, "threshold": decision.threshold, "decided_by": decision.table, "tables": accepted}
        )
    return entries


def format_thresholds(tables: Sequence[CalibrationTable], max_error: float) -> Iterator[str]:
    """The same for people: a line for each rate, and below it what each table says."""
    yield "at most wrong  accepts from  of rows pages"
    for rate in list_error_rates(max_error):
        share = f"{100 * rate:.4g} %"
        try:
            decision = choose_operating_point(tables, rate)
        except ModelError:
            yield f"{share:>13}  {'-':12}  cannot be guaranteed: it takes more labelled pages than there are"
            continue
        rows = ((table, table.point_at(decision.threshold)) for table in tables)
        shares = [
            f"{table.name} {row.accepted / max(table.pages, 1):.1%} accepted, {row.wrong} wrong" for table, row in rows
        ]
        yield f"{share:>13}  {decision.threshold:<12.6f}  {'; '.join(shares)}"


def list_error_rates(max_error: float) -> list[float]:
    """The usual error rates and this one, the largest first."""
    return sorted({*REPORTED_ERROR_RATES, max_error}, reverse=True)


def format_retrain(report: "RetrainReport") -> str:
    """What was learned, and what that changed, for people."""
    pages, learned = report.pages, report.comparison
    missing = f", {pages.missing:,} left out as the original is gone or altered" if pages.missing else ""
    lines = [
        f"  learned from {len(pages.train):,} corrected or confirmed pages; {len(pages.held_out):,} held out{missing}",
        *(
            f"  held out, {when:8}right {format_proportion(m.accuracy)}, accepted {format_proportion(m.accepted)}"
            for when, m in (("before:", learned.before), ("now:", learned.after))
        ),
    ]
    lines += [] if learned.comparison is None else [f"  {learned.comparison.words}"]
    lines += (
        [f"  corrections that may be mistakes: {len(learned.suspected_errors):,}"] if learned.suspected_errors else []
    )
    return "\n".join([*lines, f"  report: {report.report}"])


def retrain_to_json(report: "RetrainReport") -> dict[str, object]:
    """The same for scripts."""
    learned = report.comparison
    return {
        "corrections": report.pages.to_json(),
        "held_out": {
            name: {"right": figures.accuracy.to_json(), "accepted": figures.accepted.to_json()}
            for name, figures in (("before", learned.before), ("after", learned.after))
        },
        "suspects": len(learned.suspected_errors),
        "report": str(report.report),
    }
