"""The batch report: `reports/<batch>/index.html` with `report.json` beside it, and the list of all reports.

Made after every batch, in the path of `run`: it wakes Jinja and nothing heavier.
"""

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from digitrec import files
from digitrec.reports import html
from digitrec.reports.batch import BatchFacts, Json, RowFacts, select_corrected, select_errors, summarize_batch
from digitrec.reports.index import read_index
from digitrec.reports.svg import BarChart, build_bar_chart
from digitrec.types import PageStatus, Reason

MAX_ROWS = 100
"""Rows shown of each list, the rest is counted: the CSV has them all, and a page must open on a phone."""

FIXES = {
    Reason.EMPTY_FILE: "The copy ended before anything arrived. Send the file again.",
    Reason.NOT_AN_IMAGE: "Look what this file is. Save the scan as PNG, JPEG, TIFF or PDF and drop it in again.",
    Reason.TRUNCATED: "The copy or the scan broke off. Copy it again from where it came, or scan it again.",
    Reason.UNSUPPORTED_FORMAT: "Export it as PNG, JPEG, TIFF or PDF and drop it in again.",
    Reason.TOO_LARGE: "Scan it at a lower resolution, or split it. `digitrec config` shows the limits.",
    Reason.ENCRYPTED: "Save it without a password and drop it in again.",
    Reason.BLANK: "If something is written there, scan it darker and drop it in again. If not, all is well.",
    Reason.IO_ERROR: "The disk failed three times on it. Check the disk; copy the file again from where it came.",
    Reason.CRASHES_READER: "Open it in a viewer, save it anew as PNG, and drop that in.",
}
"""What a person can do about each rejecting reason."""


def write_batch_report(folder: Path, facts: BatchFacts) -> Path:
    """Write `index.html` and `report.json` into `reports/<batch>/`; gives the path of the page.

    Writing it again replaces it. OSError if the disk does not take it.
    """
    numbers = summarize_batch(facts)
    files.make_dir(folder)
    files.atomic_write(folder / "report.json", json.dumps(numbers, indent=1, allow_nan=False) + "\n")
    page = folder / "index.html"
    files.atomic_write(page, render_batch_page(facts, numbers))
    return page


def write_index(reports: Path) -> Path:
    """Write `reports/index.html`, the list of all reports found there; gives its path."""
    page = reports / "index.html"
    files.make_dir(reports)
    files.atomic_write(page, html.render_template("index.html.j2", index=read_index(reports)))
    return page


def render_batch_page(facts: BatchFacts, numbers: Json) -> str:
    """The page itself, from the facts and the numbers made of them."""
    look = [row for row in facts.rows if row.is_open]
    mistakes, corrected = select_errors(facts.rows), select_corrected(facts.rows)
    duplicates = [row for row in facts.rows if row.duplicate_of]
    return html.render_template(
        "batch.html.j2",
        report=numbers,
        charts=_charts(numbers),
        look=look[:MAX_ROWS],
        look_total=len(look),
        errors=mistakes[:MAX_ROWS],
        corrected=corrected[:MAX_ROWS],
        corrected_total=len(corrected),
        rejected=_by_reason(facts.rows),
        deferred=facts.deferred[:MAX_ROWS],
        deferred_total=len(facts.deferred),
        duplicates=duplicates[:MAX_ROWS],
    )


def select_pictured_rows(rows: Sequence[RowFacts]) -> set[int]:
    """Return the numbers of the rows whose picture the page shows."""
    blank = [row for row in rows if row.reason is Reason.BLANK]
    lists = ([row for row in rows if row.is_open], select_errors(rows), select_corrected(rows), blank)
    return {row.row for each in lists for row in each[:MAX_ROWS]}


def _charts(numbers: Json) -> list[BarChart]:
    mix = [(digit, {"accepted": count}) for digit, count in numbers["digits"].items()]
    sure = [
        (_edge(one["from"]), {"accepted": one["accepted"], "review": one["review"]}) for one in numbers["confidence"]
    ]
    return [
        build_bar_chart("mix", "Digits accepted", mix),
        build_bar_chart("sure", "Pages by confidence, % and above", sure),
    ]


def _edge(low: float) -> str:
    return f"{100 * low:.4g}"


def _by_reason(rows: Iterable[RowFacts]) -> list[tuple[Reason, str, int, Sequence[RowFacts]]]:
    """Rejected pages as (reason, cure, how many, the first of them), the most frequent reason first."""
    rejected = [(row.reason, row) for row in rows if row.status is PageStatus.REJECTED and row.reason is not None]
    rejected.sort(key=lambda pair: pair[0])
    groups = [(reason, [row for _, row in members]) for reason, members in groupby(rejected, key=lambda pair: pair[0])]
    groups.sort(key=lambda group: -len(group[1]))
    return [(reason, FIXES[reason], len(members), members[:MAX_ROWS]) for reason, members in groups]
