"""Make the pictures of the documentation: `make docs-pictures` (`python -m tools.pictures`); needs Chromium.

Pages, tables and reports come from the code and the model in use, so the pictures show the current state of both.
"""

import io
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openpyxl
from PIL import Image

from digitrec.app import models
from digitrec.app.reports import write_all_reports
from digitrec.app.run import run_once
from digitrec.exchange.export import Selection, export_tables
from digitrec.exchange.formats import TableFormat
from digitrec.pipeline import workspace
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.settings import Settings
from digitrec.training.datasets import mnist
from digitrec.training.synthetic.pages.demo_table import DemoTableParams, draw_demo_table
from tests.reports.filled import filled
from tests.review import browser
from tools.container import ROOT

PICTURES = ROOT / "docs" / "pictures"
MARKS = DemoTableParams(
    texts=(
        ("14", "9", "23", "7"),
        ("8", "12", "40", "16"),
        ("31", "5", "28", "3"),
        ("10", "17", "6", "25"),
        ("2", "38", "19", "11"),
    ),
    doubtful=((1, 2, "46"), (3, 3, "23")),
    column_px=120,
)
"""The table of the README."""
_DESKTOP, _PHONE = {"width": 1180, "height": 760}, {"width": 360, "height": 720}
_GAP = 24
_MOST_BYTES = 150_000


def main() -> None:
    """Make every picture and write it to docs/pictures/."""
    with tempfile.TemporaryDirectory() as folder, browser.chromium() as chromium:
        for make in (_photograph_table, _photograph_review, _photograph_reports):
            for name, picture in make(chromium, Path(folder) / make.__name__):
                _write(PICTURES / f"{name}.png", picture)


def _photograph_table(chromium: Any, folder: Path) -> Iterator[tuple[str, Image.Image]]:
    """Yield the photo of a table, the same table as a spreadsheet, and the review of its doubtful numbers."""
    settings = Settings(workspace=folder, settle_s=0.0, run_wait_s=0.0)
    workspace.init_folders(settings)
    photo, _ = draw_demo_table(mnist.load_mnist_200().train, MARKS)
    (settings.inbox / "marks.jpg").write_bytes(photo)
    run_once(settings)
    with open_ledgers(settings) as ledgers:
        export_tables(settings, ledgers, TableFormat.XLSX, folder / "marks.xlsx", Selection())
    yield "marks-photo", Image.open(io.BytesIO(photo)).convert("RGB")
    tab = chromium.new_context(viewport={"width": 600, "height": 400}).new_page()
    tab.set_content(_spreadsheet(folder / "marks.xlsx"))
    yield "marks-sheet", _crop(tab, "table")
    with browser.served(folder, "--reviewer", "Anna") as address:
        tab = chromium.new_context(viewport={"width": 900, "height": 640}, reduced_motion="reduce").new_page()
        tab.goto(address)
        tab.goto(f"{address.partition('/enter')[0]}/one?status=review")
        tab.wait_for_selector("#frame image")
        yield "marks-review", _photograph(tab)


def _spreadsheet(path: Path) -> str:
    """Return a workbook as HTML in the style of a spreadsheet program, with the values and fill colors of its cells."""
    sheet = openpyxl.load_workbook(path).worksheets[0]
    head = "".join(f"<th>{letter}</th>" for letter in "ABCDEFGHIJ"[: sheet.max_column])
    rows = []
    for number, row in enumerate(sheet.iter_rows(), 1):
        cells = (f'<td style="background:{_fill(cell)}">{cell.value or ""}</td>' for cell in row)
        rows.append(f"<tr><th>{number}</th>{''.join(cells)}</tr>")
    style = (
        "body{margin:0;font:20px sans-serif}table{border-collapse:collapse}"
        "td,th{border:1px solid #c8c8c8;padding:9px 14px;min-width:70px;text-align:left}"
        "th{background:#f0f0f0;font-weight:400;color:#555;text-align:center;min-width:24px}"
    )
    return f"<style>{style}</style><table><tr><th></th>{head}</tr>{''.join(rows)}</table>"


def _fill(cell: Any) -> str:
    return f"#{cell.fill.fgColor.rgb[-6:]}" if cell.fill.fill_type else "#ffffff"


def _photograph_review(chromium: Any, folder: Path) -> Iterator[tuple[str, Image.Image]]:
    """Yield the pages of `digitrec review`."""
    settings = Settings(workspace=folder, settle_s=0.0, run_wait_s=0.0)
    _read_samples(settings)
    with browser.served(folder, "--reviewer", "Anna", "--audit", "20") as address:
        tab = chromium.new_context(viewport=_DESKTOP, reduced_motion="reduce").new_page()
        tab.goto(address)
        yield from _photographs(tab, address.partition("/enter")[0]).items()


def _photograph_reports(chromium: Any, folder: Path) -> Iterator[tuple[str, Image.Image]]:
    """Yield the report of a batch of labelled samples, an evaluation with one cell of its matrix open, and a trend."""
    settings = Settings(workspace=folder / "samples", settle_s=0.0, run_wait_s=0.0, grace_s=0.0)
    workspace.init_folders(settings)
    models.write_samples(settings.inbox, count=60, seed=5)
    (settings.inbox / "empty.png").write_bytes(b"no picture")
    batch = run_once(settings).batches[0]
    tab = chromium.new_context(viewport={"width": 860, "height": 1100}).new_page()
    tab.goto((settings.reports / batch / "index.html").as_uri())
    yield "report", _photograph(tab)
    evaluation = models.evaluate(settings, models.SMALL_DATASET)
    tab.set_viewport_size({"width": 1180, "height": 1000})
    tab.goto((evaluation.report / "index.html" if evaluation.report.is_dir() else evaluation.report).as_uri())
    tab.locator("table a[href^='#']", has_text=re.compile("^[1-9]$")).first.click()  # an error
    yield "matrix", _photograph(tab)
    season, _ = filled(folder / "season")
    with open_ledgers(season) as ledgers:
        write_all_reports(season, ledgers)
    tab.goto((season.reports / "trend" / "index.html").as_uri())
    tab.set_viewport_size({"width": 1180, "height": 1700})
    yield "trend", _photograph(tab)


def _crop(tab: Any, selector: str) -> Image.Image:
    return Image.open(io.BytesIO(tab.locator(selector).screenshot())).convert("RGB")


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
