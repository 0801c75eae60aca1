"""Pictures with known digits and boxes.

`tests/golden/<case>/` holds `picture.*`, its digits side by side as `ink.png` (28 high) and `boxes.csv`. A new case is
a folder with a picture in it. `make golden` (DIGITREC_GOLDEN=1) writes the expected files; the diff is for a person
to read. A change here is a change of what the network sees: see `types.PREPROCESSING_VERSION`.
"""

import csv
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from digitrec.arrays import PageResult
from digitrec.types import Limits
from tests.drawing import read_pages

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path for path in GOLDEN.iterdir() if path.is_dir())
HEADER = ["page", "reason", "index", "x", "y", "width", "height"]

_MAX_MEAN_DIFF, _MAX_BOX_DIFF_PX = 0.01, 1
"""Versions of OpenCV and libjpeg differ in rounding."""


def pages_of(case: Path) -> list[PageResult]:
    (picture,) = case.glob("picture.*")
    return read_pages(picture.read_bytes(), Limits())


def ink_row(pages: list[PageResult]) -> np.ndarray:
    """Return all digits side by side: (28, 28 * n), 0 = paper, 255 = ink; one blank if none."""
    digits = [np.rint(ink * 255).astype(np.uint8) for page in pages for ink in page.ink]
    return np.hstack(digits) if digits else np.zeros((28, 28), np.uint8)


def box_rows(pages: list[PageResult]) -> list[list[str]]:
    rows = [HEADER]
    for page in pages:
        reason = page.reason or ""
        rows += [
            [str(page.number), reason, str(i), str(box.x), str(box.y), str(box.width), str(box.height)]
            for i, box in enumerate(page.boxes)
        ] or [[str(page.number), reason, "", "", "", "", ""]]
    return rows


def write_expected(case: Path, pages: list[PageResult]) -> None:
    assert cv2.imwrite(str(case / "ink.png"), ink_row(pages))
    with (case / "boxes.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(box_rows(pages))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_golden_picture_gives_its_ink_and_boxes(case: Path) -> None:
    pages = pages_of(case)
    if os.environ.get("DIGITREC_GOLDEN") == "1":
        write_expected(case, pages)

    with (case / "boxes.csv").open(newline="", encoding="utf-8") as file:
        expected_boxes = list(csv.reader(file))
    actual_boxes = box_rows(pages)
    assert [row[:3] for row in actual_boxes] == [row[:3] for row in expected_boxes]
    for actual, expected in zip(actual_boxes[1:], expected_boxes[1:], strict=True):
        differences = [abs(int(a) - int(b)) for a, b in zip(actual[3:], expected[3:], strict=True) if b]
        assert max(differences, default=0) <= _MAX_BOX_DIFF_PX
    expected_ink = cv2.imread(str(case / "ink.png"), cv2.IMREAD_GRAYSCALE)
    assert np.abs(ink_row(pages) / 255 - expected_ink / 255).mean() <= _MAX_MEAN_DIFF


def test_golden_has_at_least_twelve_cases() -> None:
    assert len(CASES) >= 12
