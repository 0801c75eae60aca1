"""How it goes over time: counted from the batches, put together, and shown as the same numbers."""

import json
import subprocess
import sys

import pytest

from digitrec.reports.batch import CONFIDENCE_EDGES
from digitrec.reports.drift import Reference
from digitrec.reports.html import value_at
from digitrec.reports.trend import (
    MAX_BATCHES,
    BatchStats,
    PageCounts,
    compute_batch_stats,
    count_pages,
    group_periods,
    summarize_trend,
)
from digitrec.reports.trend_report import write_trend
from digitrec.storage.corrections import Correction, ReviewMethod, Verdict
from digitrec.types import PageStatus, Reason
from tests.reports.filled import make_row

pytestmark = pytest.mark.slow  # matplotlib

A, V, X = PageStatus.ACCEPTED, PageStatus.REVIEW, PageStatus.REJECTED
NOW = "2026-01-20T00:00:00.000Z"
BINS = len(CONFIDENCE_EDGES)
TRAINED = Reference("m-1", (10.0,) * (BINS - 1) + (900.0,), "drawn pages", (500,) * 10)


def judged(verdict):
    return Correction(1, "b", 1, NOW, "ann", verdict, "7", "1", ReviewMethod.ONE)


def entry(number, day="2026-02-20", model_id="m-1", files=100, seconds=50.0, **tally):
    at_ = f"{day}T{number % 24:02}:00:00.000Z"
    return BatchStats(
        f"{day.replace('-', '')}T{number % 24:02}0000Z-{number:08x}", model_id, at_, files, seconds, PageCounts(**tally)
    )


def numbers(entries, references=None):
    return summarize_trend(entries, references or {}, made_at=NOW, app_version="0")


def test_a_batch_is_counted_as_by_hand(make_facts):
    rows = [
        make_row(1, "a", 1, A, "70", 0.9995, label="70"),
        make_row(2, "b", 1, A, "1", 0.985, label="7", review=judged(Verdict.CORRECTED), is_audited=True),
        make_row(3, "c", 1, V, "3", 0.6, reason=Reason.LOW_CONFIDENCE, review=judged(Verdict.CONFIRMED)),
        make_row(4, "d", 1, V, "8", 0.2, reason=Reason.NOT_A_DIGIT),
        make_row(5, "e", 1, X, reason=Reason.BLANK),
    ]

    stats = compute_batch_stats(make_facts(rows))

    assert (stats.files, stats.seconds, stats.files_per_s) == (5, 4.0, 1.25)
    tally = stats.counts
    assert (tally.pages, tally.accepted, tally.review, tally.rejected) == (5, 2, 2, 1)
    assert (tally.in_review_wrong, tally.in_review_resolved) == (0, 1)
    assert (tally.audit_wrong, tally.audit_resolved) == (1, 1)
    assert (tally.labelled_wrong, tally.labelled) == (1, 2)
    assert tally.digits == (1, 1, 0, 1, 0, 0, 0, 1, 0, 0)  # the 8 is most likely none
    assert tally.confidence == (0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 1)
    assert sum(tally.confidence) == 4  # without the rejected page


@pytest.mark.parametrize(
    ("opened", "seconds"), [("2026-01-22T15:13:09Z", None), ("?", None), ("2026-01-22T15:13:08", 1.0)]
)
def test_a_time_that_is_not_known_gives_no_speed(make_facts, opened, seconds):
    assert compute_batch_stats(make_facts([make_row(1, "a", 1, A, "7", 0.99)], opened_at=opened)).seconds == seconds


def test_tallies_add_up(make_facts):
    item = count_pages([make_row(1, "a", 1, A, "7", 0.99), make_row(2, "b", 1, X, reason=Reason.BLANK)])

    both = item + item

    assert (both.pages, both.accepted, both.rejected, both.digits[7], sum(both.confidence)) == (4, 2, 2, 2, 2)
    assert item + PageCounts() == item


def test_the_trend_groups_by_batch_day_or_month_as_batches_increase():
    few = [entry(i) for i in range(MAX_BATCHES)]
    several = [entry(i, day=f"2026-02-{1 + i % 3:02}") for i in range(MAX_BATCHES + 1)]
    years = [
        entry(0, day=f"20{year}-{month:02}-{day:02}")
        for year in (24, 25)
        for month in range(1, 13)
        for day in (1, 9, 17, 25)
    ]

    for entries, unit, names in (
        (few, "batch", MAX_BATCHES),
        (sorted(several, key=lambda item: item.processed_at), "day", 3),
        (years, "month", 24),
    ):
        stats, periods = group_periods(entries)
        assert (stats, len(periods)) == (unit, names)
        assert sum(len(item.batches) for item in periods) == len(entries)


def test_the_estimated_error_is_given_by_model_and_recent_days():
    entries = [
        entry(1, day="2025-06-01", model_id="old", pages=100, accepted=90, audit_wrong=5, audit_resolved=50),
        entry(2, day="2025-07-01", model_id="new", pages=100, accepted=90, audit_wrong=2, audit_resolved=50),
        entry(3, day="2026-02-20", model_id="new", pages=100, accepted=95, audit_wrong=0, audit_resolved=50),
    ]

    report = numbers(entries)

    newest, oldest = report["models"]
    assert (newest["model_id"], oldest["model_id"]) == ("new", "old")
    assert (newest["all"]["audit"]["hits"], newest["all"]["audit"]["of"]) == (2, 100)
    assert (newest["recent"]["audit"]["hits"], newest["recent"]["audit"]["of"]) == (0, 50)
    assert newest["recent"]["audit"]["high"] == pytest.approx(1 - 0.025 ** (1 / 50))  # exact
    assert oldest["recent"]["audit"]["of"] == 0
    assert report["all"]["automation"]["share"] == pytest.approx(275 / 300)


def test_drift_is_measured_against_training_and_earlier_batches():
    like = {"pages": 1000, "accepted": 1000, "digits": (100,) * 10, "confidence": (10,) * (BINS - 1) + (900,)}
    other = like | {"digits": (550, *[50] * 9)}

    first, second, third = numbers([entry(1, **like), entry(2, **like), entry(3, **other)], {"m-1": TRAINED})["periods"]

    assert first["drift"]["digits"]["reading"] == "little"
    assert first["drift_before"]["digits"]["reading"] == "too few"
    assert second["drift_before"]["digits"]["psi"] == pytest.approx(0, abs=1e-9)
    assert third["drift"]["digits"]["reading"] == "considerable"
    assert third["drift_before"]["digits"]["reading"] == "considerable"
    assert third["drift"]["confidence"]["reading"] == "little"


def test_another_model_is_not_compared_with_the_one_before():
    like = {"pages": 1000, "accepted": 1000, "digits": (100,) * 10, "confidence": (0,) * (BINS - 1) + (1000,)}

    _, second = numbers([entry(1, **like), entry(2, model_id="m-2", **like)], {"m-1": TRAINED})["periods"]

    assert second["drift_before"]["confidence"]["reading"] == "too few"
    assert second["drift"] == {"confidence": None, "digits": None}


def test_the_time_of_a_batch_begins_when_the_one_before_is_done(make_facts):
    rows = [make_row(1, "a", 1, A, "7", 0.99)]
    times = {"opened_at": "2026-01-22T15:00:00Z", "processed_at": "2026-01-22T15:00:50Z"}

    alone = compute_batch_stats(make_facts(rows, **times))
    second_of_a_run = compute_batch_stats(make_facts(rows, **times), "2026-01-22T15:00:26Z")
    after_a_pause = compute_batch_stats(make_facts(rows, **times), "2026-01-22T14:00:00Z")

    assert (alone.seconds, second_of_a_run.seconds, after_a_pause.seconds) == (50.0, 24.0, 50.0)


def test_the_speed_is_that_of_the_median_batch():
    report = numbers([entry(1, seconds=1.0), entry(2, seconds=10.0), entry(3, seconds=4000.0), entry(4, seconds=None)])

    assert report["all"]["files_per_s"] == 10.0
    assert report["all"]["files_per_s_range"] == [0.025, 100.0]


def season(days):
    """Batches of two months with audits, reviews, and another mix of digits at the end."""
    return [
        entry(
            number, day=f"2026-0{1 + day // 28}-{1 + day % 28:02}", seconds=40.0 + day,
            pages=500, accepted=440 - day, review=50 + day, rejected=10,
            in_review_wrong=12, in_review_resolved=40, audit_wrong=day % 7 == 0, audit_resolved=20,
            digits=(40 + 4 * day, *[45] * 9), confidence=(5, 5, 5, 10, 15, 30, 40, 50, 120, 190, 20),
        )
        for day in range(days) for number in range(2)
    ]  # fmt: skip


def write_and_read(folder, entries, read_page, references=None):
    page = write_trend(folder, entries, references or {}, made_at=NOW, app_version="0", has_png=True)
    return read_page(page.read_text(encoding="utf-8")), json.loads((folder / "report.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("days", [3, 50])
def test_the_page_shows_the_numbers_of_report_json(tmp_path, read_page, days):
    page, report = write_and_read(tmp_path / "trend", season(days), read_page, {"m-1": TRAINED})

    assert {key: json.loads(value) for key, value in page.numbers.items()} == {
        key: value_at(report, key) for key in page.numbers
    }
    assert {
        *("all.automation.low", "models.0.all.audit.high", "models.0.recent.audit.high", "periods.0.automation.share"),
        *(
            "models.0.drift.digits.psi",
            "periods.2.drift_before.confidence.psi",
            "models.0.drift.digits.chance",
            "periods.1.files_per_s",
        ),
    } <= set(page.numbers)
    assert "is an estimate for all accepted answers" in page.words
    figures = {path.stem for path in (tmp_path / "trend").glob("*.png")}
    assert figures == {
        *("automation", "errors_accepted", "errors_in_review", "drift", "digits", "confidence", "speed"),
    }
    assert {chart["aria-labelledby"].partition("-")[0] for chart in page.tags("svg")} == figures
    assert not page.tags("script")
    assert (tmp_path / "trend" / "index.html").stat().st_size < 1_500_000


def test_a_page_without_png_files_leaves_none_of_an_earlier_one(tmp_path, read_page):
    write_and_read(tmp_path / "trend", season(3), read_page)
    (tmp_path / "trend" / "mine.png").write_bytes(b"of a person")

    write_trend(tmp_path / "trend", season(3), {}, made_at=NOW, app_version="0", has_png=False)

    assert [path.name for path in (tmp_path / "trend").glob("*.png")] == ["mine.png"]


def test_nothing_read_yet_is_a_page_too(tmp_path, read_page):
    page, report = write_and_read(tmp_path / "trend", [], read_page)

    assert "No batch was processed yet" in page.words
    assert report["periods"] == []


def test_a_model_nothing_is_known_of_is_shown_without_training(tmp_path, read_page):
    page, _ = write_and_read(tmp_path / "trend", season(2), read_page)

    assert "unknown" in page.words
    assert not page.tags("script")


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_a_name_of_a_model_is_data(tmp_path, read_page, name):
    plain, _ = write_and_read(
        tmp_path / "a", [entry(1, model_id="m", pages=10, accepted=10)], read_page, {"m": TRAINED}
    )
    hostile, _ = write_and_read(
        tmp_path / "b", [entry(1, model_id=name, pages=10, accepted=10)], read_page, {name: TRAINED}
    )

    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in plain.elements]
    assert hostile.text.count(name) >= 2


def test_the_trend_loads_no_heavy_library(tmp_path):
    script = f"""
import sys
from pathlib import Path
from digitrec.reports.trend import BatchStats, PageCounts
from digitrec.reports.trend_report import write_trend
counts = PageCounts(pages=500, accepted=500, digits=(50,) * 10, confidence=(50,) * {BINS})
entries = [BatchStats(str(i), "m", {NOW!r}, 500, 1.0, counts) for i in range(2)]
write_trend(Path({str(tmp_path)!r}) / "trend", entries, {{}}, made_at={NOW!r}, app_version="0")
print({{"scipy", "matplotlib", "seaborn", "pandas", "cv2", "PIL"}} & set(sys.modules))
"""

    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert printed.strip() == "set()"
