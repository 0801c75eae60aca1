"""Evaluation and explore pages: numbers, figures, and nothing from outside."""

import json
import re

import numpy as np
import pytest

from digitrec.errors import DataError
from digitrec.reports.dataset_report import (
    DatasetFacts,
    DatasetSplit,
    count_ink_levels,
    describe_split,
    mean_and_std,
    write_dataset_report,
)
from digitrec.reports.evaluation import evaluate_scores
from digitrec.reports.evaluation_report import EvaluationFacts, write_evaluation, write_page_evaluation
from digitrec.reports.html import value_at
from digitrec.reports.index import read_index
from digitrec.reports.page_evaluation import evaluate_pages
from digitrec.types import PageStatus, Reason
from tests.reports.filled import make_row

FACTS = EvaluationFacts(
    model_id="cnn-1",
    data="<b>mnist</b>",
    source="/data/mnist.npz",
    digest="731c5ac6",
    app_version="0.1.0",
    evaluated_at="2026-01-22T15:00:00Z",
    max_error=0.005,
)

HISTORY = {"loss": [0.4, 0.2], "accuracy": [0.9, 0.95], "val_loss": [0.3, 0.25], "val_accuracy": [0.93, 0.94]}


@pytest.fixture(scope="module")
def measured():
    """An evaluation of 400 pictures, one in ten of them wrong."""
    rng = np.random.default_rng(0)
    truth = np.arange(400) % 10
    answers = np.where(rng.random(400) < 0.1, (truth + 3) % 10, truth)
    scores = np.full((400, 11), 0.002, np.float32)
    scores[:, 10] = 0.0
    scores[np.arange(400), answers] = 1 - 9 * 0.002
    return evaluate_scores(truth, scores, threshold=0.97)


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (400, 28, 28)).astype(np.uint8)


def read(folder, read_page):
    page = read_page((folder / "index.html").read_text(encoding="utf-8"))
    return page, json.loads((folder / "report.json").read_text(encoding="utf-8"))


def assert_stands_alone(page):
    assert not page.tags("script")
    assert not re.search(r"url\(|@import", page.styles)
    assert all(picture["src"].startswith("data:image/png;base64,") for picture in page.tags("img"))
    assert all(re.match(r"data:|#|\.\./|report\.json", link.get("href", "#")) for _, link in page.elements)


def assert_same_numbers(page, report):
    assert page.numbers
    assert {key: json.loads(value) for key, value in page.numbers.items()} == {
        key: value_at(report, key) for key in page.numbers
    }


@pytest.mark.slow
def test_the_evaluation_page_shows_the_numbers_of_report_json(tmp_path, read_page, measured, pictures):
    folder = tmp_path / "evaluation" / "cnn-1" / "mnist"

    write_evaluation(folder, FACTS, measured, pictures, HISTORY)

    page, report = read(folder, read_page)
    assert_same_numbers(page, report)
    assert_stands_alone(page)
    assert {"accuracy.share", "accepted_wrong.high", "per_class.9.f1", "macro.f1", "ece", "nll", "mistakes"} <= set(
        page.numbers
    )
    assert report["accuracy"] == measured.accuracy.to_json()
    assert report["history"] == HISTORY
    assert "<b>mnist</b>" in page.text


@pytest.mark.slow
def test_every_chart_file_is_in_the_folder_of_its_page(tmp_path, read_page, measured, pictures):
    write_evaluation(tmp_path, FACTS, measured, pictures, HISTORY)

    page, _ = read(tmp_path, read_page)
    figures = sorted(path.stem for path in tmp_path.glob("*.png"))

    assert figures == [
        "classes", "confusion", "pairs", "reliability", "risk_coverage", "training_accuracy", "training_loss",
    ]  # fmt: skip
    drawn = {chart["aria-labelledby"].partition("-")[0] for chart in page.tags("svg")}
    assert drawn == set(figures) - {"confusion", "pairs"}
    assert all(picture["alt"] for picture in page.tags("img"))


@pytest.mark.slow
def test_the_numbers_of_the_confusion_matrix_open_their_pictures(tmp_path, read_page, measured, pictures):
    write_evaluation(tmp_path, FACTS, measured, pictures)

    page, report = read(tmp_path, read_page)
    opened = {section["id"] for section in page.tags("section") if section.get("class") == "card cell"}
    links = {link["href"][1:] for link in page.tags("a") if link["href"].startswith("#cell-")}
    numbers = {key: value for key, value in page.numbers.items() if key.startswith("confusion.")}

    assert links == opened
    assert links == {f"cell-{i}-{j}" for i in range(10) for j in range(10) if report["confusion"][i][j]}
    assert len(numbers) == len(links)


@pytest.mark.slow
def test_every_metric_of_an_evaluation_has_its_interval(tmp_path, read_page, measured, pictures):
    write_evaluation(tmp_path, FACTS, measured, pictures)

    page, _ = read(tmp_path, read_page)

    for key in (
        *(f"per_class.{digit}.{name}_range" for digit in range(10) for name in ("precision", "recall", "f1")),
        *("macro.f1_range", "weighted.precision_range", "ece_range", "nll_range", "confused.0.range"),
        *("accuracy", "accepted", "accepted_wrong"),
    ):
        assert {f"{key}.low", f"{key}.high"} <= set(page.numbers), key


@pytest.mark.slow
def test_the_surest_mistakes_are_listed(tmp_path, read_page, measured, pictures):
    write_evaluation(tmp_path, FACTS, measured, pictures)

    page, _ = read(tmp_path, read_page)

    captions = [picture["alt"] for picture in page.tags("img") if picture["alt"].startswith("Picture no.")]
    assert captions == [f"Picture no. {error.index}" for error in measured.errors[:40]]


@pytest.mark.slow
def test_measured_again_without_history_the_old_curves_are_gone(tmp_path, read_page, measured, pictures):
    write_evaluation(tmp_path, FACTS, measured, pictures, HISTORY)

    write_evaluation(tmp_path, FACTS, measured, pictures)

    page, report = read(tmp_path, read_page)
    assert not list(tmp_path.glob("training*.png"))
    assert "Training" not in page.words
    assert "history" not in report


@pytest.mark.slow
def test_a_model_without_a_mistake_has_a_page(tmp_path, read_page, pictures):
    perfect = evaluate_scores(np.arange(400) % 10, np.eye(11, dtype=np.float32)[np.arange(400) % 10], threshold=0.9)

    write_evaluation(tmp_path, FACTS, perfect, pictures)

    page, _ = read(tmp_path, read_page)
    assert "No digit was read as another one." in page.words
    assert not (tmp_path / "pairs.png").exists()


@pytest.mark.slow
def test_an_evaluation_is_found_by_the_list_of_reports(tmp_path, measured, pictures):
    write_evaluation(tmp_path / "evaluation" / "cnn-1" / "mnist", FACTS, measured, pictures)

    (entry,) = read_index(tmp_path).evaluations.entries

    assert (entry.model_id, entry.data, entry.accuracy) == ("cnn-1", "<b>mnist</b>", measured.accuracy)


@pytest.mark.slow
def test_the_page_of_a_pipeline_evaluation_shows_its_numbers_and_mistakes(tmp_path, read_page, thumbnail):
    rows = [make_row(i, f"{i}.png", 1, PageStatus.ACCEPTED, str(i % 10), 0.99, label=str(i % 10)) for i in range(1, 40)]
    rows += [
        make_row(40, "<i>.png", 1, PageStatus.ACCEPTED, "4", 0.99, label="9", preview_png=thumbnail("9")),
        make_row(41, "b.png", 1, PageStatus.REVIEW, "4", 0.3, reason=Reason.NOT_A_DIGIT, label="none"),
        make_row(42, "c.png", 1, PageStatus.REJECTED, reason=Reason.BLANK, label="3"),
        make_row(43, "d.png", 1, PageStatus.ACCEPTED, "3", 0.99),
    ]

    write_page_evaluation(tmp_path, FACTS, evaluate_pages(rows))

    page, report = read(tmp_path, read_page)
    assert_same_numbers(page, report)
    assert_stands_alone(page)
    assert {"accuracy.share", "empty.hits", "rejected_numbers", "unlabelled", "digits.9.pages", "reasons.blank"} <= set(
        page.numbers
    )
    assert {"ece", "ece_range.low", "digits.9.read_as.4", "digits.9.precision.high"} <= set(page.numbers)
    assert [link["href"] for link in page.tags("a") if link["href"].startswith("#cell")] == ["#cell-9-4"]
    assert "<i>.png" in page.text
    assert not page.tags("i")
    assert sorted(path.stem for path in tmp_path.glob("*.png")) == [
        "became", "confusion", "reliability", "risk_coverage",
    ]  # fmt: skip


@pytest.mark.slow
def test_numbers_of_several_digits_need_no_table_of_digits(tmp_path, read_page):
    rows = [make_row(1, "a.png", 1, PageStatus.ACCEPTED, "0650", 0.99, label="0650")]

    write_page_evaluation(tmp_path, FACTS, evaluate_pages(rows))

    page, _ = read(tmp_path, read_page)
    assert "Pages with one digit" not in page.words
    assert not (tmp_path / "confusion.png").exists()


def explore_split(name, pictures, digits):
    return DatasetSplit(name, pictures, pictures.astype(np.float32) / 255, digits)


@pytest.mark.slow
def test_the_explore_page_shows_the_numbers_of_report_json(tmp_path, read_page, pictures):
    digits = np.arange(400) % 10
    splits = [explore_split("train", pictures, digits), explore_split("test", pictures[:30], digits[:30])]
    facts = DatasetFacts("mnist", "/data/mnist.npz", "731c5ac6", "0.1.0", "2026-01-22T15:00:00Z")

    write_dataset_report(tmp_path / "explore" / "mnist", facts, splits)

    page, report = read(tmp_path / "explore" / "mnist", read_page)
    assert_same_numbers(page, report)
    assert_stands_alone(page)
    assert page.numbers["splits.1.counts.7"] == "3"
    assert "400 × 28 × 28" in page.words
    assert sorted(path.stem for path in (tmp_path / "explore" / "mnist").glob("*.png")) == [
        "classes", "examples", "ink_amounts", "ink_levels", "mean_and_spread",
    ]  # fmt: skip
    (entry,) = read_index(tmp_path).data.entries
    assert (entry.data, entry.pictures) == ("mnist", 430)


def test_a_split_is_described_as_counted_by_hand():
    stored = np.zeros((3, 28, 28), np.uint8)
    stored[0, :14] = 255
    stored[1, 0, 0] = 51

    described = describe_split(explore_split("all", stored, np.array([4, 4, 9])))

    assert described["pictures"] == 3
    assert described["shape"] == [3, 28, 28]
    assert described["stored"] == {"low": 0, "high": 255}
    assert described["ink"] == pytest.approx({"low": 0, "high": 1, "mean": (0.5 + 0.2 / 784) / 3, "blank": 1})
    assert described["counts"] == [0, 0, 0, 0, 2, 0, 0, 0, 0, 1]
    assert described["ink_per_digit"][4] == pytest.approx((0.5 + 0.2 / 784) / 2)
    assert described["ink_per_digit"][0] is None
    json.dumps(described, allow_nan=False)


def test_mean_and_spread_are_those_of_each_digit():
    ink = np.stack([np.full((28, 28), level, np.float32) for level in (0.0, 1.0, 0.25)])

    mean, spread = mean_and_std(ink, np.array([2, 2, 3]))

    assert (mean[2] == 0.5).all()
    assert (spread[2] == 0.5).all()
    assert (mean[3] == 0.25).all()
    assert (spread[3] == 0).all()
    assert (mean[0] == 0).all()


def test_full_ink_belongs_to_the_last_level():
    levels = count_ink_levels(np.array([[[0.0, 0.5, 1.0]]], np.float32))

    assert (levels[0], levels[10], levels[-1], sum(levels)) == (1, 1, 1, 3)


def test_a_data_set_without_pictures_is_refused(tmp_path):
    empty = explore_split("train", np.zeros((0, 28, 28), np.uint8), np.zeros(0, int))

    with pytest.raises(DataError, match="no pictures"):
        write_dataset_report(tmp_path, DatasetFacts("x", "y", "z", "0", "t"), [empty])
