import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from digitrec.reports import charts
from digitrec.reports.evaluation import ClassScore, ConfusedPair, PictureResult
from digitrec.reports.reliability import reliability_bins, risk_coverage_curve
from digitrec.reports.statistics import Range, wilson

pytestmark = pytest.mark.slow  # matplotlib

DIGITS = [str(digit) for digit in range(10)]


@pytest.fixture(scope="module")
def handwriting():
    """(200, 28, 28) drawn digits with noise, 255 = ink, and what they are."""
    rng = np.random.default_rng(0)
    digits = np.arange(200) % 10
    pictures = rng.integers(0, 40, (200, 28, 28)).astype(np.uint8)
    for picture, digit in zip(pictures, digits, strict=True):
        cv2.putText(picture, str(digit), (5, 23), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2, cv2.LINE_AA)
    return pictures, digits


def drawings(pictures, digits):
    rng = np.random.default_rng(1)
    confidence, right = rng.random(500), rng.random(500) < 0.8
    pairs = [ConfusedPair(digit, (digit + 1) % 10, 20, 0.02, Range(0.01, 0.03)) for digit in range(10)]
    mistakes = [PictureResult(i, int(digit), (int(digit) + 1) % 10, 0.9) for i, digit in enumerate(digits)]
    within = Range(0.85, 1.0)
    scores = [
        ClassScore(digit, 20, 0.9 + digit / 100, 0.99 - digit / 100, 0.95, within, within, within)
        for digit in range(10)
    ]
    ink = pictures.astype(np.float32) / 255
    yield "confusion", charts.draw_confusion_matrix(rng.integers(0, 50, (10, 10)).tolist(), DIGITS, DIGITS)
    yield "no errors", charts.draw_confusion_matrix(np.diag([980] * 10).tolist(), DIGITS, DIGITS)
    yield "reliability", charts.draw_reliability_diagram(reliability_bins(confidence, right))
    yield "all sure", charts.draw_reliability_diagram(reliability_bins(np.ones(9), np.ones(9, bool)))
    yield "risk", charts.draw_risk_coverage(risk_coverage_curve(confidence, right), wilson(400, 500), wilson(4, 400))
    yield (
        "no threshold",
        charts.draw_risk_coverage(risk_coverage_curve(confidence, right), wilson(0, 500), wilson(0, 0)),
    )
    yield "classes", charts.draw_class_scores(scores)
    yield "perfect", charts.draw_class_scores([ClassScore(3, 9, 1.0, 1.0, 1.0), ClassScore(4, 0, None, None, None)])
    yield "loss", charts.draw_training_curve({"loss": [0.4, 0.2], "val_loss": [0.3, 0.25]}, "loss")
    yield "one epoch", charts.draw_training_curve({"accuracy": [0.9]}, "accuracy")
    yield "pairs", charts.draw_confused_pairs(pairs, mistakes, pictures)
    yield "examples", charts.draw_examples(pictures, digits)
    yield "few examples", charts.draw_examples(pictures[:3], digits[:3])
    yield "mean", charts.draw_mean_and_std(ink[:10], ink[10:20])
    yield "counts", charts.draw_grouped_bars(DIGITS, {"train": [6000] * 10, "test": [1000] * 10})
    line = charts.Series("share", [(0.9, (0.8, 0.95)), (None, None), (0.8, (0.7, 0.9)), (0.5, None)])
    yield "over time", charts.draw_time_series(["a", "b", "c", "d"], [line], "share accepted", 0.2)
    yield "over no time", charts.draw_time_series(["a"], [charts.Series("x", [(None, None)])], "nothing")
    yield "levels", charts.draw_ink_histogram([10_000_000, *range(30), 500_000])
    yield "amounts", charts.draw_ink_amounts(ink.mean(axis=(1, 2)))


def test_every_figure_is_a_png_of_sensible_size(handwriting):
    for name, png in drawings(*handwriting):
        drawn = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
        assert drawn is not None, name
        assert len(png) < 150_000, name
        assert 200 < drawn.shape[0] < 1200, name
        assert 400 < drawn.shape[1] < 1700, name
        assert drawn.min() < 100 < drawn.max(), f"{name} is empty"


def test_the_same_numbers_give_the_same_bytes(handwriting):
    pictures, digits = handwriting

    def draw():
        return charts.draw_examples(pictures, digits), charts.draw_grouped_bars(DIGITS, {"all": [1, 2] * 5})

    assert draw() == draw()


def test_figures_leave_nothing_open_and_need_no_display():
    script = """
import matplotlib
before = dict(matplotlib.rcParams)
from digitrec.reports import charts
assert charts.draw_confusion_matrix([[1, 2], [0, 3]], ["0", "1"], ["0", "1"])
assert charts.draw_grouped_bars(["0", "1"], {"all": [1, 2]})
import matplotlib.pyplot as plt
print(plt.get_fignums(), [key for key in before if before[key] != matplotlib.rcParams[key] and key != "backend"])
"""
    environment = {name: value for name, value in os.environ.items() if name not in {"DISPLAY", "WAYLAND_DISPLAY"}}

    left = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)

    assert left.stdout.strip() == "[] []"


def test_the_errors_are_shaded_and_the_right_answers_are_not():
    def shaded(table):
        png = charts.draw_confusion_matrix(table, ["0", "1"], ["0", "1"])
        blue, green, red = np.moveaxis(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).astype(int), -1, 0)
        return ((blue > green + 20) & (blue > red + 60)).mean()

    assert shaded([[5000, 40], [0, 5000]]) > 0.05
    assert shaded([[5000, 0], [0, 5000]]) == 0
