"""The whole loop's review, small: `digitrec run`, `digitrec review` and a browser, over pictures that are drawn."""

import csv
from pathlib import Path

import pytest

from benchmarks import learning_loop, review_loop
from digitrec.settings import Settings
from tests.conftest import draw
from tests.review import browser

PICTURES = {"<b>.png": "42", "no digit.png": "none"} | {f"{i}.png": str(i % 2) for i in range(6)}


@pytest.mark.slow
@pytest.mark.skipif(browser.program() is None, reason="no Chromium is installed")
def test_a_script_reviews_exactly_one_half_through_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, settings = tmp_path / "data", Settings(workspace=tmp_path / "workspace")
    data.mkdir()
    for number, name in enumerate(PICTURES):
        (data / name).write_bytes(draw(number % 2, shift=number))
    with (data / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file", "label"), *PICTURES.items()])

    review_loop.review_half(settings, data, seed=2)  # draws the number and the one without a digit, too

    assert "through the page: 4 said, 4 passed by" in capsys.readouterr().out
    pages = learning_loop.pages_of(settings, PICTURES)
    with pytest.raises(SystemExit, match="4 entries differ"):
        review_loop.check(settings, pages)
