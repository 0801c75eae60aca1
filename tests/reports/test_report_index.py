import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digitrec.reports import index
from digitrec.reports.batch_report import write_batch_report, write_index
from digitrec.reports.index import read_index
from digitrec.storage.corrections import Correction, ReviewMethod, Verdict
from digitrec.types import PageStatus, Reason
from tests.reports.filled import make_row

PROPORTION = {"hits": 97, "of": 100, "share": 0.97, "low": 0.9155, "high": 0.9897}


def batch(reports, make_facts, batch_id, label=""):
    row = make_row(1, "a.png", 1, PageStatus.ACCEPTED, "7", 0.999, label=label)
    write_batch_report(reports / batch_id, make_facts([row], batch_id=batch_id, processed_at=f"at {batch_id}"))


def note(folder, **content):
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps(content), encoding="utf-8")


def page(reports, read_page):
    return read_page(write_index(reports).read_text(encoding="utf-8"))


def test_batches_are_listed_newest_first_with_their_link(tmp_path, make_facts, read_page):
    for batch_id in ("20260120T100000Z-00000001", "20260122T100000Z-00000000", "20260121T100000Z-00000002"):
        batch(tmp_path, make_facts, batch_id)

    links = [link["href"] for link in page(tmp_path, read_page).tags("a")]

    assert links == [
        "20260122T100000Z-00000000/index.html",
        "20260121T100000Z-00000002/index.html",
        "20260120T100000Z-00000001/index.html",
    ]


def test_a_report_is_read_again_only_after_it_was_rewritten(tmp_path, make_facts, monkeypatch):
    batch(tmp_path, make_facts, "20260120T100000Z-00000001")
    batch(tmp_path, make_facts, "20260121T100000Z-00000001")
    read = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path) or read_bytes(path))

    first, again = read_index(tmp_path), read_index(tmp_path)

    assert first == again
    assert len(read) == 2
    batch(tmp_path, make_facts, "20260120T100000Z-00000001", label="7")
    newest, oldest = read_index(tmp_path).batches.entries
    assert len(read) == 3
    assert newest.accuracy is None
    assert oldest.accuracy.share == 1.0


def test_a_report_that_could_not_be_read_is_read_the_next_time(tmp_path, make_facts, monkeypatch):
    batch(tmp_path, make_facts, "20260120T100000Z-00000001")
    with monkeypatch.context() as broken:
        broken.setattr(Path, "read_bytes", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "the disk")))
        assert read_index(tmp_path).batches.entries[0].is_damaged

    assert not read_index(tmp_path).batches.entries[0].is_damaged


def test_accuracy_is_listed_where_the_truth_was_known(tmp_path, make_facts):
    batch(tmp_path, make_facts, "20260120T100000Z-00000001", label="7")
    batch(tmp_path, make_facts, "20260121T100000Z-00000001")

    newest, oldest = read_index(tmp_path).batches.entries

    assert newest.accuracy is None
    assert oldest.accuracy.share == 1.0


def test_evaluations_and_data_are_listed_too(tmp_path, read_page):
    note(
        tmp_path / "evaluation" / "cnn-1" / "mnist",
        kind="evaluation",
        evaluated_at="2026-01-22T15:00:00Z",
        model_id="cnn-1",
        data="mnist",
        accuracy=PROPORTION,
    )
    note(
        tmp_path / "explore" / "mnist",
        kind="explore",
        made_at="2026-01-22T15:00:00Z",
        data="mnist",
        splits=[{"pictures": 60000}, {"pictures": 10000}],
    )

    listed = page(tmp_path, read_page)

    assert [link["href"] for link in listed.tags("a")] == [
        "evaluation/cnn-1/mnist/index.html",
        "explore/mnist/index.html",
    ]
    assert "97.00\u202f%" in listed.text
    assert "70\u202f000" in listed.text


def test_evaluations_are_listed_newest_first(tmp_path):
    for age_s, name in enumerate(("new", "older", "oldest")):
        note(
            tmp_path / "evaluation" / "cnn" / name,
            kind="evaluation", evaluated_at=name, model_id="cnn", data=name, accuracy=PROPORTION,
        )  # fmt: skip
        os.utime(tmp_path / "evaluation" / "cnn" / name / "report.json", (1000 - age_s, 1000 - age_s))

    assert [entry.data for entry in read_index(tmp_path).evaluations.entries] == ["new", "older", "oldest"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 512,
        b'{"kind": "batch", "fil',
        b"[]",
        b"null",
        b'{"kind": "evaluation"}',
        b'{"kind": "batch"}',
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"kind": "batch", "processed_at": 3, "worker": "main", "files": {}, "truth": null}',
    ],
)
def test_a_damaged_report_is_named_and_the_others_are_listed(tmp_path, make_facts, read_page, content):
    batch(tmp_path, make_facts, "20260120T100000Z-00000001")
    for folder in ("20260121T100000Z-00000002", "evaluation/cnn/mnist", "explore/mnist"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "report.json").write_bytes(content)

    listed = page(tmp_path, read_page)

    assert listed.words.count("its numbers cannot be read") == 3
    assert "at 20260120 100000 UTC-00000001" in listed.words


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from(["processed_at", "worker", "files", "truth", "evaluated_at", "model_id", "data", "accuracy"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(st.sampled_from(["claimed", "accepted", "accuracy", "share"]), inner, max_size=2)
            ),
            max_leaves=5,
        ),
    )
)
def test_whatever_a_report_holds_the_list_is_written(tmp_path_factory, content):
    reports = tmp_path_factory.mktemp("reports")
    note(reports / "20260121T100000Z-00000002", kind="batch", **content)
    note(reports / "evaluation" / "cnn" / "mnist", kind="evaluation", **content)

    assert write_index(reports).stat().st_size > 0


def test_a_report_without_its_numbers_is_named(tmp_path, read_page):
    (tmp_path / "20260121T100000Z-00000002").mkdir()

    assert "20260121T100000Z-00000002 its numbers cannot be read" in page(tmp_path, read_page).words


def test_what_is_no_report_is_left_out(tmp_path, read_page):
    (tmp_path / "notes").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "20260121T100000Z-00000002").write_text("a file")

    assert "None yet. Drop pictures into" in page(tmp_path, read_page).words


def test_only_the_newest_are_opened_and_the_rest_is_counted(tmp_path, make_facts, read_page, monkeypatch):
    monkeypatch.setattr(index, "MAX_LISTED", 3)
    for day in range(10, 15):
        batch(tmp_path, make_facts, f"202601{day}T100000Z-00000000")
    (tmp_path / "20260110T100000Z-00000000" / "report.json").write_text("damaged, and nobody looks")

    listed = page(tmp_path, read_page)

    assert [link["href"][:8] for link in listed.tags("a")] == ["20260114", "20260113", "20260112"]
    assert "The newest 3 of 5 are listed" in listed.words


def test_a_hostile_name_in_a_report_stays_text(tmp_path, read_page):
    name = "<script>alert(1)</script>"
    note(
        tmp_path / "evaluation" / "m" / "d",
        kind="evaluation", evaluated_at=name, model_id=name, data=name, accuracy=PROPORTION,
    )  # fmt: skip

    listed = page(tmp_path, read_page)

    assert not listed.tags("script")
    assert listed.text.count(name) == 3


def test_the_list_of_no_reports_says_how_to_begin(tmp_path, read_page):
    words = page(tmp_path / "reports", read_page).words

    assert "Drop pictures into inbox/ and start digitrec run" in words


def test_the_list_has_totals_days_and_what_is_reviewed(tmp_path, make_facts, read_page):
    verdict = Correction(1, "b", 2, "2026-01-22T16:00:00Z", "ann", Verdict.CONFIRMED, "7", "7", ReviewMethod.ONE)
    doubtful = {"confidence": 0.5, "reason": Reason.LOW_CONFIDENCE}
    rows = [
        make_row(1, "a.png", 1, PageStatus.ACCEPTED, "7", 0.999),
        make_row(2, "b.png", 1, PageStatus.REVIEW, "7", review=verdict, **doubtful),
        make_row(3, "c.png", 1, PageStatus.REVIEW, "7", **doubtful),
    ]
    for day in ("20", "21", "22"):
        batch_id, at = f"202601{day}T120000Z-00000001", f"2026-01-{day}T12:00:00Z"
        write_batch_report(tmp_path / batch_id, make_facts(rows, batch_id=batch_id, processed_at=at))

    listed = read_index(tmp_path)

    assert listed.totals["claimed"] == 9
    assert (listed.totals["reviewed"], listed.totals["to_review"]) == (3, 6)
    assert list(listed.days.labels) == ["01-20", "01-21", "01-22"]
    assert listed.days.description.startswith("01-20: 1 accepted, 2 need review")
    words = page(tmp_path, read_page).words
    assert "3 of 6 pages reviewed" in words
    assert words.count("1 of 2") == 3


def test_times_are_local_with_utc_as_hint(tmp_path, make_facts, read_page):
    batch_id = "20260120T120000Z-00000001"
    row = make_row(1, "a.png", 1, PageStatus.ACCEPTED, "7", 0.999)
    write_batch_report(tmp_path / batch_id, make_facts([row], batch_id=batch_id, processed_at="2026-01-20T12:00:00Z"))

    (time,) = page(tmp_path, read_page).tags("time")

    assert time == {"datetime": "2026-01-20T12:00:00Z", "title": "2026-01-20 12:00:00 UTC"}
