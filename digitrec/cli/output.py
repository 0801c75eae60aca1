"""Format summaries and tables as text and as JSON."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import product
from typing import TYPE_CHECKING

from digitrec.cli.options import format_workspace_flags
from digitrec.models.calibration import (
    ACCEPT_NOTHING,
    REPORTED_ERROR_RATES,
    AnswerKind,
    CalibrationTable,
    choose_operating_point,
    lowest_error,
    tables_for,
)
from digitrec.models.card import ModelCard
from digitrec.models.package import ModelPackage
from digitrec.settings import FILE_NAME, Settings
from digitrec.text import escape_message, format_percent, pluralize

if TYPE_CHECKING:
    from digitrec.app.calibrate import CalibrationResult
    from digitrec.app.models import EvaluationResult
    from digitrec.app.retrain import RetrainReport
    from digitrec.app.service import RunSummary
    from digitrec.monitoring.verify import IntegrityReport
    from digitrec.reports.statistics import Proportion

_MAX_BATCHES = 3


def format_proportion(proportion: "Proportion") -> str:
    """Format a proportion with its confidence interval.

    >>> from digitrec.reports.statistics import wilson
    >>> format_proportion(wilson(995, 1000))
    '99.50 % (995 of 1,000; 95 % interval: 98.83 % to 99.79 %)'
    """
    if proportion.share is None:
        return "none to count"
    interval = f"95 % interval: {format_percent(proportion.low)} to {format_percent(proportion.high)}"
    return f"{format_percent(proportion.share)} ({proportion.hits:,} of {proportion.total:,}; {interval})"


def format_metrics(card: ModelCard) -> Iterator[str]:
    """Yield a line for each accuracy that was measured when a model was trained."""
    from digitrec.reports.statistics import wilson

    for metric in card.metrics:
        yield f"  accuracy on {metric.data}: {format_proportion(wilson(metric.right, metric.pictures))}"


def format_next_steps(package: ModelPackage, max_error: float, flags: str) -> Iterator[str]:
    """Yield the commands that use a trained model, and why it has to be promoted with --force, if it has.

    Args:
        package: the model.
        max_error: target error rate of the workspace.
        flags: options that name the workspace, with a leading space, or "".
    """
    limit = package.describe_limit(max_error)
    if limit:
        yield f"  {limit}"
    yield f"  Try it: digitrec predict --model {package.card.id} FILE{flags}"
    yield f"  Use it: digitrec models promote {package.card.id}{' --force' if limit else ''}{flags}"


def format_evaluation(evaluation: "EvaluationResult") -> Iterator[str]:
    """Yield the lines of an evaluation."""
    yield f"{evaluation.model_id} on {evaluation.data} ({evaluation.source})"
    if evaluation.problem:
        yield f"  {evaluation.problem}"
    yield f"  accuracy {format_proportion(evaluation.right)}"
    if evaluation.exact != evaluation.right:
        yield f"  exactly as labelled {format_proportion(evaluation.exact)}"
    if evaluation.left_out:
        yield f"  left out {pluralize(evaluation.left_out, 'page')} whose label is no number"
    wrong = evaluation.accepted_wrong
    errors = f", of these wrong {format_proportion(wrong)}" if wrong.total else ""
    yield f"  accepted {format_proportion(evaluation.accepted)}{errors}"
    for rate, share in evaluation.coverage.items():
        limit = f"at most {100 * rate:g} % wrong"
        yield f"  accepted with a threshold chosen on this set for {limit} {format_proportion(share)}"
    yield escape_message(f"  report   {evaluation.report}")


def format_summary(
    settings: Settings,
    summary: "RunSummary",
    *,
    review: str = "",
    is_stopped: bool = False,
    rejected: Sequence[str] = (),
) -> str:
    """Return the summary of a run in a few lines.

    Args:
        settings: of the workspace.
        summary: of the run.
        review: command that reviews answers, printed if some need review; "" for `digitrec review` with the flags that
            named the workspace.
        is_stopped: whether a signal ended the run.
        rejected: lines on rejected files.
    """
    count, numbers = summary.count, summary.numbers
    lines = []
    if not count.claimed and not is_stopped:
        lines.append(f"Nothing to read in {settings.source or settings.inbox}")
    else:
        outcomes = (
            f"{count.accepted} accepted, {count.review} to review, {count.rejected} rejected, {count.deferred} deferred"
        )
        if numbers.most_on_page > 1:
            total = pluralize(numbers.found, "number")
            doubtful = pluralize(numbers.review, "needs review", "need review")
            lines.append(f"{_files(count.claimed)}, {total}: {numbers.accepted} accepted, {doubtful}")
            lines.append(f"  files   {outcomes}")
        else:
            lines.append(f"{_files(count.claimed)}: {outcomes}")
        lines += rejected
        for batch_id in summary.batches[-_MAX_BATCHES:]:
            table = settings.table_location(batch_id)
            # Without a table, all files of the batch were deferred.
            if batch_id in summary.published if isinstance(table, str) else table.exists():
                lines += [f"  CSV     {table}", f"  report  {settings.reports / batch_id / 'index.html'}"]
    if (before := len(summary.batches) - _MAX_BATCHES) > 0:
        lines.append(f"  and {_batches(before)} before; all: {settings.reports / 'index.html'}")
    if count.review and not settings.source:
        lines.append(f"  review  {review or f'digitrec review{format_workspace_flags(settings)}'}")
    if summary.waiting:
        command = "why NAME" if settings.source else "status"
        reason = (
            "stopped before they were read"
            if is_stopped
            else f"still changing, empty, or deferred (`digitrec {command}`)"
        )
        lines.append(f"{_files(summary.waiting)} left in {settings.source or 'the inbox'}: {reason}")
    return "\n".join(map(escape_message, lines))


def summary_to_json(settings: Settings, summary: "RunSummary") -> dict[str, object]:
    """Return the summary of a run as JSON."""
    return {
        **summary.count.to_json(),
        "claimed": summary.count.claimed,
        "numbers": summary.numbers.to_json(),
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


def format_integrity_report(report: "IntegrityReport") -> str:
    """Return the result of `verify` as text."""
    count = report.count
    verdict = pluralize(len(report.discrepancies), "difference") if report.discrepancies else "no difference"
    lines = [
        f"{_batches(report.batches)} closed, {_files(count.claimed)} claimed = {count.accepted} accepted + "
        f"{count.review} review + {count.rejected} rejected + {count.deferred} deferred: {verdict}"
    ]
    lines += [f"not finished yet: {batch_id} (the next `digitrec run` does)" for batch_id in report.open_batches]
    lines += [f"note: {note}" for note in report.notes]
    lines += [f"DIFFERENCE: {difference}" for difference in report.discrepancies]
    return "\n".join(lines)


def integrity_report_to_json(report: "IntegrityReport", written: Sequence[str]) -> str:
    """Return the result of `verify` as JSON, with the names of the rewritten tables."""
    return json.dumps({**report.to_json(), "tables_written": list(written)})


def _batches(number: int) -> str:
    return pluralize(number, "batch", "batches")


def _files(number: int) -> str:
    return pluralize(number, "file")


def thresholds_to_json(tables: Sequence[CalibrationTable], max_error: float) -> list[dict[str, object]]:
    """Return the threshold of each kind of answers and error rate, and the counts of each calibration table.

    `threshold` is null where the rate cannot be guaranteed.
    """
    entries: list[dict[str, object]] = []
    for kind, rate in product(AnswerKind, list_error_rates(max_error)):
        choice = choose_operating_point(tables_for(tables, kind), rate)
        entry: dict[str, object] = {"applies_to": kind.value, "max_error": rate}
        if choice is None:
            entries.append(entry | {"threshold": None, "decided_by": None, "tables": []})
            continue
        counts = [
            {
                "name": table.name,
                "trials": table.trials,
                "accepted": row.accepted,
                "wrong": row.wrong,
                "upper": row.upper,
            }
            for table, row in choice.points
        ]
        entries.append(entry | {"threshold": choice.threshold, "decided_by": choice.table, "tables": counts})
    return entries


def format_thresholds(tables: Sequence[CalibrationTable], max_error: float) -> Iterator[str]:
    """Return for each kind of answers a line for each error rate: its threshold, and the counts of each table."""
    for kind in AnswerKind:
        yield f"{kind.description.capitalize()}:"
        yield "at most wrong  accepts from  of calibration pages"
        for rate in list_error_rates(max_error):
            share = f"{100 * rate:.4g} %"
            choice = choose_operating_point(tables_for(tables, kind), rate)
            if choice is None:
                lowest = lowest_error(tables_for(tables, kind))
                yield f"{share:>13}  {'-':12}  cannot be guaranteed, at best {100 * lowest:.3f} %"
                continue
            counts = [
                f"{table.name} {format_percent(row.accepted / max(table.trials, 1), 1)} accepted, {row.wrong} wrong"
                for table, row in choice.points
            ]
            yield f"{share:>13}  {choice.threshold:<12.6f}  {'; '.join(counts)}"


def format_operating_points(package: ModelPackage, max_error: float) -> str:
    """Return the thresholds of a model in a line, and in another which pages always need review."""
    thresholds, limit = package.thresholds(max_error), package.describe_limit(max_error)
    kinds = ((AnswerKind.DIGITS, thresholds.digit), (AnswerKind.NUMBERS, thresholds.number))
    accepted = [f"{threshold:.6f} for {kind.description}" for kind, threshold in kinds if threshold < ACCEPT_NOTHING]
    lines = [f"Accepts from a confidence of {', '.join(accepted)} (max_error {max_error:g})."] if accepted else []
    return "\n".join([*lines, f"{limit[0].upper()}{limit[1:]}."] if limit else lines)


def format_calibration(result: "CalibrationResult") -> Iterator[str]:
    """Return the operating points of a calibrated model as lines."""
    for table, point in result.operating_points:
        yield f"{table.trials:,} {table.source.removeprefix('the ')} ({table.applies_to[0].description})"
        yield f"  accepts from a confidence of {point.threshold:.6f} (max_error {result.max_error:g})"
        yield (
            f"  accepted {format_percent(point.accepted / table.trials)} ({point.accepted:,} of {table.trials:,}), "
            f"of these wrong {point.wrong}: with 95 % confidence at most {100 * point.upper:.3f} %"
        )


def list_error_rates(max_error: float) -> list[float]:
    """Return the usual error rates and this one, largest first."""
    return sorted({*REPORTED_ERROR_RATES, max_error}, reverse=True)


def format_retrain(report: "RetrainReport") -> str:
    """Return the result of training with corrections as text."""
    pages, comparison = report.pages, report.comparison
    missing = f", {pages.missing:,} left out as the original is missing or altered" if pages.missing else ""
    lines = [
        f"  trained on {pluralize(len(pages.train), 'corrected or confirmed page')}; "
        f"{len(pages.held_out):,} held out{missing}",
        *(
            f"  held out, {when:8}accuracy {format_proportion(m.accuracy)}, accepted {format_proportion(m.accepted)}"
            for when, m in (("before:", comparison.before), ("now:", comparison.after))
        ),
    ]
    if comparison.comparison is not None:
        lines.append(f"  {comparison.comparison.words}")
    if comparison.suspected_errors:
        lines.append(f"  corrections that may be errors: {len(comparison.suspected_errors):,}")
    return "\n".join([*lines, f"  report: {report.report}"])


def retrain_to_json(report: "RetrainReport") -> dict[str, object]:
    """Return the result of training with corrections as JSON."""
    comparison = report.comparison
    return {
        "corrections": report.pages.to_json(),
        "held_out": {
            name: {"right": metrics.accuracy.to_json(), "accepted": metrics.accepted.to_json()}
            for name, metrics in (("before", comparison.before), ("after", comparison.after))
        },
        "suspects": len(comparison.suspected_errors),
        "report": str(report.report),
    }


def explain_run_limit(settings: Settings, max_error: float, run_max_error: float, limit: str) -> str:
    """Return the setting that `run` needs if only a flag set an error rate that the model can guarantee."""
    variable = "DIGITREC_MAX_ERROR"
    removal = f" and unset {variable}, which takes precedence" if os.environ.get(variable) else ""
    return (
        f"\n`digitrec run` asks for a max_error of {run_max_error:g}: {limit}. "
        f"Set this in {settings.workspace / FILE_NAME}{removal}:\n\n"
        f"    max_error = {max_error:g}\n"
    )
