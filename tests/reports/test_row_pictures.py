"""Every row that the page of a batch shows has its picture: kept by the ledger, else drawn from the original."""

from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from digitrec.app import reports
from digitrec.pipeline import outcomes
from digitrec.settings import Settings
from digitrec.storage.corrections import ReviewMethod
from digitrec.storage.judgements import Judgement, record_judgements
from digitrec.storage.ledger import Ledger
from digitrec.types import Reason
from tests.conftest import ServiceHarness, draw
from tests.reports.conftest import Page
from tests.review.conftest import BATCH, Answer, fill

REVIEW = [Answer("7", 0.5 + i / 1000) for i in range(130)]


def page_of(settings: Settings, batch_id: str = BATCH) -> Page:
    with closing(Ledger.open_shared(settings.ledger)) as ledger:
        reports.report_batch(settings, ledger, batch_id)
    return Page((settings.reports / batch_id / "index.html").read_text(encoding="utf-8"))


def pictured(page: Page) -> list[int]:
    """The rows with a picture, in the order of the page."""
    return [int(image["alt"].rpartition(" ")[2]) for image in page.tags("img")]


@pytest.mark.slow
def test_all_that_is_not_as_labelled_is_pictured_whatever_came_before(harness: ServiceHarness) -> None:
    blank = bytes(cv2.imencode(".png", np.full((40, 30), 255, np.uint8))[1])
    for number in range(120):
        harness.drop(f"a/{number:03}.png", blank)
        harness.drop(f"b/{number:03}.png", draw(7))
    harness.drop("b/labels.csv", ("file,label\n" + "".join(f"{number:03}.png,1\n" for number in range(120))).encode())

    harness.run()

    (table,) = harness.tables()
    page = Page((harness.root / "reports" / table.stem / "index.html").read_text(encoding="utf-8"))
    rows = pictured(page)
    assert sum(row > 120 for row in rows) == 100, "of those not as labelled"
    assert sum(row <= 120 for row in rows) == 100, "of the blank ones"
    assert "nopicture" not in page.text.replace("\n", "")
    with closing(Ledger.open_readonly(harness.root / ".digitrec" / "main" / "ledger.sqlite3")) as ledger:
        assert len(ledger.previews(table.stem)) == 240


def test_what_the_ledger_has_not_kept_is_drawn_from_the_original(tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path)
    fill(settings, BATCH, [*REVIEW, Answer("7", 0.95), Answer("", None, reason=Reason.TRUNCATED)])
    with closing(Ledger.open_shared(settings.ledger)) as ledger:
        judgements = [Judgement(BATCH, row, "1", 0) for row in (*range(1, 111), 131)]
        record_judgements(
            ledger, judgements, reviewer="ann", method=ReviewMethod.GRID, reviewed_at="2026-01-03T10:00:00.000Z"
        )

    page = page_of(settings)

    assert sorted(pictured(page)) == sorted([*range(111, 131), 131, *range(12, 111)]), "in review, and corrected"
    assert "nopicture" not in page.text.replace("\n", "")


def test_an_original_that_is_gone_or_another_file_costs_only_its_picture(tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path)
    fill(settings, BATCH, [*REVIEW[:3], Answer("7", 0.5, content=b"no picture")])
    done = settings.outbox / "done" / BATCH
    (done / "scan-00001.png").unlink()
    (done / "scan-00002.png").write_bytes(draw(1))

    page = page_of(settings)

    assert pictured(page) == [3]
    assert page.text.replace("\n", "").count("nopicture") == 3


def test_a_page_in_review_of_which_nothing_was_read_is_shown_and_counted(tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path)
    fill(settings, BATCH, [Answer("", None, reason=Reason.OTHER_MARKS), Answer("", None, reason=Reason.NOT_A_DIGIT)])

    page = page_of(settings)

    assert pictured(page) == [1, 2]
    assert Reason.OTHER_MARKS.description in page.words
    assert (page.numbers["pages.review"], page.numbers["files.review"]) == ("2", "2")


def test_the_ledger_keeps_previews_up_to_a_size_and_the_page_shows_all(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "_MAX_PREVIEW_BYTES", 1)
    for number in range(3):
        harness.drop(f"{number}.png", draw(7))
    harness.drop("labels.csv", b"file,label\n0.png,1\n1.png,1\n2.png,1\n")

    harness.run()

    (table,) = harness.tables()
    with closing(Ledger.open_readonly(harness.settings.ledger)) as ledger:
        assert list(ledger.previews(table.stem)) == [1]
    page = Page((harness.root / "reports" / table.stem / "index.html").read_text(encoding="utf-8"))
    assert pictured(page) == [1, 2, 3]
