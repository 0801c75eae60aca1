"""The 28 x 28 of a bare digit stay as they are, so that older models of this preprocessing version still answer.

`tests/golden/bare_digits.png` holds 1,000 crops, 40 side by side and 25 below one another, made by the classical
segmentation that the page path replaced. It may be rewritten only with a new `types.PREPROCESSING_VERSION`.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from digitrec.arrays import Picture
from digitrec.images import decode
from digitrec.training.characters import crop_characters
from digitrec.training.synthetic import samples
from digitrec.types import Limits

pytestmark = pytest.mark.slow

REFERENCE = Path(__file__).parents[1] / "golden" / "bare_digits.png"
FACES = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
)
_COUNT, _SEED = 1000, 19
_MAX_MEAN_DIFF = 0.02
"""Largest mean difference of a crop that counts as the same: versions of OpenCV and libjpeg differ in rounding."""
_MAX_DIFFERENT = 20
"""Largest number of crops that may differ by more: of large pages, which are read in half the size."""


def clean_digit(digit: int, face: int, thickness: int) -> Picture:
    """Return a printed digit, (28, 28), 0 = paper, 255 = ink."""
    enlarged = np.zeros((112, 112), np.uint8)
    cv2.putText(enlarged, str(digit), (26, 92), face, 3, 255, thickness, cv2.LINE_AA)
    return np.asarray(cv2.resize(enlarged, (28, 28), interpolation=cv2.INTER_AREA), np.uint8)


def scans() -> Iterator[Picture]:
    """Return scans of single digits on plain paper without dirt: (h, w) or (h, w, 3)."""
    digits = np.stack([clean_digit(digit, face, thick) for face in FACES for thick in (7, 10) for digit in range(10)])
    labels = np.tile(np.arange(10), len(digits) // 10)
    for _, content, _ in samples.generate_samples(digits, labels, _COUNT, _SEED):
        _, sheets = decode.decode_pages(content, Limits())
        (sheet,) = sheets
        picture = sheet.full_detail()
        assert isinstance(picture, np.ndarray)
        yield picture


def test_a_bare_digit_has_the_same_crop_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "PARAMS", replace(samples.PARAMS, papers=(("plain", 1.0),), dirt=0.0))
    sheet = cv2.imread(str(REFERENCE), cv2.IMREAD_GRAYSCALE)
    assert sheet is not None
    expected = sheet.reshape(25, 28, 40, 28).transpose(0, 2, 1, 3).reshape(_COUNT, 28, 28) / 255

    different = []
    for index, picture in enumerate(scans()):
        crops = crop_characters(picture)
        if len(crops) != 1 or np.abs(crops[0].ink - expected[index]).mean() > _MAX_MEAN_DIFF:
            different.append(index)

    assert len(different) <= _MAX_DIFFERENT, different
