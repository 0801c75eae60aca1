"""Pieces of a mask, against what SciPy says of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from scipy import ndimage

from digitrec.recognition.components import label_components

SIDES = st.integers(1, 12)


@given(stn.arrays(np.bool_, st.tuples(SIDES, SIDES)))
def test_boxes_and_areas_of_all_pieces(mask: np.ndarray) -> None:
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    expected = [
        (across.start, down.start, across.stop, down.stop, int((labels == number).sum()))
        for number, (down, across) in enumerate(ndimage.find_objects(labels), start=1)
    ]

    components = label_components(mask)

    assert len(components.boxes) == len(components.areas) == count + 1
    actual = [
        (*box, area) for box, area in zip(components.boxes[1:].tolist(), components.areas[1:].tolist(), strict=True)
    ]
    assert sorted(actual) == sorted(expected)
    assert components.areas[0] == 0
    np.testing.assert_array_equal(components.pixel_indices, np.flatnonzero(mask))
    np.testing.assert_array_equal(components.pixel_labels, components.labels[mask])
