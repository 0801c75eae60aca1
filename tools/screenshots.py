"""Photographs the review pages for docs/: `python -m tools.screenshots`. Needs Chromium; takes about a minute.

The pictures are drawn by `digitrec samples`, and read by the model in use.
"""

import io
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from digitrec.app import models
from digitrec.app.run import run_once
from digitrec.settings import Settings
from tests.review import browser
from tools.container import ROOT

PICTURES = ROOT / "docs" / "pictures"
_DESKTOP, _PHONE = {"width": 1180, "height": 760}, {"width": 360, "height": 720}
_GAP = 24
_MOST_BYTES = 150_000


def main() -> None:
    """Read samples, open the pages, photograph them."""
    with tempfile.TemporaryDirectory() as folder, browser.chromium() as chromium:
        settings = Settings(workspace=Path(folder), settle_s=0.0, run_wait_s=0.0)
        _read_samples(settings)
        with browser.served(settings.workspace, "--reviewer", "Anna", "--audit", "20") as address:
            context = chromium.new_context(viewport=_DESKTOP, reduced_motion="reduce")
            tab = context.new_page()
            tab.goto(address)
            root = address.partition("/enter")[0]
            for name, picture in _photographs(tab, root).items():
                _write(PICTURES / f"{name}.png", picture)


def _read_samples(settings: Settings) -> None:
    models.write_samples(settings.inbox, count=180, seed=6)
    (settings.inbox / "labels.csv").unlink()
    paper = np.full((1400, 1100, 3), (222, 215, 205), np.uint8)
    cv2.putText(paper, "39287", (330, 700), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 3.2, (60, 40, 30), 6, cv2.LINE_AA)
    cv2.imwrite(str(settings.inbox / "meter 12.jpg"), paper)
    run_once(settings)


def _photographs(tab: Any, root: str) -> dict[str, Image.Image]:
    made = {}
    tab.goto(f"{root}/one?status=review")
    tab.wait_for_selector("#frame image")
    tab.keyboard.press("ArrowRight")  # the first one is a blot
    tab.wait_for_selector("#enter >> text=/Confirm: [0-9]/")
    tab.wait_for_timeout(500)
    made["review-one"] = _photograph(tab)
    tab.goto(f"{root}/grid?state=any")
    tab.wait_for_selector("#enter >> text=Confirm")
    for key in (*["ArrowRight"] * 4, "9", "ArrowRight", "ArrowRight", "Space"):
        tab.keyboard.press(key)
    made["review-grid"] = _photograph(tab)
    tab.emulate_media(color_scheme="dark")
    tab.goto(f"{root}/try")
    _draw_a_seven(tab)
    tab.wait_for_selector(".result .reads", timeout=60_000)
    made["review-try"] = _photograph(tab, full_page=True)
    tab.emulate_media(color_scheme="light")
    tab.set_viewport_size(_PHONE)
    phones = []
    for path, ready in (("/review", ".batches"), ("/one?status=review", "#frame image"), ("/grid?text=7", ".tile img")):
        tab.goto(root + path)
        tab.wait_for_selector(ready)
        phones.append(_photograph(tab))
    made["review-phone"] = _join_horizontally(phones)
    return made


def _draw_a_seven(tab: Any) -> None:
    box = tab.locator("canvas").bounding_box()
    points = [
        (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in ((0.4, 0.2), (0.6, 0.2), (0.48, 0.8))
    ]
    tab.mouse.move(*points[0])
    tab.mouse.down()
    for point in points[1:]:
        tab.mouse.move(*point, steps=10)
    tab.mouse.up()
    tab.click("#read")


def _photograph(tab: Any, *, full_page: bool = False) -> Image.Image:
    tab.wait_for_timeout(700)  # pictures that are still on their way
    return Image.open(io.BytesIO(tab.screenshot(full_page=full_page))).convert("RGB")


def _join_horizontally(pictures: list[Image.Image]) -> Image.Image:
    width = sum(picture.width for picture in pictures) + _GAP * (len(pictures) - 1)
    sheet = Image.new("RGB", (width, max(picture.height for picture in pictures)), "white")
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width + _GAP
    return sheet


def _write(path: Path, picture: Image.Image) -> None:
    for colours in (256, 128, 64, 32):
        data = io.BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(data, "PNG", optimize=True)
        if data.tell() <= _MOST_BYTES:
            break
    path.write_bytes(data.getvalue())
    print(f"{path.relative_to(ROOT)}: {data.tell():,} bytes, {colours} colours")


if __name__ == "__main__":
    main()
