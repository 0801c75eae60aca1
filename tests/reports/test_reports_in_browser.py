"""The pages in a real browser: they ask for nothing, run nothing, fit a phone, and can be read by everybody."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from digitrec.app.reports import write_all_reports
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.reports.evaluation import evaluate_scores
from digitrec.reports.evaluation_report import EvaluationFacts, write_evaluation, write_page_evaluation
from digitrec.reports.page_evaluation import evaluate_pages
from digitrec.reports.retrain_report import (
    ModelMetrics,
    RetrainFacts,
    SuspectedLabel,
    write_retrain_report,
)
from digitrec.reports.statistics import McNemarResult, wilson
from digitrec.types import PageStatus, Reason, Thresholds
from tests.reports.filled import HOSTILE, filled, make_row, preview

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no browser is installed")]

LARGEST = 3_000_000
FACTS = EvaluationFacts("cnn-1", "<b>set</b>", "a folder", "731c5ac6", "1.0", "2026-01-22T15:00:00Z", 0.005)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every kind of page: of a batch of 5,000, of a season, of both evaluations, and the list."""
    root = tmp_path_factory.mktemp("season")
    settings, batch_id = filled(root, days=45)
    home = settings.reports / "evaluation" / "cnn-1"
    _array_evaluation(home / "set")
    _page_evaluation(home / "pages")
    retrain_page = _retrain_page(settings.reports / "learning" / "cnn-2")
    with open_ledgers(settings) as ledgers:
        page, _ = write_all_reports(settings, ledgers)
    return {
        "list": page,
        "batch": settings.reports / batch_id / "index.html",
        "trend": settings.reports / "trend" / "index.html",
        "evaluation": home / "set" / "index.html",
        "page evaluation": home / "pages" / "index.html",
        "retrain": retrain_page,
    }


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def test_every_page_is_smaller_than_three_megabytes(reports: dict[str, Path]) -> None:
    assert reports["batch"].read_text(encoding="utf-8").count("<img") >= 100
    for name, page in reports.items():
        assert page.stat().st_size < LARGEST, name


@pytest.mark.parametrize("name", ["list", "batch", "trend", "evaluation", "page evaluation", "retrain"])
def test_a_page_asks_for_nothing_runs_nothing_and_fits_a_phone(
    browser: Any, reports: dict[str, Path], name: str
) -> None:
    asked: list[str] = []
    answers: list[str] = []
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: answers.append(message.text))
    page.on("pageerror", lambda why: answers.append(str(why)))
    page.on("dialog", lambda dialog: answers.append(dialog.message))

    page.goto(reports[name].as_uri())

    assert [url for url in asked if not url.startswith("data:")] == [reports[name].as_uri()]
    assert answers == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["list", "batch", "trend", "evaluation", "page evaluation", "retrain"])
def test_a_page_is_accessible(browser: Any, reports: dict[str, Path], name: str, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    # The policy of the page forbids every script: that of the check, too.
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    page.goto(reports[name].as_uri())

    violations = Axe().run(page).response["violations"]

    assert [(violation["id"], violation["impact"], violation["nodes"][0]["html"]) for violation in violations] == []
    context.close()


def test_a_confusion_matrix_cell_opens_its_pictures_by_mouse_and_keyboard(
    browser: Any, reports: dict[str, Path]
) -> None:
    for name in ("evaluation", "page evaluation"):
        page = browser.new_page()
        page.goto(reports[name].as_uri())
        assert page.locator(".cell:visible").count() == 0
        wrong = page.locator("table.matrix td:not(.right) a")

        wrong.first.click()
        by_mouse = page.locator(".cell:visible h3").all_inner_texts()
        wrong.last.focus()
        page.keyboard.press("Enter")
        by_keyboard = page.locator(".cell:visible h3").all_inner_texts()

        assert len(by_mouse) == len(by_keyboard) == 1
        assert by_mouse != by_keyboard
        assert page.locator(".cell:visible img").count() >= 1
        page.close()


def test_a_hostile_name_is_text(browser: Any, reports: dict[str, Path]) -> None:
    page = browser.new_page()

    page.goto(reports["page evaluation"].as_uri())

    assert page.get_by_text(HOSTILE).count() >= 1
    assert page.locator("img[src='x']").count() == 0
    page.close()


def test_on_paper_nothing_is_cut_off(browser: Any, reports: dict[str, Path]) -> None:
    for name, path in reports.items():
        page = browser.new_page(viewport={"width": 720, "height": 1000})  # A4 at 96 dots an inch, less the margins
        page.goto(path.as_uri())
        page.emulate_media(media="print")

        assert page.evaluate("document.documentElement.scrollWidth") <= 720, name
        assert page.locator("nav:visible").count() == 0
        page.close()


def _array_evaluation(folder: Path) -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(1000) % 10
    answers = np.where(rng.random(1000) < 0.06, (truth + 3) % 10, truth)
    sure = np.where(answers == truth, rng.uniform(0.9, 1, 1000), rng.uniform(0.3, 0.99, 1000))
    scores = np.tile(((1 - sure) / 10)[:, None], (1, 11)).astype(np.float32)
    scores[np.arange(1000), answers] = sure
    pictures = np.zeros((1000, 28, 28), np.uint8)
    for picture, digit in zip(pictures, truth, strict=True):
        cv2.putText(picture, str(digit), (5, 23), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2, cv2.LINE_AA)
    history = {"loss": [0.4, 0.2], "accuracy": [0.9, 0.95], "val_loss": [0.3, 0.25], "val_accuracy": [0.93, 0.94]}
    write_evaluation(folder, FACTS, evaluate_scores(truth, scores, threshold=0.95), pictures, history)


def _page_evaluation(folder: Path) -> None:
    rows = []
    for number in range(1, 501):
        digit = str(number % 10)
        is_right, is_sure = number % 9 != 0, number % 5 != 0
        text = digit if is_right else str((number + 3) % 10)
        status, reason = (PageStatus.ACCEPTED, None) if is_sure else (PageStatus.REVIEW, Reason.LOW_CONFIDENCE)
        sure = 0.96 + (number % 40) / 1000 if is_sure else 0.5
        file = HOSTILE if number % 20 == 9 else f"{number}.png"
        rows.append(
            make_row(number, file, 1, status, text, sure, reason=reason, label=digit, preview_png=preview(digit))
        )
    rows.append(make_row(501, "none.png", 1, PageStatus.REJECTED, reason=Reason.BLANK, label="none"))
    write_page_evaluation(folder, FACTS, evaluate_pages(rows, Thresholds(0.956905, 0.97)))


def _retrain_page(folder: Path) -> Path:
    pages = {"learned": 245, "held_out": 55, "confirmed": 267, "corrected": 33, "repeated": 1, "missing": 2}
    facts = RetrainFacts("cnn-2", "cnn-1", "1.0", "2026-01-22T15:00:00Z", 0.005, pages, is_promoted=True)
    before = ModelMetrics(wilson(51, 55), wilson(32, 55), wilson(0, 32))
    after = ModelMetrics(wilson(55, 55), wilson(44, 55), wilson(0, 44))
    compared = [McNemarResult(400, 396, 396, 0, 0, 1.0, "drawn scans")]
    doubtful = [
        SuspectedLabel(HOSTILE, 1, "2", "1", 0.998, "1", 0.564, number % 2 == 0, preview("1")) for number in range(120)
    ]
    return write_retrain_report(folder, facts, before, after, compared, doubtful, 22)
