"""Review must not damage answers: what Enter, the keys and undo do, in a real Chromium."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from digitrec import files
from digitrec.settings import Settings
from digitrec.storage.corrected_tables import write_corrected_table
from digitrec.storage.corrections import ReviewMethod, get_latest_id, read_history
from digitrec.storage.judgements import Judgement, record_judgements
from digitrec.storage.ledger import Ledger
from digitrec.types import Reason
from tests.review import browser
from tests.review.conftest import BATCH, OTHER, Answer, fill
from tests.review.test_browser import DESK, expect, go, progress, read_judgements

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.program() is None, reason="no Chromium is installed"),
]
JUNK = [Answer("7", 0.3 + i / 100, reason=Reason.NOT_A_DIGIT) for i in range(3)]
SEVENS = [Answer("7", 0.5 + i / 100) for i in range(12)]

Opens = Callable[..., Any]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.chromium() as saved:
        yield saved


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(workspace=tmp_path)
    files.make_dir(settings.outbox)
    (settings.outbox / ".digitrec-folder").write_text("0" * 32 + "\n")
    with closing(Ledger.open(settings.ledger)) as ledger:
        ledger.set_meta("outbox_id", "0" * 32)
    return settings


@contextmanager
def opened(chromium: Any, settings: Settings, path: str) -> Iterator[Any]:
    """Anna's tab at a page."""
    with browser.served(settings.workspace, "--reviewer", "Anna") as address:
        context = chromium.new_context(viewport=DESK, reduced_motion="reduce")
        tab = context.new_page()
        tab.goto(address)
        go(tab, path)
        tab.wait_for_selector("#frame svg, .tile img")
        yield tab
        context.close()


def tiles(tab: Any, count: int) -> Any:
    """All tiles, once their pictures are there."""
    expect(tab.locator(".tile img")).to_have_count(count, timeout=30_000)
    return tab.locator(".tile")


def judged(settings: Settings, row: int, new: str | None, who: str = "Ben") -> None:
    with closing(Ledger.open_shared(settings.ledger)) as ledger:
        seen = get_latest_id(ledger, BATCH, row)
        record_judgements(
            ledger,
            [Judgement(BATCH, row, new, seen)],
            reviewer=who,
            method=ReviewMethod.ONE,
            reviewed_at="2026-01-04T10:00:00Z",
        )


def texts(settings: Settings) -> dict[int, str]:
    return {row: new for (_, row), (new, _) in read_judgements(settings.workspace).items()}


def log(settings: Settings, row: int) -> list[tuple[str, str]]:
    with closing(Ledger.open_readonly(settings.ledger)) as ledger:
        return [(entry.reviewer, entry.new) for entry in read_history(ledger, BATCH, row)]


def test_enter_keeps_the_existing_correction(chromium: Any, settings: Settings) -> None:
    fill(settings, BATCH, [Answer("7", 0.5), Answer("7", 0.6), Answer("7", 0.7)])
    judged(settings, 1, "1")
    judged(settings, 2, None)
    with opened(chromium, settings, "/one?state=any") as tab:
        expect(tab.locator("#enter")).to_have_text("Keep: 1Enter")
        tab.keyboard.press("Enter")
        expect(tab.locator("#file")).to_have_text("scan-00002.png")
        expect(tab.locator("#enter")).to_have_text("Confirm: 7Enter")
        tab.keyboard.press("Enter")
        progress(tab, "^2 of 3")

    assert texts(settings) == {1: "1", 2: "7"}
    assert log(settings, 1) == [("Ben", "1")], "nobody else's word was put in its place"


def test_enter_keeps_what_is_still_being_saved(chromium: Any, settings: Settings) -> None:
    fill(settings, BATCH, [Answer("7", 0.5), Answer("7", 0.6)])
    with opened(chromium, settings, "/one?state=any") as tab:
        waiting: list[Any] = []

        def wait(route: Any) -> None:
            waiting.append(route)

        tab.route("**/api/judge", wait)
        for key in ("1", "Enter", "ArrowLeft"):
            tab.keyboard.press(key)
        expect(tab.locator("#file")).to_have_text("scan-00001.png")
        expect(tab.locator("#enter")).to_have_text("Keep: 1Enter")
        tab.keyboard.press("Enter")
        for route in waiting:
            route.continue_()
        progress(tab, "^1 of 2")

    assert log(settings, 1) == [("Anna", "1")]


def test_enter_says_no_digit_where_it_looks_like_none(chromium: Any, settings: Settings) -> None:
    fill(settings, BATCH, JUNK[:1])
    with opened(chromium, settings, "/one?status=review") as tab:
        expect(tab.locator("#enter")).to_have_text("Confirm: no digitEnter")
        assert tab.inner_text("#reads") == "No digit"
        tab.keyboard.press("Enter")
        progress(tab, "^1 of 1")

    assert texts(settings) == {1: "none"}


@pytest.mark.parametrize(("reason", "offers"), [(Reason.OTHER_MARKS, None), (Reason.NOT_A_DIGIT, "none")])
def test_a_page_of_which_nothing_was_read(
    chromium: Any, settings: Settings, reason: Reason, offers: str | None
) -> None:
    fill(settings, BATCH, [Answer("", None, reason=reason), Answer("7", 0.6)])
    with opened(chromium, settings, f"/one?batch={BATCH}&text=7") as tab:
        go(tab, "/one?status=review&file=00001")
        tab.wait_for_selector("#frame svg")
        assert tab.inner_text("#reads") == "Nothing read"
        expect(tab.locator("#enter")).to_have_text(f"{'Confirm: no digit' if offers else 'Type the number'}Enter")
        tab.keyboard.press("Enter")
        if offers is None:
            for key in ("4", "2", "Enter"):
                tab.keyboard.press(key)
        progress(tab, "^1 of 1")
        go(tab, "/grid?state=any")
        tiles(tab, 2)
        expect(tab.locator("#enter")).to_have_text("Confirm 1Enter")
        tab.keyboard.press("Enter")
        expect(tab.locator(".tile")).to_have_count(1)

    assert texts(settings) == {1: offers or "42", 2: "7"}
    assert (settings.outbox / "corrected" / f"{BATCH}.csv").exists()


def test_what_looks_like_no_digit_has_a_tab_of_its_own(chromium: Any, settings: Settings) -> None:
    fill(settings, BATCH, [*JUNK, *SEVENS])
    with opened(chromium, settings, "/grid?text=7") as tab:
        tiles(tab, 12)
        expect(tab.locator("#enter")).to_have_text("Confirm 12Enter")
        tab.keyboard.press("Enter")
        expect(tab.locator(".tile")).to_have_count(0)
        tab.click(".tabs >> text=no digit")
        tiles(tab, 3)
        expect(tab.locator("#enter")).to_have_text("Confirm 3 as no digitEnter")
        tab.keyboard.press("ArrowRight")
        tab.keyboard.press("7")
        tab.keyboard.press("Enter")
        expect(tab.locator(".tile")).to_have_count(0)

    assert texts(settings) == {1: "none", 2: "7", 3: "none"} | dict.fromkeys(range(4, 16), "7")


def test_a_key_applies_to_all_that_are_marked(chromium: Any, settings: Settings) -> None:
    fill(settings, BATCH, SEVENS)
    with opened(chromium, settings, "/grid?text=7") as tab:
        marked = tiles(tab, 12)
        for at in (1, 4, 6):
            marked.nth(at).click()
        expect(tab.locator("#marked")).to_have_text("3 marked, correct to")
        tab.keyboard.press("1")
        tab.keyboard.press("2")
        tab.keyboard.press("Backspace")
        marked.nth(9).click()
        tab.keyboard.press("x")
        marked.nth(10).click()
        expect(tab.locator("#enter")).to_have_text("Confirm 7, correct 4Enter")
        tab.keyboard.press("Enter")
        expect(marked).to_have_count(1)

    saved = texts(settings)
    assert {row for row, new in saved.items() if new == "1"} == {2, 5, 7}
    assert saved[10] == "none"
    assert 11 not in saved, "marked without a correction: it stays"
    assert sum(new == "7" for new in saved.values()) == 7


def test_shift_marks_a_range_by_keyboard_and_by_mouse(chromium: Any, settings: Settings) -> None:
    fill(settings, BATCH, SEVENS)
    with opened(chromium, settings, "/grid?text=7") as tab:
        marked = tiles(tab, 12)
        for key in ("ArrowRight", *["Shift+ArrowRight"] * 3, "Shift+ArrowLeft", "1"):
            tab.keyboard.press(key)
        marked.nth(6).click()
        marked.nth(9).click(modifiers=["Shift"])
        marked.nth(8).click(modifiers=["Shift"])
        tab.keyboard.press("2")
        tab.keyboard.press("End")
        tab.keyboard.press("Space")
        tab.keyboard.press("Escape")
        tab.keyboard.press("Enter")
        expect(marked).to_have_count(0)

    saved = texts(settings)
    assert {row: new for row, new in saved.items() if new != "7"} == dict.fromkeys((2, 3, 4), "1") | dict.fromkeys(
        (7, 8, 9), "2"
    )
    assert len(saved) == 12


def test_undo_is_there_after_all_was_confirmed_at_once(chromium: Any, settings: Settings) -> None:
    fill(settings, BATCH, SEVENS)
    with opened(chromium, settings, "/grid?text=7") as tab:
        tiles(tab, 12)
        assert not tab.is_enabled("#undo")
        tab.click("#enter")
        tab.wait_for_selector("#empty >> text=No answers are left here")
        assert len(texts(settings)) == 12
        tab.click("#undo")
        tiles(tab, 12)

    assert texts(settings) == {}


def test_undo_is_there_on_the_page_of_another_digit(chromium: Any, settings: Settings) -> None:
    fill(settings, BATCH, [*SEVENS, Answer("3", 0.5)])
    with opened(chromium, settings, "/grid?text=7") as tab:
        tiles(tab, 12)
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#empty >> text=No answers are left here")
        tab.click(".tabs >> text=3")
        tiles(tab, 1)
        tab.keyboard.press("z")
        tab.wait_for_url("**/grid?text=7")
        tiles(tab, 12)
        assert not tab.is_enabled("#undo")

    assert texts(settings) == {}


def test_undo_is_there_after_the_last_one(chromium: Any, settings: Settings) -> None:
    fill(settings, BATCH, SEVENS[:1])
    with opened(chromium, settings, "/one?status=review") as tab:
        tab.click("#enter")
        tab.wait_for_selector("#empty >> text=That was the last answer")
        tab.click("#undo")
        progress(tab, "^0 of 1")
        expect(tab.locator("#frame svg")).to_be_visible()
        expect(tab.locator("#undo")).to_be_hidden()

    assert texts(settings) == {}


def test_a_review_finished_long_ago_is_not_reported_again(chromium: Any, settings: Settings) -> None:
    fill(settings, BATCH, [Answer("7", 0.5), Answer("7", 0.95)])
    fill(settings, OTHER, [Answer("7", 0.6)])
    judged(settings, 1, "7")
    with closing(Ledger.open_shared(settings.ledger)) as ledger:
        assert write_corrected_table(settings.outbox, ledger, BATCH)
    with opened(chromium, settings, "/grid?text=7") as tab:
        tiles(tab, 2)
        tab.keyboard.press("Enter")
        tab.wait_for_selector(f".note >> text=The review of batch {OTHER} is finished")
        assert tab.locator(".note:visible", has_text="is finished").count() == 1
        assert tab.locator(".note:visible", has_text=BATCH).count() == 0
