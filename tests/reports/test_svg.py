"""Charts as SVG: well formed, inside their frame, without overlapping labels, and a sentence where there is nothing."""

from itertools import pairwise
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from digitrec.reports.chart import Chart, Series, build_bar_chart
from digitrec.reports.evaluation import ClassScore
from digitrec.reports.evaluation_charts import (
    chart_class_scores,
    chart_reliability,
    chart_risk_coverage,
    chart_training,
)
from digitrec.reports.reliability import reliability_bins, risk_coverage_curve
from digitrec.reports.statistics import Range, wilson
from digitrec.reports.svg import HEIGHT, WIDTH, draw_svg

DIGITS = [str(digit) for digit in range(10)]


def charts() -> dict[str, Chart]:
    """Every kind of chart."""
    rng = np.random.default_rng(1)
    confidence, right = rng.random(500), rng.random(500) < 0.8
    curve = risk_coverage_curve(confidence, right)
    within = Range(0.85, 1.0)
    scores = [
        ClassScore(digit, 20, 0.9 + digit / 100, 0.99 - digit / 100, 0.95, within, within, within)
        for digit in range(10)
    ]
    ranges = [(0.8, 0.95), None, (0.7, 0.9), None]
    share = Series("share", "c1", [0.9, None, 0.8, 0.5], "line", ranges=ranges)
    days = [f"11-{day:02}" for day in range(1, 31)]
    return {
        "reliability": chart_reliability(reliability_bins(confidence, right)),
        "all sure": chart_reliability(reliability_bins(np.ones(9), np.ones(9, bool))),
        "risk": chart_risk_coverage(curve, wilson(400, 500), wilson(4, 400)),
        "no threshold": chart_risk_coverage(curve, wilson(0, 500), wilson(0, 0)),
        "classes": chart_class_scores(scores),
        "perfect": chart_class_scores([ClassScore(3, 9, 1.0, 1.0, 1.0), ClassScore(4, 0, None, None, None)]),
        "loss": chart_training({"loss": [0.4, 0.2], "val_loss": [0.3, 0.25]}, "loss"),
        "one epoch": chart_training({"accuracy": [0.9]}, "accuracy"),
        "over time": Chart("t", "Share", [share], list("abcd"), unit="share", limit=0.2),
        "levels": Chart("l", "Ink", [Series("n", "c1", [10_000_000, *range(30), 500])], [*days, "a", "b"], is_log=True),
        "stacked": build_bar_chart("mix", "Mix", [(digit, {"accepted": 900, "review": 12_000}) for digit in DIGITS]),
        "many days": build_bar_chart("days", "Days", [(day, {"accepted": 300, "rejected": 1}) for day in days]),
    }


def shapes(chart: Chart, tag: str) -> list[ET.Element]:
    return list(ET.fromstring(draw_svg(chart)).iter(tag))


@pytest.mark.parametrize("name", charts())
def test_a_chart_is_well_formed_named_and_inside_its_frame(name: str) -> None:
    chart = charts()[name]

    drawn = ET.fromstring(draw_svg(chart))

    title, description = drawn[0], drawn[1]
    assert (title.text, description.text) == (chart.title, chart.description)
    assert drawn.attrib["aria-labelledby"] == f"{title.attrib['id']} {description.attrib['id']}"
    for shape in drawn.iter():
        for key in ("x", "x1", "x2", "cx"):
            assert 0 <= float(shape.attrib.get(key, 0)) <= WIDTH
        for key in ("y", "y1", "y2", "cy"):
            assert 0 <= float(shape.attrib.get(key, 0)) <= HEIGHT
    assert list(drawn.iter("rect")) + list(drawn.iter("circle")) + list(drawn.iter("polyline"))


@pytest.mark.parametrize("name", charts())
def test_labels_do_not_overlap(name: str) -> None:
    texts = [shape for shape in shapes(charts()[name], "text") if shape.attrib.get("class", "") in {"", "value"}]

    rows: dict[str, list[tuple[float, float]]] = {}
    for text in texts:
        x, half = float(text.attrib["x"]), len(text.text or "") * 6.4 / 2
        rows.setdefault(text.attrib["y"], []).append((x - half, x + half))

    for ends in rows.values():
        ordered = sorted(ends)
        assert all(left[1] <= right[0] + 0.5 for left, right in pairwise(ordered))


def test_each_dot_of_two_series_is_named_by_its_label() -> None:
    scores = [ClassScore(digit, 20, 0.9, 0.95, 0.92) for digit in range(10)]

    names = [dot[0].text.partition(":")[0] for dot in shapes(chart_class_scores(scores), "circle")]
    described = chart_class_scores(scores).description

    assert names == [*DIGITS, *DIGITS]
    assert described.startswith("precision: 0 90 %, 1 90 %, 2 90 %")


def test_the_area_of_a_reliability_dot_is_its_count() -> None:
    confidence = np.array([0.5] * 1 + [0.9] * 400)

    dots = shapes(chart_reliability(reliability_bins(confidence, np.ones(401, bool))), "circle")

    small, large = (float(dot.attrib["r"]) for dot in dots)
    assert small < 3 < 10 < large
    assert not shapes(chart_reliability(reliability_bins(confidence, np.ones(401, bool))), "polyline")


def test_the_threshold_chart_begins_where_errors_begin() -> None:
    confidence = np.linspace(0.5, 1, 1000)
    right = confidence > 0.55  # the lowest tenth is wrong

    chart = chart_risk_coverage(risk_coverage_curve(confidence, right), wilson(880, 1000), wilson(0, 880))

    assert chart.x_range == (0.8, 1.0)
    assert chart.y_range is not None
    assert 0.1 < chart.y_range[1] < 0.15


def test_without_an_error_there_is_a_sentence_instead_of_a_frame() -> None:
    chart = chart_risk_coverage(risk_coverage_curve(np.ones(9), np.ones(9, bool)), wilson(9, 9), wilson(0, 9))

    assert chart.is_empty
    assert chart.empty == "No answer that could be accepted is wrong, so the error rate is 0 at every threshold."


def test_a_label_is_text_in_the_chart() -> None:
    name = '"><script>alert(1)</script>'

    drawn = draw_svg(Chart("n", name, [Series(name, "c1", [1]), Series("b", "c2", [2])], [name]))

    assert "<script" not in drawn
    assert {element.tag for element in ET.fromstring(drawn).iter()} <= {"svg", "title", "desc", "text", "line", "rect"}
