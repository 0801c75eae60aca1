"""What is shown of an answer: the original, wherever it may not be led astray, else the small copy, else nothing."""

import io
import os
from contextlib import closing

import cv2
import numpy as np
import pytest
from PIL import Image

from digitrec.storage.ledger import Ledger
from digitrec.types import Reason, TableRow
from tests.conftest import draw
from tests.review.conftest import BATCH, Answer, Opens, Pages, Person


def size_of(person: Person, view: str, row: int = 1) -> tuple[int, int]:
    answer = person.get(f"/picture/{view}/{BATCH}/{row}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-original"] == "1"
    return Image.open(io.BytesIO(answer.content)).size


def keep_preview(pages: Pages) -> bytes:
    _, png = cv2.imencode(".png", np.full((30, 20), 99, np.uint8))
    with closing(Ledger.open(pages.settings.ledger)) as ledger, ledger.transaction():
        ledger.query("UPDATE readings SET preview = ?", (png.tobytes(),))
    return png.tobytes()


def test_a_picture_is_shown_as_it_is_and_small(opened: Opens) -> None:
    photos = [bytes(cv2.imencode(".jpg", np.zeros(size, np.uint8))[1]) for size in ((3000, 2000), (330, 220))]
    person = opened([Answer(), *(Answer(content=photo) for photo in photos)]).person()

    assert size_of(person, "whole") == (60, 80)
    assert size_of(person, "whole", row=2) == (667, 1000)
    assert size_of(person, "small", row=2) == size_of(person, "small", row=3) == (117, 176)


def test_a_photo_is_turned_as_the_boxes_are(opened: Opens) -> None:
    photo = io.BytesIO()
    turned = Image.new("L", (80, 60), 200)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(photo, "JPEG", exif=exif)

    assert size_of(opened([Answer(content=photo.getvalue())]).person(), "whole") == (60, 80)


def test_the_second_page_of_a_document_is_its_own_picture(opened: Opens) -> None:
    document = io.BytesIO()
    Image.new("L", (60, 80), 10).save(document, "TIFF", save_all=True, append_images=[Image.new("L", (60, 80), 200)])
    pages = opened([Answer(content=document.getvalue())])
    with closing(Ledger.open(pages.settings.ledger)) as ledger, ledger.transaction():
        ledger.query("UPDATE readings SET page = 2")

    answer = pages.person().get(f"/picture/whole/{BATCH}/1")

    assert np.asarray(Image.open(io.BytesIO(answer.content)).convert("L")).mean() == pytest.approx(200, abs=2)


@pytest.mark.parametrize("how", ["removed", "a link", "in a linked folder", "another file", "a pipe"])
def test_only_the_original_itself_is_shown_else_the_small_copy(opened: Opens, how: str) -> None:
    pages = opened([Answer(name="monday/a.png")])
    preview = keep_preview(pages)
    place = pages.settings.outbox / "done" / BATCH / "monday" / "a.png"
    same = pages.settings.workspace / "same.png"
    same.write_bytes(place.read_bytes())
    place.unlink()
    if how == "a link":
        place.symlink_to(same)
    elif how == "in a linked folder":
        place.parent.rmdir()
        same.rename(pages.settings.workspace / "a.png")
        place.parent.symlink_to(pages.settings.workspace)
    elif how == "another file":
        place.write_bytes(draw(3))
    elif how == "a pipe":
        os.mkfifo(place)

    answer = pages.person().get(f"/picture/whole/{BATCH}/1")

    assert (answer.status_code, answer.headers["x-original"], answer.content) == (200, "0", preview)


@pytest.mark.parametrize("place", ["", "outbox", "outbox/../secret.png", "outbox/./x", "/etc/passwd", "inbox/a.png"])
def test_a_place_outside_the_outbox_is_never_opened(opened: Opens, place: str) -> None:
    pages = opened([Answer(content=b"secret")])
    (pages.settings.workspace / "secret.png").write_bytes(b"secret")
    with closing(Ledger.open(pages.settings.ledger)) as ledger, ledger.transaction():
        ledger.query("UPDATE claims SET place = ?", (place.encode(),))

    answer = pages.person().get(f"/picture/whole/{BATCH}/1")

    assert answer.status_code == 404
    assert answer.json()["problem"] == "the original is not archived"


def test_what_cannot_be_decoded_says_why(opened: Opens) -> None:
    person = opened([Answer("", None, reason=Reason.NOT_AN_IMAGE, content=b"no picture")]).person()

    answer = person.get(f"/picture/whole/{BATCH}/1")

    assert (answer.status_code, answer.json()["problem"]) == (404, "the content is not a picture")


def test_digits_that_are_small_on_a_large_page_are_shown_near(opened: Opens) -> None:
    from dataclasses import replace

    from digitrec.review.page_images import find_zoom_box
    from digitrec.types import Box, Digit, Number, PageReading, PageStatus

    shares = (0.1,) * 10
    digits = (Digit(Box(100, 200, 30, 40), shares), Digit(Box(150, 200, 30, 50), shares))
    number = Number(1, 1, Box(100, 200, 80, 50), "77", digits)
    reading = PageReading(1, PageStatus.REVIEW, "77", 0.5, width=2000, height=1000, numbers=(number,))
    row = TableRow(BATCH, 1, "a.png", "", 0, "", "", "", reading)

    assert find_zoom_box(row) == Box(50, 150, 180, 150)
    assert find_zoom_box(replace(row, reading=replace(reading, width=200, height=260))) is None, (
        "they are large on this page"
    )
    assert find_zoom_box(replace(row, reading=replace(reading, numbers=()))) is None


def test_a_hostile_file_name_is_nothing_but_a_name(opened: Opens) -> None:
    name = "<img src=x onerror=alert(1)>.png"
    person = opened([Answer(name=name, confidence=0.5)]).person()

    assert person.listed()["entries"][0]["file"] == name
    for address in ("/", "/review", "/one", "/grid"):
        answer = person.get(address, params={"file": name, "text": ""})
        assert "<img" not in answer.text
        assert answer.headers["content-type"].startswith("text/html")
    listed = person.get("/api/list")
    assert listed.headers["content-type"] == "application/json"
