"""The whole loop of learning with a person's part done through the real page: in a browser, key by key.

`python -m benchmarks.review_loop --data DIR --mnist SPEC`; DIR holds pictures and their labels.csv. `digitrec run`
reads them in a temporary workspace; a script goes through the answers in `digitrec review` in a headless Chromium and
labels one half of them; `benchmarks.learning_loop` retrains, measures on the other half, and rolls back.
"""

import argparse
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import learning_loop, process
from benchmarks.learning_loop import Read
from digitrec import text
from digitrec.errors import DigitrecError
from digitrec.settings import Settings
from digitrec.storage.corrections import NONE, ReviewMethod, Verdict, read_reviewed_rows
from digitrec.storage.ledger import Ledger
from tests.review import browser

_WHO = "script"
_PATIENCE_MS = 60_000


def main() -> None:
    """Print what happens, and the figures; write those of the comparison as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="a folder with pictures of pages and their labels.csv")
    parser.add_argument("--mnist", default="mnist", help="what the model in use was trained on, as `train --data`")
    parser.add_argument("--seed", type=int, default=0, help="of the halves")
    parser.add_argument("--json", type=Path, help="write the figures of the comparison here as well")
    parser.add_argument("--no-training", action="store_true", help="stop when the half is reviewed")
    given = parser.parse_args()
    if browser.program() is None:
        raise SystemExit("There is no Chromium. Install one, or use `python -m benchmarks.learning_loop`.")
    with tempfile.TemporaryDirectory(prefix="digitrec-") as folder:
        try:
            review_half(Settings(workspace=Path(folder).resolve()), given.data, given.seed)
        except (DigitrecError, process.CommandFailed) as why:
            raise SystemExit(str(why)) from None
        if not given.no_training:
            to_json = ["--json", str(given.json)] if given.json else []
            learning_loop.main(["--data", str(given.data), "--mnist", given.mnist, "--workspace", folder, *to_json])


def review_half(settings: Settings, data: Path, seed: int) -> None:
    """Have all pictures read, and one half of them reviewed; SystemExit if the ledger holds anything else then."""
    labels = learning_loop.drop(data, settings.inbox)
    command = [sys.executable, "-m", "digitrec", "run", "--workspace", str(settings.workspace)]
    cost, said = process.run(command)
    print(f"{shlex.join(['digitrec', *command[3:]])}: {said.strip()} ({cost.wall_s:.1f} s)")
    pages = learning_loop.pages_of(settings, labels)
    if {page.file for page in pages} != set(labels):
        raise SystemExit(f"Only {len({page.file for page in pages})} of {len(labels)} pictures were read.")
    half = learning_loop.half_of(pages, np.random.default_rng(seed))
    with browser.served(settings.workspace, "--reviewer", _WHO) as address, browser.chromium() as chromium:
        tab = chromium.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(address)
        began_s = time.perf_counter()
        _look_at_all(tab, address.partition("/enter")[0], len(pages), {_shown(page): page.page.text for page in half})
        took_s = time.perf_counter() - began_s
    print(
        f"through the page: {len(half)} said, {len(pages) - len(half)} passed by in {took_s:.1f} s: "
        f"{60 * len(half) / took_s:.0f} a minute"
    )
    check(settings, half)


def _look_at_all(tab: Any, root: str, count: int, truths: Mapping[str, str]) -> None:
    """Go through every answer, accepted ones too, the least sure first; say what is on those with a truth."""
    from playwright.sync_api import expect

    tab.goto(f"{root}/one")
    shown = ""
    for _ in range(count):
        expect(tab.locator("#file")).not_to_have_text(shown, timeout=_PATIENCE_MS)
        shown = tab.text_content("#file")
        if shown not in truths:
            tab.keyboard.press("ArrowRight")
            continue
        picture = json.dumps(f"Picture of {shown.partition(', page ')[0]}, ")
        tab.wait_for_selector(f"#frame svg[aria-label^={picture}], #frame img[alt^={picture}]", timeout=_PATIENCE_MS)
        for key in _keys(truths[shown], tab.text_content("#reads")):
            tab.keyboard.press(key)
    tab.wait_for_selector("#empty >> text=That was the last one", timeout=_PATIENCE_MS)
    tab.wait_for_selector(f"#done >> text={len(truths)} by you", timeout=_PATIENCE_MS)


def _keys(truth: str, read: str) -> list[str]:
    """What a person presses: as little as is enough."""
    if truth == read:
        return ["Enter"]
    return ["x"] if truth == NONE else [*truth, "Enter"]


def _shown(one: Read) -> str:
    """How the page names it."""
    name = text.escape(one.file)
    return f"{name}, page {one.page.page}" if one.page.page > 1 else name


def check(settings: Settings, half: list[Read]) -> None:
    """The ledger holds the truth of this half, said one by one, and nothing else."""
    with closing(Ledger.open_readonly(settings.ledger)) as ledger:
        found = list(read_reviewed_rows(ledger, settings.worker))
    held = {(one.batch_id, one.row): (one.text, one.method) for one in found}
    expected = {(page.batch_id, page.row): (page.page.text, ReviewMethod.ONE) for page in half}
    if held != expected:
        wrong = len(held.items() ^ expected.items())
        raise SystemExit(f"The ledger does not hold what was said: {wrong} entries differ.")
    corrected = sum(one.verdict is Verdict.CORRECTED for one in found)
    print(f"the ledger holds exactly this half as labelled: {corrected} corrected, {len(found) - corrected} confirmed")


if __name__ == "__main__":
    main()
