"""One page of a document, without decoding the others."""

import pytest
from PIL import Image

from digitrec.errors import RejectedImage
from digitrec.images import decode
from digitrec.types import Reason
from tests.drawing import LIMITS, saved

SHADES = (40, 120, 200)
PAGES = [Image.new("L", (60 + shade, 90), shade) for shade in SHADES]


@pytest.mark.parametrize("kind", ["TIFF", pytest.param("PDF", marks=pytest.mark.slow)])
def test_a_page_decoded_alone_equals_the_page_decoded_with_others(kind: str) -> None:
    data = saved(PAGES[0], kind, save_all=True, append_images=PAGES[1:])
    _, every = decode.decode_pages(data, LIMITS)

    for page in every:
        alone = decode.decode_page(data, LIMITS, page.number)

        assert (alone.number, alone.width, alone.height) == (page.number, page.width, page.height)
        assert not isinstance(alone.picture, RejectedImage)
        assert (alone.picture == page.picture).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", pytest.param("PDF", marks=pytest.mark.slow)])
def test_a_missing_page_is_reported(kind: str) -> None:
    with pytest.raises(RejectedImage) as why:
        decode.decode_page(saved(PAGES[0], kind), LIMITS, 7)

    assert (why.value.reason, why.value.detail) == (Reason.TRUNCATED, "there is no page 7")


def test_a_page_of_no_picture_is_rejected() -> None:
    with pytest.raises(RejectedImage) as why:
        decode.decode_page(b"no picture", LIMITS, 1)

    assert why.value.reason is Reason.NOT_AN_IMAGE
