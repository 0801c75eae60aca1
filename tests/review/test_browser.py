"""The pages in a real Chromium, as people use them: by keyboard, by mouse, by two at once, on a phone."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from digitrec import files
from digitrec.settings import Settings
from digitrec.storage.corrections import read_latest, read_number_corrections
from digitrec.storage.ledger import Ledger
from digitrec.types import PageStatus, Reason
from tests.conftest import draw
from tests.review import browser
from tests.review.conftest import BATCH, OTHER, Answer, fill
from tests.review.test_characters import number_of, page_of
from tests.review.test_numbers import TABLE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.program() is None, reason="no Chromium is installed"),
]
HOSTILE = "<img src=x onerror=document.title='owned'>.png"
UNCERTAIN = [Answer(str(i % 10), 0.10 + i / 100) for i in range(59)] + [Answer("4", 0.85, HOSTILE)]
ALIKE = [Answer("7", 0.95 + i / 10_000, content=draw(1, shift=i) if i == 3 else None) for i in range(30)]
NUMBERED = "20260104T030405Z-0a1b2c3d"
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.chromium() as program:
        yield program


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    settings = Settings(workspace=tmp_path)
    files.make_dir(settings.inbox)
    files.make_dir(settings.outbox)
    fill(settings, BATCH, UNCERTAIN)
    fill(settings, OTHER, ALIKE)
    with closing(Ledger.open(settings.ledger)) as ledger:
        ledger.set_meta("outbox_id", "0" * 32)
    (settings.outbox / ".digitrec-folder").write_text("0" * 32 + "\n")
    return tmp_path


@pytest.fixture
def address(workspace: Path) -> Iterator[str]:
    with browser.served(workspace, "--reviewer", "Anna") as address:
        yield address


@pytest.fixture
def tab(chromium: Any, address: str) -> Iterator[Any]:
    """A tab of Anna's; whatever a script complains about fails the test."""
    context = chromium.new_context(viewport=DESK, reduced_motion="reduce")
    page = context.new_page()
    complaints: list[str] = []
    outside: list[str] = []
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type in {"error", "warning"} else None,
    )
    page.on("pageerror", lambda why: complaints.append(str(why)))
    page.on("request", lambda asked: outside.append(asked.url) if "//127.0.0.1:" not in asked.url else None)
    page.goto(address)
    yield page
    # That a request was answered with an error is part of some tests; a browser notes it all the same.
    assert [item for item in complaints if not item.startswith("Failed to load resource")] == []
    assert [item for item in outside if not item.startswith(("blob:", "data:"))] == []
    context.close()


def go(tab: Any, path: str) -> None:
    tab.goto(tab.url.split("/", 3)[0] + "//" + tab.url.split("/", 3)[2] + path)


def progress(tab: Any, pattern: str) -> None:
    """Wait until the line of progress says so; the pages' own policy forbids scripts for that."""
    expect(tab.locator("#done")).to_have_text(re.compile(pattern), timeout=20_000)


def expect(locator: Any) -> Any:
    from playwright.sync_api import expect

    return expect(locator)


def read_judgements(workspace: Path) -> dict[tuple[str, int], tuple[str, str]]:
    with closing(Ledger.open_readonly(Settings(workspace=workspace).ledger)) as ledger:
        return {place: (item.new, item.method) for place, item in read_latest(ledger).items()}


def begin(tab: Any, path: str = "/one?status=review") -> None:
    go(tab, path)
    tab.wait_for_selector("#frame svg")


def test_sixty_uncertain_pictures_are_reviewed_by_keyboard_alone(tab: Any, workspace: Path) -> None:
    begin(tab)

    for number in range(60):
        progress(tab, f"^{number} of 60")
        if number == 5:
            for key in ("4", "9", "Backspace", "2", "Enter"):
                tab.keyboard.press(key)
        elif number == 6:
            tab.keyboard.press("x")
        else:
            tab.keyboard.press("Enter")
    tab.wait_for_selector(".note >> text=outbox/corrected")

    saved = read_judgements(workspace)
    assert len(saved) == 60
    assert saved[BATCH, 6] == ("42", "one")
    assert saved[BATCH, 7] == ("none", "one")
    assert saved[BATCH, 1] == ("0", "one")
    assert (workspace / "outbox" / "corrected" / f"{BATCH}.csv").exists()
    assert "That was the last answer." in tab.inner_text("#empty")
    expect(tab.locator("#empty a")).to_have_text(["To the overview", "corrected CSV", "pages as tables (Excel)"])


def test_undo_unsure_and_moving_about(tab: Any, workspace: Path) -> None:
    begin(tab)

    tab.keyboard.press("u")
    tab.keyboard.press("3")
    tab.keyboard.press("Enter")
    progress(tab, "^1 of 60 answers resolved, 1 not sure")
    tab.keyboard.press("z")
    progress(tab, "^0 of 60 answers resolved, 1 not sure")
    assert read_judgements(workspace) == {(BATCH, 1): ("", "one")}
    assert tab.inner_text("#file") == "scan-00002.png", "what was undone is shown"
    for key, name in (("ArrowRight", "00003"), ("ArrowLeft", "00002"), ("ArrowLeft", "00001")):
        tab.keyboard.press(key)
        expect(tab.locator("#file")).to_have_text(f"scan-{name}.png")
    assert "Anna: not sure" in tab.inner_text("#said")
    tab.keyboard.press("?")
    assert tab.is_visible("dialog[open] >> text=clear the typed text")
    tab.keyboard.press("Escape")
    assert not tab.is_visible("dialog[open]")


def test_the_numbers_of_a_page_are_corrected_one_by_one(tab: Any, workspace: Path) -> None:
    fill(Settings(workspace=workspace), NUMBERED, [TABLE])
    go(tab, f"/one?batch={NUMBERED}")
    cells = tab.locator("#table .cell")
    expect(cells).to_have_text(["21", "37", "4"])
    expect(tab.locator("#place")).to_have_text("Number 2 of 3, line 1, column 2 · 2 to review")
    for kind in ("sure", "current", "doubt"):
        expect(tab.locator(f"#frame rect.{kind}")).to_have_count(1)
    expect(tab.locator("#typed")).to_be_focused()

    tab.fill("#typed", "3 1")
    tab.keyboard.press("Enter")
    tab.wait_for_selector(".note >> text=This is one number of the page")
    tab.fill("#typed", "31")
    tab.keyboard.press("Enter")
    expect(tab.locator("#place")).to_have_text(re.compile("^Number 3 of 3, .* 1 to review$"))
    tab.keyboard.press("u")
    progress(tab, "^0 of 1 answer resolved, 1 not sure")

    go(tab, f"/one?batch={NUMBERED}&state=any")
    expect(cells).to_have_text(["21", "31", "not sure"])
    expect(tab.locator("#place")).to_have_text(re.compile("^Number 3 of 3"))
    for key in ("-", "4", ",", "5", "Enter"):
        tab.keyboard.press(key)
    tab.wait_for_selector(".note >> text=outbox/corrected")
    assert read_judgements(workspace) == {(NUMBERED, 1): ("21 31 -4,5", "one")}

    tab.click(".note.done button")
    progress(tab, "^0 of 1 answer resolved, 1 not sure")
    expect(cells).to_have_text(["21", "31", "not sure"])
    tab.keyboard.press("p")
    tab.fill("#typed", "21 31 5")
    tab.keyboard.press("Enter")
    progress(tab, "^1 of 1 answer resolved · 3 decisions by you")
    assert read_judgements(workspace) == {(NUMBERED, 1): ("21 31 5", "one")}


def test_tab_goes_through_the_numbers_of_a_page_and_out_of_it(tab: Any, workspace: Path) -> None:
    fill(Settings(workspace=workspace), NUMBERED, [TABLE])
    go(tab, f"/one?batch={NUMBERED}")
    place = tab.locator("#place")
    expect(place).to_have_text(re.compile("^Number 2 of 3"))

    tab.keyboard.press("Tab")
    expect(place).to_have_text(re.compile("^Number 3 of 3, .* 2 to review$"))
    tab.keyboard.press("Shift+Tab")
    expect(place).to_have_text(re.compile("^Number 2 of 3"))
    tab.keyboard.press("e")
    expect(tab.locator("#typed")).to_have_value("37")
    tab.keyboard.press("8")
    tab.keyboard.press("Tab")
    expect(place).to_have_text(re.compile("^Number 3 of 3, .* 1 to review$"))
    progress(tab, "1 decision by you$")
    tab.keyboard.press("Tab")
    expect(tab.locator("#typed")).not_to_be_focused()
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("ArrowUp")
    expect(place).to_have_text(re.compile("^Number 1 of 3"))

    with closing(Ledger.open_readonly(Settings(workspace=workspace).ledger)) as ledger:
        saved = {number: item.new for (_, number), item in read_number_corrections(ledger, NUMBERED).items()}
    assert saved == {2: "87"}


def test_a_page_is_copied_as_a_table(tab: Any, workspace: Path) -> None:
    fill(Settings(workspace=workspace), NUMBERED, [TABLE])
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    go(tab, f"/one?batch={NUMBERED}")
    expect(tab.locator("#table .cell.current")).to_have_text("37")

    tab.keyboard.press("c")

    tab.wait_for_selector(".note >> text=The table is in the clipboard")
    assert tab.evaluate("navigator.clipboard.readText()") == "21\t37\n4\t"


def test_the_picture_is_zoomed_by_wheel_and_double_click(tab: Any) -> None:
    begin(tab)
    svg = tab.locator("#frame svg")
    view_box = svg.get_attribute("viewBox")
    box = svg.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    tab.mouse.move(*middle)
    tab.mouse.wheel(0, -400)
    expect(svg).not_to_have_attribute("viewBox", view_box)
    expect(svg).to_have_attribute("data-detail", "1")
    zoomed = svg.get_attribute("viewBox")
    tab.mouse.down()
    tab.mouse.move(middle[0] + 30, middle[1] + 30)
    tab.mouse.up()
    expect(svg).not_to_have_attribute("viewBox", zoomed)
    tab.mouse.dblclick(*middle)
    expect(svg).to_have_attribute("viewBox", re.compile(f"^{view_box}$"))
    tab.mouse.dblclick(*middle)
    expect(svg).not_to_have_attribute("viewBox", view_box)
    tab.keyboard.press("Enter")
    progress(tab, "^1 of 60")
    expect(svg).to_have_attribute("viewBox", view_box)


def test_the_last_decisions_are_changed_from_their_list(tab: Any, workspace: Path) -> None:
    begin(tab)
    expect(tab.locator("#position")).to_have_text("1 of 60")
    for _ in range(12):
        tab.keyboard.press("Enter")
    progress(tab, "12 decisions by you$")
    decisions = tab.locator("#decisions button")
    expect(decisions).to_have_count(10)
    expect(tab.locator("#position")).to_have_text("13 of 60")

    decisions.nth(1).click()
    expect(tab.locator("#file")).to_have_text("scan-00011.png")
    tab.keyboard.press("8")
    tab.keyboard.press("Enter")
    progress(tab, "13 decisions by you$")

    expect(tab.locator("#position")).to_have_text("13 of 60")
    expect(decisions.first).to_have_attribute("aria-label", "Change: 8, scan-00011.png")
    assert read_judgements(workspace)[BATCH, 11] == ("8", "one")
    tab.click(".note.done >> text=Undo")
    progress(tab, "12 decisions by you$")
    assert read_judgements(workspace)[BATCH, 11] == ("0", "undo"), "the answer before"
    tab.keyboard.press("z")
    progress(tab, "11 decisions by you$")
    assert read_judgements(workspace)[BATCH, 11] == ("0", "undo")
    assert (BATCH, 12) not in read_judgements(workspace), "the one before, not the same again"


def test_numbers_are_corrected_by_their_least_certain_digit(tab: Any, workspace: Path) -> None:
    pages = [
        page_of(number_of("31", 0.99, 0.7), number_of("17", 0.8, 0.95, column=2), number_of("1", 0.5, column=3)),
        page_of(number_of("719", 0.9, 0.6, 0.95)),
    ]
    fill(Settings(workspace=workspace), NUMBERED, pages)
    go(tab, f"/grid?text=1&in=numbers&batch={NUMBERED}")
    tiles = tab.locator(".tile")
    expect(tab.locator(".tile img, .tile svg")).to_have_count(4)
    expect(tiles.locator("b")).to_have_text(["1", "719", "31", "17"])

    tiles.nth(2).click()
    tab.keyboard.press("7")
    expect(tiles.nth(2)).to_have_attribute("data-new", "37")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("i")
    tab.keyboard.press("Enter")
    tab.wait_for_selector(".note.done >> text=Saved: 2 confirmed, 2 corrected")

    def saved() -> dict[tuple[int, int], str]:
        with closing(Ledger.open_readonly(Settings(workspace=workspace).ledger)) as ledger:
            numbers = read_number_corrections(ledger, NUMBERED).items()
            return {place: item.new or item.verdict for place, item in numbers}

    assert saved() == {(1, 1): "37", (1, 2): "illegible", (1, 3): "1"}
    assert read_judgements(workspace) == {(NUMBERED, 1): ("", "grid"), (NUMBERED, 2): ("719", "grid")}
    tab.keyboard.press("z")
    expect(tiles).to_have_count(4)
    assert (saved(), read_judgements(workspace)) == ({}, {})
    tab.keyboard.press("Enter")
    tab.wait_for_selector(".note.done >> text=Saved: 4 confirmed")
    assert saved() == {(1, 1): "31", (1, 2): "17", (1, 3): "1"}


def test_signs_are_typed_in_the_grid(tab: Any, workspace: Path) -> None:
    fill(Settings(workspace=workspace), NUMBERED, [Answer("314", 0.5), Answer("42", 0.6)])
    go(tab, f"/grid?text=numbers&batch={NUMBERED}")
    expect(tab.locator(".tile img, .tile svg")).to_have_count(2)

    for key in ("-", "3", ",", "1", "5", "Backspace", "4", "Enter"):
        tab.keyboard.press(key)
    tab.wait_for_selector(".note.done >> text=Saved: 1 confirmed, 1 corrected")

    assert read_judgements(workspace) == {(NUMBERED, 1): ("-3,14", "grid"), (NUMBERED, 2): ("42", "grid")}


def test_a_filter_is_a_row_of_chips(tab: Any) -> None:
    begin(tab, "/one?status=review&file=scan-0001")
    expect(tab.locator(".chip[aria-current]")).to_have_text(["needs review", "not reviewed", "file “scan-0001” ×"])

    tab.click(".chip.remove")
    expect(tab.locator("#position")).to_have_text("1 of 60")
    tab.click(".chip >> text=accepted")
    expect(tab.locator("#position")).to_have_text("1 of 30")


def test_typing_ahead_loses_and_mixes_up_nothing(tab: Any, workspace: Path) -> None:
    begin(tab)

    for number in range(20):
        tab.keyboard.press(str((number + 1) % 10))
        tab.keyboard.press("Enter")
    progress(tab, "20 decisions by you$")

    assert {row: new for (_, row), (new, _) in read_judgements(workspace).items()} == {
        number + 1: str((number + 1) % 10) for number in range(20)
    }


def test_the_odd_one_of_a_grid_is_corrected_and_the_rest_confirmed_at_once(tab: Any, workspace: Path) -> None:
    go(tab, f"/grid?text=7&batch={OTHER}")
    expect(tab.locator(".tile img")).to_have_count(30, timeout=30_000)

    for _ in range(3):
        tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Space")
    tab.keyboard.press("1")
    tab.locator(".tile").nth(9).click()
    tab.keyboard.press("Enter")
    expect(tab.locator(".tile")).to_have_count(1, timeout=30_000)

    saved = read_judgements(workspace)
    assert saved[OTHER, 4] == ("1", "grid")
    assert len(saved) == 29, "marked without a correction: it stays"
    assert sum(new == "7" for new, _ in saved.values()) == 28
    tab.keyboard.press("z")
    expect(tab.locator(".tile")).to_have_count(30, timeout=30_000)
    assert read_judgements(workspace) == {}


def test_two_tabs_at_once_do_not_overwrite_each_other(tab: Any, chromium: Any, workspace: Path) -> None:
    go(tab, "/review")
    tab.fill("#name", "Ben")
    tab.click("#invite button")
    tab.wait_for_selector("#link:not([hidden])")
    link = tab.input_value("#link input")
    context = chromium.new_context(viewport=DESK)
    bens = context.new_page()
    bens.goto(link)
    begin(bens)
    begin(tab)

    tab.keyboard.press("1")
    tab.keyboard.press("Enter")
    progress(tab, "1 decision by you$")
    for key in ("2", "Enter"):
        bens.keyboard.press(key)
    dialog = bens.wait_for_selector("dialog.conflict[open]")
    assert "Anna" in dialog.inner_text()
    assert read_judgements(workspace)[BATCH, 1][0] == "1", "nothing is overwritten"
    bens.click("dialog.conflict >> text=Keep mine")
    progress(bens, "1 decision by you$")
    assert read_judgements(workspace)[BATCH, 1][0] == "2", "Ben knew, and decided"

    tab.keyboard.press("z")
    tab.wait_for_selector(".note >> text=Ben has changed")
    assert read_judgements(workspace)[BATCH, 1][0] == "2"
    context.close()


def test_a_digit_is_drawn_and_a_photo_brought_and_nothing_stored(tab: Any, workspace: Path) -> None:
    go(tab, "/try")
    box = tab.locator("canvas").bounding_box()
    mouse = tab.mouse
    mouse.move(box["x"] + 0.38 * box["width"], box["y"] + 0.2 * box["height"])
    mouse.down()
    for x, y in ((0.62, 0.2), (0.48, 0.8)):
        mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=10)
    mouse.up()
    tab.click("#read")
    tab.wait_for_selector(".result .reads", timeout=60_000)
    assert tab.inner_text(".result .reads") == "7"
    assert tab.locator(".chances li").count() == 11
    assert tab.locator(".seen img").count() == 1
    tab.click(".result >> text=Show how it was read")
    tab.wait_for_selector(".explain img")

    before = {path for path in workspace.rglob("*") if ".sqlite3-" not in path.name}
    tab.set_input_files("#upload", files=[{"name": HOSTILE, "mimeType": "image/png", "buffer": draw(3)}])
    expect(tab.locator(".result .reads")).to_have_count(2, timeout=30_000)
    assert tab.locator(".result h2").first.inner_text() == HOSTILE
    assert {path for path in workspace.rglob("*") if ".sqlite3-" not in path.name} == before
    tab.set_input_files("#upload", files=[{"name": "x.png", "mimeType": "image/png", "buffer": b"no picture"}])
    tab.wait_for_selector(".result >> text=No answer: the content is not a picture.")
    tab.click(".result:has-text('Your drawing') >> text=Put into the inbox")
    tab.wait_for_selector(".note >> text=In the inbox: drawing.png")
    assert (workspace / "inbox" / "drawing.png").read_bytes().startswith(b"\x89PNG")


def test_a_file_named_like_markup_is_shown_as_its_name(tab: Any) -> None:
    begin(tab, f"/one?file={HOSTILE.replace(' ', '+').replace('<', '%3C')}")
    assert tab.inner_text("#file") == HOSTILE
    go(tab, "/grid?text=4&state=any")
    tab.wait_for_selector(".tile img")

    assert HOSTILE in "".join(item.get_attribute("aria-label") for item in tab.locator(".tile").all())
    assert "owned" not in tab.title()
    assert tab.locator("img[src=x]").count() == 0


def test_every_page_is_accessible_in_light_dark_desktop_and_phone_views(tab: Any, workspace: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    doubtful = number_of("17", 0.7, 0.95, column=2, status=PageStatus.REVIEW)
    fill(Settings(workspace=workspace), NUMBERED, [page_of(number_of("31", 0.99, 0.7), doubtful)])
    pages = {
        "/": "#answers img",
        "/review": ".batches",
        "/one?status=review": "#frame svg",
        f"/one?batch={NUMBERED}": "#crop svg",
        f"/grid?text=7&batch={OTHER}": ".tile img",
        "/grid?text=1&in=numbers": ".tile svg",
        "/try": "canvas",
    }
    for scheme, size in product(("light", "dark"), (DESK, PHONE)):
        tab.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        tab.set_viewport_size(size)
        for path, ready in pages.items():
            go(tab, path)
            tab.wait_for_selector(ready)
            if "grid" in path:
                tab.keyboard.press("Space")
            if "status=review" in path:
                tab.keyboard.press("Enter")
                tab.wait_for_selector("#decisions img")
            violations = Axe().run(tab).response["violations"]
            serious = [item for item in violations if item["impact"] in {"serious", "critical"}]
            assert serious == [], (path, json.dumps([(item["id"], item["nodes"][0]["html"]) for item in serious]))
            assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path


def test_on_a_phone_it_works_by_touch(chromium: Any, address: str, workspace: Path) -> None:
    context = chromium.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    tab = context.new_page()
    tab.goto(address)
    begin(tab)

    for key in ("1", "2", "Backspace", "Enter", "x", "u"):
        tab.tap(f"#work [data-key='{key}']")
    progress(tab, "^2 of 60 answers resolved, 1 not sure · 3 decisions by you")

    assert [new for new, _ in read_judgements(workspace).values()] == ["1", "none", ""]
    for key in ("Enter", "0", "9", "x", "ArrowRight"):
        box = tab.locator(f"#work [data-key='{key}']").bounding_box()
        assert box["y"] + box["height"] <= PHONE["height"], f"{key} is reached without scrolling"
        assert min(box["width"], box["height"]) >= 40, f"{key} is large enough for a finger"
    context.close()


def test_an_error_is_shown_and_unsaved_input_not_taken_for_saved(tab: Any, workspace: Path) -> None:
    go(tab, "/one?status=rejected")
    tab.wait_for_selector("#empty >> text=no answers to review here")
    (workspace / "outbox" / "done" / BATCH / "scan-00001.png").unlink()
    go(tab, "/one?status=review")
    tab.wait_for_selector("#frame >> text=No picture")
    tab.route(
        "**/api/judge", lambda route: route.fulfill(status=503, body='{"problem": "the disk is full", "hint": ""}')
    )
    tab.keyboard.press("Enter")
    tab.wait_for_selector(".note >> text=the disk is full")
    progress(tab, "^0 of 60")
    assert tab.inner_text("#file") == "scan-00001.png"
    tab.unroute("**/api/judge")
    tab.keyboard.press("Enter")
    progress(tab, "^1 of 60 answers resolved · 1 decision by you")
    assert list(read_judgements(workspace)) == [(BATCH, 1)]


def test_blank_pages_are_confirmed_as_such(chromium: Any, tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path)
    fill(settings, BATCH, [Answer("", None, reason=Reason.BLANK, content=draw(1))])
    with browser.served(tmp_path) as address:
        tab = chromium.new_page()
        tab.goto(address)
        go(tab, "/one?status=rejected")
        tab.wait_for_selector("#enter >> text=Confirm: no digit")
        tab.keyboard.press("Enter")
        progress(tab, "^1 of 1")
        tab.close()

    assert read_judgements(tmp_path) == {(BATCH, 1): ("none", "one")}
