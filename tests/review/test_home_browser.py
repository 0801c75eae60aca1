"""The home page in a real Chromium: files are dropped and chosen, the theme is switched, answers lead to originals."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from digitrec.app.reports import report_batch
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.settings import Settings
from tests.conftest import draw
from tests.review import browser
from tests.review.conftest import BATCH, Answer, fill
from tests.review.test_browser import DESK, PHONE, expect, go

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.program() is None, reason="no Chromium is installed"),
]
HOSTILE = "<img src=x onerror=document.title='owned'>.png"
DROPPED = """() => {
    const dropped = new DataTransfer();
    const png = [137, 80, 78, 71, 13, 10, 26, 10, 0, 1];
    dropped.items.add(new File([new Uint8Array(png)], "dropped.png"));
    dropped.items.add(new File(["file,label"], "labels.csv"));
    return dropped;
}"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    settings = Settings(workspace=tmp_path)
    settings.inbox.mkdir()
    fill(settings, BATCH, [Answer("7", 0.6, HOSTILE), Answer("3", 0.95), Answer("4", 0.97)])
    with open_ledgers(settings) as ledgers:
        report_batch(settings, ledgers["main"], BATCH)
    return tmp_path


@pytest.fixture
def tab(workspace: Path) -> Iterator[Any]:
    with browser.served(workspace, "--reviewer", "Anna") as address, browser.chromium() as chromium:
        page = chromium.new_page(viewport=DESK, reduced_motion="reduce")
        problems: list[str] = []
        page.on("pageerror", lambda why: problems.append(str(why)))
        page.on("request", lambda request: None if "//127.0.0.1:" in request.url else problems.append(request.url))
        page.goto(address)
        go(page, "/")
        page.wait_for_selector("#answers img")
        yield page
        assert [problem for problem in problems if not problem.startswith(("blob:", "data:"))] == []


def test_dropped_and_chosen_files_are_in_the_inbox_and_the_page_says_so(tab: Any, workspace: Path) -> None:
    dropped = tab.evaluate_handle(DROPPED)
    tab.dispatch_event("h1", "dragover", {"dataTransfer": dropped})
    assert tab.is_visible("#over")
    tab.dispatch_event("h1", "drop", {"dataTransfer": dropped})
    expect(tab.locator("#sending-text")).to_have_text("1 in the inbox, 1 refused", timeout=20_000)
    assert not tab.is_visible("#over")
    assert "not a picture" in tab.inner_text("#refused")

    chosen = [{"name": f"{i}.png", "mimeType": "image/png", "buffer": draw(i)} for i in range(5)]
    tab.set_input_files("#upload", files=[*chosen, {"name": HOSTILE, "mimeType": "image/png", "buffer": draw(9)}])
    expect(tab.locator("#sending-text")).to_have_text("6 in the inbox", timeout=20_000)
    expect(tab.locator("#waiting-count")).to_have_text("7", timeout=20_000)

    # The last component of this name, which holds no slash, is all of it.
    assert sorted(path.name for path in (workspace / "inbox").iterdir()) == sorted(
        [*(f"{i}.png" for i in range(5)), "dropped.png", HOSTILE]
    )
    expect(tab.locator("#health")).to_contain_text("Next step: digitrec run")
    assert tab.title() != "owned"
    assert tab.locator("img[src=x]").count() == 0


def test_an_answer_leads_to_its_original_report_and_review(tab: Any) -> None:
    tab.click("#answers li >> nth=2")
    tab.wait_for_selector("svg.boxes rect")
    assert tab.inner_text("h1") == HOSTILE
    tab.click("text=Report of the batch")
    tab.wait_for_selector("text=files received")
    tab.click(".bar-batch >> text=Review")
    tab.wait_for_selector("#frame svg")
    assert tab.get_attribute("#original", "href") == f"/answer/{BATCH}/1"
    tab.click("#report")
    tab.wait_for_selector("text=files received")
    tab.click(".bar-batch >> text=Originals")
    assert tab.locator(".found li").count() == 3


def test_the_theme_is_switched_for_pages_and_reports(tab: Any) -> None:
    def background() -> str:
        return str(tab.evaluate("getComputedStyle(document.body).backgroundColor"))

    def switch() -> None:
        with tab.expect_navigation(wait_until="load"):
            tab.click(".bar-theme")

    light = background()
    switch()
    tab.wait_for_selector("#answers img")
    dark = background()
    assert dark != light
    go(tab, f"/reports/{BATCH}/")
    assert background() == dark
    switch()
    assert background() == light
    tab.emulate_media(color_scheme="dark")
    assert background() == light, "light was chosen"
    switch()
    assert background() == dark, "as the system says"


def test_a_search_from_a_report_finds_answers(tab: Any) -> None:
    go(tab, "/reports/")
    tab.fill(".bar-find input", "scan-00002")
    tab.keyboard.press("Enter")
    tab.wait_for_selector(".found li")
    assert tab.locator(".found li").count() == 1


def test_every_page_of_a_workspace_is_accessible_and_fits(tab: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    paths = ("/", "/find?q=scan", f"/answer/{BATCH}/1", f"/reports/{BATCH}/", "/reports/", "/reports/nowhere.html")
    for scheme, size in (("light", DESK), ("dark", PHONE)):
        tab.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        tab.set_viewport_size(size)
        for path in paths:
            go(tab, path)
            tab.wait_for_selector("#answers img" if path == "/" else "main")
            violations = Axe().run(tab).response["violations"]
            serious = [item for item in violations if item["impact"] in {"serious", "critical"}]
            assert serious == [], (path, json.dumps([(item["id"], item["nodes"][0]["html"]) for item in serious]))
            assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, (path, size)
