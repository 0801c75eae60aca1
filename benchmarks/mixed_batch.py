"""A batch of 60 uncertain digits, 40 numbers and a table page of 112 numbers, and a scripted person who reviews it.

The person knows the truth of each number and compares it with what the page shows: Enter agrees, `e` and a digit
mends the marked character, else the whole number is typed. What the ledger holds afterwards is compared with the truth.
"""

import random
import re
import statistics
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from digitrec.settings import Settings
from digitrec.storage.corrected_rows import apply_corrections
from digitrec.storage.ledger import Ledger
from digitrec.types import Box, Digit, Number, PageStatus, Reason
from tests.review.conftest import BATCH, Answer, fill

SINGLES, NUMBERS, LINES, COLUMNS = 60, 40, 14, 8
_UNCERTAIN_SHARE = 0.25
"""Share of the numbers of the table page that need review."""
_WRONG_SHARE = 1 / 3
"""Share of wrong ones among those that need review."""
_MARKED_SHARE = 0.8
"""Share of wrong ones whose wrong digit is the least certain one."""
_GLYPH_PX, _LINE_PX, _CELL_PX = 26, 60, 170
_STEP_SCRIPT = """() => {
  window.steps = [];
  let at = null;
  addEventListener("keydown", (event) => { if (event.key === "Enter") at = performance.now(); }, true);
  new MutationObserver(() => {
    if (at === null) return;
    const start = at;
    at = null;
    requestAnimationFrame(() => window.steps.push(performance.now() - start));
  }).observe(document.getElementById("work"), { subtree: true, childList: true, characterData: true });
}"""


@dataclass(frozen=True)
class Pauses:
    """Pauses of a person, seconds."""

    look_s: float = 0.0
    key_s: float = 0.0


@dataclass(frozen=True)
class Session:
    """What the scripted person did."""

    pauses: Pauses
    decisions: dict[str, int]
    """Count of numbers that were looked at, by kind of page."""
    minutes: dict[str, float]
    steps_ms: list[float]
    """Times from Enter to the frame that shows the next number."""

    def describe(self, slips: int) -> str:
        """Return the figures as lines."""
        total, minutes = sum(self.decisions.values()), sum(self.minutes.values())
        kind = f"{self.pauses.look_s} s a look, {self.pauses.key_s} s a key" if self.pauses.look_s else "no pauses"
        lines = [f"a mixed batch, {kind}: {total / minutes:.0f} numbers a minute, {slips} slips of {total}"]
        lines += [
            f"  {name:8} {count:4} {count / self.minutes[name]:6.0f} a minute" for name, count in self.decisions.items()
        ]
        steps = sorted(self.steps_ms)
        high = steps[int(0.95 * len(steps))]
        return "\n".join([*lines, f"  Enter to the next: median {statistics.median(steps):.0f} ms, 95 % {high:.0f} ms"])


def fill_batch(settings: Settings) -> None:
    """Put the batch into the ledger of a workspace, with drawn pictures as originals."""
    rng = random.Random(0)
    answers = [_draw_page([[_read(rng, str(i % 10), is_sure=False)]], f"single-{i:03}.png") for i in range(SINGLES)]
    answers += [
        _draw_page([[_read(rng, text, is_sure=False)]], f"number-{i:03}.png") for i, text in enumerate(_texts())
    ]
    table = [
        [_read(rng, _table_text(line, column), is_sure=rng.random() > _UNCERTAIN_SHARE) for column in range(COLUMNS)]
        for line in range(LINES)
    ]
    fill(settings, BATCH, [*answers, _draw_page(table, "table.png")])
    with closing(Ledger.open(settings.ledger)) as ledger:
        ledger.set_meta("outbox_id", "0" * 32)
    (settings.outbox / ".digitrec-folder").write_text("0" * 32 + "\n")


def _texts() -> list[str]:
    forms = ("{0}{1}{2}{3}", "{0}{1}{2}{3}/{4}", "-{0},{1}{2}", "{0}{1}.{2}{3}", "{0}{1}:{2}{3}")
    return [forms[i % len(forms)].format(*(f"{7919 * (i + 3):05}")) for i in range(NUMBERS)]


def _table_text(line: int, column: int) -> str:
    return str(9973 * (line * COLUMNS + column + 7) % 10 ** (1 + column % 4))


@dataclass(frozen=True)
class _Read:
    """A number as it is, as it was read, and which of its digits is the least certain one."""

    truth: str
    text: str
    doubt: int
    is_sure: bool


def _read(rng: random.Random, truth: str, *, is_sure: bool) -> _Read:
    positions = [index for index, character in enumerate(truth) if character.isdigit()]
    index = rng.choice(positions)
    if is_sure or rng.random() > _WRONG_SHARE:
        return _Read(truth, truth, index, is_sure)
    text = f"{truth[:index]}{(int(truth[index]) + rng.randrange(1, 10)) % 10}{truth[index + 1 :]}"
    doubt = index if rng.random() < _MARKED_SHARE else rng.choice(positions)
    return _Read(truth, text, doubt, is_sure=False)


def _draw_page(lines: list[list[_Read]], name: str) -> Answer:
    """Draw a page, and return it as it was read; the truth is the label."""
    width = max(120, _CELL_PX * max(map(len, lines)))
    picture = np.full((_LINE_PX * len(lines) + 20, width), 235, np.uint8)
    numbers = []
    for line, reads in enumerate(lines, start=1):
        for column, read in enumerate(reads, start=1):
            x, y = 20 + _CELL_PX * (column - 1), 20 + _LINE_PX * (line - 1)
            for at, character in enumerate(read.truth):
                place = (x + at * _GLYPH_PX, y + 36)
                cv2.putText(picture, character, place, cv2.FONT_HERSHEY_SIMPLEX, 1.2, 40, 2, cv2.LINE_AA)
            numbers.append(_number(read, line, column, x, y))
    text = " ".join(number.text for number in numbers)
    status = {number.status for number in numbers}
    return Answer(
        text,
        0.5 if PageStatus.REVIEW in status else 0.95,
        name,
        content=bytes(cv2.imencode(".png", picture)[1]),
        numbers=tuple(numbers),
        size=(width, picture.shape[0]),
    )


def _number(read: _Read, line: int, column: int, x: int, y: int) -> Number:
    digits = []
    for at, character in enumerate(read.text):
        if character.isdigit():
            share = 0.6 if at == read.doubt and not read.is_sure else 0.99
            shares = tuple(share if digit == int(character) else (1 - share) / 10 for digit in range(10))
            digits.append(Digit(Box(x + at * _GLYPH_PX, y, _GLYPH_PX - 2, 38), shares))
    status = PageStatus.ACCEPTED if read.is_sure else PageStatus.REVIEW
    reason = None if read.is_sure else Reason.LOW_CONFIDENCE
    box = Box.enclose([digit.box for digit in digits])
    return Number(line, column, box, read.text, tuple(digits), 0.99 if read.is_sure else 0.6, status, reason)


def _truths() -> dict[tuple[str, int], str]:
    """Return the truth of each number by file and position."""
    truths = {(f"single-{i:03}.png", 1): str(i % 10) for i in range(SINGLES)}
    truths |= {(f"number-{i:03}.png", 1): text for i, text in enumerate(_texts())}
    cells = [_table_text(line, column) for line in range(LINES) for column in range(COLUMNS)]
    return truths | {("table.png", position): text for position, text in enumerate(cells, start=1)}


def review(chromium: Any, address: str, pauses: Pauses) -> Session:
    """Review all numbers that are not accepted, one by one, by keyboard."""
    tab = chromium.new_page(viewport={"width": 1280, "height": 900})
    tab.goto(address)
    root = address.partition("/enter")[0]
    truths, decisions, minutes, steps = _truths(), {}, {}, []
    for kind in ("single", "number", "table"):
        tab.goto(f"{root}/one?status=review&file={kind}")
        tab.wait_for_selector("#frame image")
        tab.evaluate(_STEP_SCRIPT)
        start, latest, count = time.perf_counter(), "", 0
        while tab.is_visible("#work"):
            place = tab.inner_text("#place") if tab.is_visible("#place") else ""
            file, number = tab.inner_text("#file"), int(re.findall("[0-9]+", place or "1")[0])
            if f"{file}/{number}" == latest:
                continue  # the next number is not there yet
            latest, count = f"{file}/{number}", count + 1
            _decide(tab, truths[file, number], pauses)
        minutes[kind], decisions[kind] = (time.perf_counter() - start) / 60, count
        steps += tab.evaluate("window.steps")
        tab.wait_for_selector(f"#done >> text=· {sum(decisions.values())} decisions by you", timeout=60_000)
    tab.close()
    return Session(pauses, decisions, minutes, steps)


def _decide(tab: Any, truth: str, pauses: Pauses) -> None:
    """Look at a number and type what it takes to save its truth."""
    time.sleep(pauses.look_s)
    text = tab.inner_text("#reads")
    wrong = [at for at, (own, true) in enumerate(zip(text, truth, strict=False)) if own != true]
    marked = tab.locator("#reads .doubt")
    is_marked = len(wrong) == 1 and len(text) == len(truth) and marked.count() == 1
    is_marked = is_marked and _marked_index(tab, text) == wrong[0]
    keys = [] if text == truth else ["e", truth[wrong[0]]] if is_marked and len(truth) > 2 else [*truth]
    for key in [*keys, "Enter"]:
        time.sleep(pauses.key_s)
        tab.keyboard.press(key)


def _marked_index(tab: Any, text: str) -> int:
    """Return the index of the marked character: the length of the text before it."""
    return int(tab.evaluate("() => document.querySelector('#reads .doubt').previousSibling?.length ?? 0")) % len(text)


def count_slips(settings: Settings) -> int:
    """Count the numbers whose text after the review is not the truth."""
    with closing(Ledger.open_readonly(settings.ledger)) as ledger:
        rows = apply_corrections(ledger, BATCH)
    truths = _truths()
    texts = {
        (row.path, position): number.text
        for row in rows
        for position, number in enumerate(row.reading.numbers, start=1)
    }
    return sum(texts.get(place) != truth for place, truth in truths.items())
