"""Pictures of which it is known what becomes of them.

`tests/golden/<case>/` holds `picture.*`, its digits side by side as `ink.png` (28 high) and `boxes.csv`. A new case is
a folder with a picture in it. `make golden` (DIGITREC_GOLDEN=1) writes the expected files; the diff is for a person
to read. A change here is a change of what the network sees: see `recipe.RECIPE`.
"""

import csv
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from digitrec.arrays import PageResult
from digitrec.recognition.page import segment_file
from digitrec.types import Limits

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path for path in GOLDEN.iterdir() if path.is_dir())
HEADER = ["page", "reason", "index", "x", "y", "width", "height"]

_MEAN_OFF, _BOX_OFF = 0.01, 1
"""Other versions of OpenCV and libjpeg round otherwise."""


def pages_of(case: Path) -> list[PageResult]:
    (picture,) = case.glob("picture.*")
    return segment_file(picture.read_bytes(), Limits())


def ink_row(pages: list[PageResult]) -> np.ndarray:
    """All digits side by side: (28, 28 * n), 0 = paper, 255 = ink; one blank if there are none."""
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
    found_boxes = box_rows(pages)
    assert [row[:3] for row in found_boxes] == [row[:3] for row in expected_boxes]
    for found, expected in zip(found_boxes[1:], expected_boxes[1:], strict=True):
        off = [abs(int(a) - int(b)) for a, b in zip(found[3:], expected[3:], strict=True) if b]
        assert max(off, default=0) <= _BOX_OFF
    expected_ink = cv2.imread(str(case / "ink.png"), cv2.IMREAD_GRAYSCALE)
    assert np.abs(ink_row(pages) / 255 - expected_ink / 255).mean() <= _MEAN_OFF


def test_there_are_golden_pictures() -> None:
    assert len(CASES) >= 12
