"""Write the batch report, `reports/<batch>/index.html` and `report.json`, and the index of all reports.

`batch` computes its numbers, `app.reports` loads its input from the ledger.

`run` writes it after every batch, so this module imports no library heavier than Jinja.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from digitrec import files
from digitrec.reports import html
from digitrec.reports.batch import BatchFacts, Json, RowFacts, select_corrected, select_errors, summarize_batch
from digitrec.reports.chart import Chart, build_bar_chart
from digitrec.reports.index import read_index
from digitrec.reports.report_files import write_report
from digitrec.types import PageStatus, Reason

MAX_ROWS = 100
"""Upper limit of rows in each list, so that the page opens on a phone; the CSV holds all rows."""

MAX_NUMBERS = 2000
"""Upper limit of numbers that the page lists, about 0.4 kB each; the numbers of further pages are in the CSV only."""

FIXES = {
    Reason.EMPTY_FILE: "The copy ended before anything arrived. Send the file again.",
    Reason.NOT_AN_IMAGE: "Check what this file is. Save the scan as PNG, JPEG, TIFF or PDF and submit it again.",
    Reason.TRUNCATED: "The copy or the scan was interrupted. Copy the file again from its source, or scan it again.",
    Reason.UNSUPPORTED_FORMAT: "Export it as PNG, JPEG, TIFF or PDF and submit it again.",
    Reason.TOO_LARGE: "Scan it at a lower resolution, or split it. `digitrec config` shows the limits.",
    Reason.ENCRYPTED: "Save it without a password and submit it again.",
    Reason.BLANK: "If the page holds writing, scan it darker and submit it again. If not, nothing is to be done.",
    Reason.IO_ERROR: "Reading it failed three times. Check the disk, and copy the file again from its source.",
    Reason.CRASHES_READER: "Open it in a viewer, save it again as PNG, and submit that file.",
}
"""How to fix a file rejected for each reason."""


def write_batch_report(folder: Path, facts: BatchFacts) -> Path:
    """Write or replace `index.html` and `report.json` in `reports/<batch>/`; return the path of the page."""
    numbers = summarize_batch(facts)
    open_rows = [row for row in facts.rows if row.is_open]
    mistakes, corrected = select_errors(facts.rows), select_corrected(facts.rows)
    duplicates = [row for row in facts.rows if row.duplicate_of]
    return write_report(
        folder,
        "batch.html.j2",
        numbers,
        _charts(numbers),
        has_png=False,
        open_rows=open_rows[:MAX_ROWS],
        open_total=len(open_rows),
        accepted=select_accepted(facts.rows),
        errors=mistakes[:MAX_ROWS],
        corrected=corrected[:MAX_ROWS],
        corrected_total=len(corrected),
        rejected=_group_by_reason(facts.rows),
        deferred=facts.deferred[:MAX_ROWS],
        deferred_total=len(facts.deferred),
        duplicates=duplicates[:MAX_ROWS],
    )


def write_index(reports: Path) -> Path:
    """Write `reports/index.html`, the index of all reports; return its path."""
    page = reports / "index.html"
    files.make_dir(reports)
    files.atomic_write(page, html.render_template("index.html.j2", index=read_index(reports)))
    return page


def select_pictured_rows(rows: Sequence[RowFacts]) -> set[int]:
    """Return the numbers of the rows whose preview the page shows."""
    blank = [row for row in rows if row.reason is Reason.BLANK]
    lists = ([row for row in rows if row.is_open], select_errors(rows), select_corrected(rows), blank)
    return {row.row for rows in lists for row in rows[:MAX_ROWS]}


def select_accepted(rows: Sequence[RowFacts]) -> list[RowFacts]:
    """Return the first accepted answers with their pictures; none of a ledger that keeps no pictures of them.

    Those that differ from their label or were corrected are listed elsewhere on the page.
    """
    elsewhere = {row.row for row in (*select_errors(rows), *select_corrected(rows))}
    first = [row for row in rows if row.status is PageStatus.ACCEPTED and row.row not in elsewhere][:MAX_ROWS]
    pictured = [row for row in first if row.preview_png]
    return pictured if 2 * len(pictured) > len(first) else []


def _charts(numbers: Json) -> list[Chart]:
    digits = [(digit, {"accepted": count}) for digit, count in numbers["digits"].items()]
    confidence = [
        (f"{100 * edge['from']:.4g}", {"accepted": edge["accepted"], "review": edge["review"]})
        for edge in numbers["confidence"]
    ]
    unit = "Numbers" if numbers["numbers"]["found"] else "Pages"
    bars = build_bar_chart("sure", f"{unit} by confidence", confidence, {"review": "needs review"})
    return [
        replace(build_bar_chart("mix", "Digits in accepted numbers", digits), empty="No number was accepted."),
        replace(bars, x_label="confidence from, %", empty="No number was read."),
    ]


def _group_by_reason(rows: Iterable[RowFacts]) -> list[tuple[Reason, str, int, Sequence[RowFacts]]]:
    """Return (reason, fix, count, first rows) of the rejected pages, the most frequent reason first."""
    rejected = [(row.reason, row) for row in rows if row.status is PageStatus.REJECTED and row.reason is not None]
    rejected.sort(key=lambda pair: pair[0])
    groups = [(reason, [row for _, row in members]) for reason, members in groupby(rejected, key=lambda pair: pair[0])]
    groups.sort(key=lambda group: -len(group[1]))
    return [(reason, FIXES[reason], len(members), members[:MAX_ROWS]) for reason, members in groups]
