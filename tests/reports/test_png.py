import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from digitrec.reports import png
from digitrec.reports.chart import Chart, Series
from digitrec.reports.thumbnails import join_pictures
from tests.reports.test_svg import charts

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
    counts = [6000, 1000] * 5
    yield "confusion", png.draw_confusion_matrix(rng.integers(0, 50, (10, 10)).tolist(), DIGITS, DIGITS)
    yield "no errors", png.draw_confusion_matrix(np.diag([980] * 10).tolist(), DIGITS, DIGITS)
    for name, chart in charts().items():
        yield name, png.draw_chart(chart)
    strips = {str(digit): join_pictures(list(255 - pictures[digits == digit][:14])) for digit in range(10)}
    yield "examples", png.draw_strips(strips)
    few = [join_pictures(list(255 - pictures[:count])) for count in (12, 7, 3, 2, 1)]
    yield "pairs", png.draw_strips({f"{i} as 8": strip for i, strip in enumerate(few)})
    yield "counts", png.draw_chart(Chart("n", "Counts", [Series("a", "c1", counts), Series("b", "c2", counts)], DIGITS))


def test_every_figure_is_a_png_of_sensible_size(handwriting):
    for name, picture in drawings(*handwriting):
        drawn = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
        assert drawn is not None, name
        assert len(picture) < 150_000, name
        assert 200 < drawn.shape[0] < 1200, name
        assert 400 < drawn.shape[1] < 1700, name
        assert drawn.min() < 100 < drawn.max(), f"{name} is empty"


def test_the_same_numbers_give_the_same_bytes(handwriting):
    pictures, _ = handwriting
    strip = join_pictures(list(255 - pictures[:5]))

    def draw():
        return png.draw_strips({"all": strip}), png.draw_chart(charts()["reliability"])

    assert draw() == draw()


def test_figures_leave_nothing_open_and_need_no_display():
    script = """
import matplotlib
before = dict(matplotlib.rcParams)
from digitrec.reports import png
from digitrec.reports.chart import Chart, Series
assert png.draw_confusion_matrix([[1, 2], [0, 3]], ["0", "1"], ["0", "1"])
assert png.draw_chart(Chart("n", "Counts", [Series("all", "c1", [1, 2])], ["0", "1"]))
import matplotlib.pyplot as plt
print(plt.get_fignums(), [key for key in before if before[key] != matplotlib.rcParams[key] and key != "backend"])
"""
    environment = {name: value for name, value in os.environ.items() if name not in {"DISPLAY", "WAYLAND_DISPLAY"}}

    left = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)

    assert left.stdout.strip() == "[] []"


def test_the_errors_are_shaded_and_the_right_answers_are_not():
    def shaded(table):
        drawn = png.draw_confusion_matrix(table, ["0", "1"], ["0", "1"])
        blue, green, red = np.moveaxis(
            cv2.imdecode(np.frombuffer(drawn, np.uint8), cv2.IMREAD_COLOR).astype(int), -1, 0
        )
        return ((blue > green + 20) & (blue > red + 60)).mean()

    assert shaded([[5000, 40], [0, 5000]]) > 0.05
    assert shaded([[5000, 0], [0, 5000]]) == 0
