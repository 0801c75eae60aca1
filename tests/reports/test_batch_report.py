import dataclasses
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from digitrec.reports.batch import DeferredFacts
from digitrec.reports.batch_report import FIXES, write_batch_report
from digitrec.reports.html import value_at
from digitrec.types import PageStatus, Reason, Thresholds
from tests.reports.filled import make_row

HOSTILE = [
    "<script>alert(1)</script>.png",
    '"><img src=x onerror=alert(1)>.png',
    "'; background: url(http://example.org/x) .png",
    "{{ 7 * 7 }}{% raw %}.png",
    "javascript:alert(1)",
    "</style></title><svg onload=alert(1)>.png",
    "&lt;b&gt;.png",
]


@pytest.fixture
def mixed(thumbnail):
    """One page of every kind, labelled."""
    return [
        make_row(1, "a/1.png", 1, PageStatus.ACCEPTED, "7", 0.9995, "1", 0.0003, label="7"),
        make_row(2, "a/2.png", 1, PageStatus.ACCEPTED, "4", 0.991, "9", 0.008, label="9", preview_png=thumbnail("9")),
        make_row(
            3, "a/3.tif", 2, PageStatus.REVIEW, "3", 0.6, "8", 0.3, Reason.LOW_CONFIDENCE, preview_png=thumbnail("3")
        ),
        make_row(4, "b/4.jpg", 1, PageStatus.REJECTED, reason=Reason.TRUNCATED, detail="ends after 3,120 bytes"),
        make_row(5, "b/5.jpg", 1, PageStatus.ACCEPTED, "5", 0.99, duplicate_of="20260121T080000Z-0badcafe/12"),
    ]


def written(tmp_path, facts):
    page = write_batch_report(tmp_path / facts.batch_id, facts)
    return page.read_text(encoding="utf-8"), json.loads((page.parent / "report.json").read_text(encoding="utf-8"))


def test_the_page_shows_the_numbers_of_report_json(tmp_path, make_facts, mixed, read_page):
    html, report = written(tmp_path, make_facts(mixed, [DeferredFacts("c/6.png", "still changing")]))

    numbers = read_page(html).numbers

    assert {"files.claimed", "files.deferred", "pages.total", "truth.accuracy.share", "reasons.truncated"} <= set(
        numbers
    )
    assert {key: json.loads(value) for key, value in numbers.items()} == {key: value_at(report, key) for key in numbers}


def test_the_report_names_the_next_step_and_remedies(tmp_path, make_facts, mixed, read_page):
    html, _ = written(tmp_path, make_facts(mixed, [DeferredFacts("c/6.png", "still changing")]))

    words = read_page(html).words

    assert "3 of 6 files accepted" in words
    assert "1 file needs review" in words
    assert "1 file rejected" in words
    assert "1 file deferred" in words
    assert "1 page differs from its label" in words
    assert FIXES[Reason.TRUNCATED] in words
    assert "ends after 3,120 bytes" in words
    assert "still changing" in words
    assert "first in 20260121T080000Z-0badcafe/12" in words


def test_accuracy_has_its_interval(tmp_path, make_facts, mixed, read_page):
    html, _ = written(tmp_path, make_facts(mixed))

    assert "50.00\u202f% 1 of 2; 9.45\u202f% to 90.55\u202f%" in read_page(html).text.replace("\n", " ").replace(
        "  ", " "
    )


def test_what_is_to_be_looked_at_has_its_picture(tmp_path, make_facts, mixed, read_page):
    html, _ = written(tmp_path, make_facts(mixed))

    pictures = read_page(html).tags("img")

    assert [picture["alt"] for picture in pictures] == ["The page of row 3", "The page of row 2"]
    assert all(picture["src"].startswith("data:image/png;base64,") for picture in pictures)


def test_the_page_needs_no_network_and_no_script(tmp_path, make_facts, mixed, read_page):
    html, _ = written(tmp_path, make_facts(mixed))
    page = read_page(html)

    assert not page.tags("script")
    assert not re.search(r"url\(|@import", page.styles)
    assert not re.search(r"https?:|//", re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", html))
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href"):
            assert re.match(r"data:|#|\.\./|report\.json|$", attributes.get(name, "")), (tag, attributes)


def test_the_page_forbids_itself_everything_else(tmp_path, make_facts, read_page):
    html, _ = written(tmp_path, make_facts([]))

    policy = next(meta["content"] for meta in read_page(html).tags("meta") if "http-equiv" in meta)

    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data: 'self'")


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_data_wherever_they_appear(tmp_path, make_facts, read_page, name):
    rows = [
        make_row(1, name, 1, PageStatus.REVIEW, "7", 0.5, reason=Reason.LOW_CONFIDENCE, detail=name, label="1"),
        make_row(2, name, 1, PageStatus.REJECTED, reason=Reason.BLANK, detail=name, duplicate_of=name, label=name),
    ]
    facts = make_facts(rows, [DeferredFacts(name, name)], worker=name, model_id=name)
    plain = make_facts([make_row(**fields(row) | harmless(row)) for row in rows], [DeferredFacts("x", "x")])

    page, expected = (read_page(written(tmp_path, batch)[0]) for batch in (facts, plain))

    assert [tag for tag, _ in page.elements] == [tag for tag, _ in expected.elements]
    assert page.text.count(name) >= 8
    assert page.styles == expected.styles


def fields(row):
    return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}


def harmless(row):
    label = "1" if row.label == "1" else "y"
    return {"file": "x", "detail": "x", "duplicate_of": "x" if row.duplicate_of else "", "label": label}


def test_unprintable_text_does_not_stop_the_report(tmp_path, make_facts):
    detail = "cannot open \udcff\u202egnp.exe\x1b[31m"

    html, _ = written(
        tmp_path, make_facts([make_row(1, "x", 1, PageStatus.REJECTED, reason=Reason.IO_ERROR, detail=detail)])
    )

    assert "cannot open \ufffd\ufffdgnp.exe\ufffd[31m" in html


def test_a_csv_with_an_odd_name_is_linked(tmp_path, make_facts, read_page):
    html, _ = written(tmp_path, make_facts([], csv="../../out box/a#1?.csv"))

    assert {"href": "../../out%20box/a%231%3F.csv"} in read_page(html).tags("a")


def test_a_batch_without_rows_has_a_page(tmp_path, make_facts, read_page):
    html, report = written(tmp_path, make_facts([]))

    assert "Nothing: the answers are in the CSV." in read_page(html).words
    assert report["pages"]["total"] == 0


def test_a_batch_without_truth_says_nothing_about_accuracy(tmp_path, make_facts, read_page):
    html, report = written(tmp_path, make_facts([make_row(1, "a.png", 1, PageStatus.ACCEPTED, "7", 0.999)]))

    assert report["truth"] is None
    assert "Accuracy" not in read_page(html).words
    assert "1 file, all read and accepted" in read_page(html).words


def test_a_threshold_without_a_known_error_rate_is_shown_alone(tmp_path, make_facts, mixed, read_page):
    html, _ = written(tmp_path, make_facts(mixed, max_error=None))

    text = read_page(html).text.replace("\n", " ")
    assert "Accepted: pages of one digit from a confidence of 98\u202f%, other numbers from a confidence of 99" in text


def test_a_batch_without_a_guarantee_for_numbers_says_so(tmp_path, make_facts, mixed, read_page):
    html, _ = written(tmp_path, make_facts(mixed, thresholds=Thresholds(0.98, 2.0)))

    text = read_page(html).text.replace("\n", " ")
    assert (
        "for a target error rate of 0.5\u202f%: pages of one digit from a confidence of 98\u202f%, other numbers never."
        in text
    )


def test_a_batch_whose_thresholds_are_unknown_has_none_in_its_report(tmp_path, make_facts, mixed, read_page):
    html, report = written(tmp_path, make_facts(mixed, thresholds=None))

    assert report["thresholds"] is None
    assert "from a confidence" not in read_page(html).text


@pytest.mark.slow
def test_the_first_hundred_of_a_thousand_rows_are_listed_the_rest_counted(tmp_path, make_facts, read_page):
    noise = np.random.default_rng(0)
    rows = []
    for number in range(1, 1001):
        png = worst_thumbnail(noise)
        rows.append(
            make_row(number, f"{'x' * 200}{number}.png", 1, PageStatus.REVIEW, "1", 0.5, "7", 0.4,
                     Reason.LOW_CONFIDENCE, label="7", preview_png=png)
        )  # fmt: skip

    html, report = written(tmp_path, make_facts(rows))

    page = read_page(html)
    assert report["pages"]["review"] == 1000
    assert len(page.tags("img")) == 200, "a hundred in review, a hundred errors"
    assert page.words.count("The first 100 of 1 000 are shown") == 2
    assert len(html.encode()) < 3_000_000


def worst_thumbnail(noise):
    import cv2

    return cv2.imencode(".png", noise.integers(0, 256, (96, 96), np.uint8))[1].tobytes()


def test_made_again_the_report_is_the_same_to_the_byte(tmp_path, make_facts, mixed):
    first = written(tmp_path, make_facts(mixed))

    assert written(tmp_path, make_facts(mixed)) == first
    assert sorted(path.name for path in (tmp_path / "20260122T151305Z-1a2b3c4d").iterdir()) == [
        "index.html",
        "report.json",
    ]


def test_the_charts_speak(tmp_path, make_facts, mixed, read_page):
    html, _ = written(tmp_path, make_facts(mixed))

    charts = [svg for svg in read_page(html).tags("svg") if svg["class"] == "chart"]

    assert [chart["role"] for chart in charts] == ["img", "img"]
    assert "7: 1 accepted; 8: 0; 9: 0" in html
    assert "50: 1 needs review" in html


def test_every_rejection_reason_has_a_remedy():
    assert set(FIXES) == {reason for reason in Reason if reason.is_rejection}


@pytest.mark.slow
def test_a_report_imports_no_heavy_library(tmp_path):
    script = f"""
import sys
from pathlib import Path
from digitrec.reports import batch_report
from digitrec.storage.claims import OutcomeCounts
from digitrec.types import PageStatus
assert "jinja2" not in sys.modules, "jinja2 is for those who write a report"
from digitrec.reports.batch import BatchFacts, RowFacts
facts = BatchFacts("20260122T151305Z-1a2b3c4d", "main", "m", "0", "t", "t", OutcomeCounts(1, 0, 0, 0), None, None, "x",
                   [RowFacts(1, PageStatus.ACCEPTED, "7", 0.99, row=1, file="a", label="7")])
batch_report.write_batch_report(Path({str(tmp_path)!r}) / "reports" / facts.batch_id, facts)
batch_report.write_index(Path({str(tmp_path)!r}) / "reports")
heavy = {{"pandas", "matplotlib", "seaborn", "sklearn", "scipy", "tensorflow", "keras", "cv2", "PIL", "rich"}}
print(sorted(heavy & set(sys.modules)))
"""

    woken = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert woken.strip() == "[]"


def test_groups_are_the_first_folders_with_their_own_accuracy(tmp_path, make_facts, mixed, read_page):
    html, report = written(tmp_path, make_facts(mixed))

    by_name = {group["name"]: group for group in report["groups"]}
    assert {name: (group["pages"], group["accepted"]) for name, group in by_name.items()} == {"a": (3, 2), "b": (2, 1)}
    assert (by_name["a"]["accuracy"]["hits"], by_name["a"]["accuracy"]["of"]) == (1, 2)
    assert read_page(html).numbers["groups.1.rejected"] == "1"


def test_a_group_alone_is_not_listed(tmp_path, make_facts, read_page):
    html, report = written(tmp_path, make_facts([make_row(1, "a/1.png", 1, PageStatus.ACCEPTED, "7", 0.99)]))

    assert report["groups"] == []
    assert "By group" not in read_page(html).words


def test_the_first_hundred_accepted_answers_are_listed(tmp_path, make_facts, thumbnail, read_page):
    picture = thumbnail("7")
    rows = [make_row(i, f"{i}.png", 1, PageStatus.ACCEPTED, "7", 0.99, preview_png=picture) for i in range(1, 121)]

    page = read_page(written(tmp_path, make_facts(rows))[0])

    assert [picture["alt"] for picture in page.tags("img")] == [f"The page of row {i}" for i in range(1, 101)]
    assert "The first 100 of 120 accepted pages" in page.words


def test_target_and_measured_error_rate_stand_side_by_side(tmp_path, make_facts, mixed, read_page):
    html, report = written(tmp_path, make_facts(mixed))

    assert report["truth"]["wrong"]["share"] == 0.5
    assert "target 0.5\u202f%, measured 50.00\u202f%" in read_page(html).text
