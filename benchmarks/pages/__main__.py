"""How much of a page that holds more than a digit is read wrongly and accepted: `python -m benchmarks.pages`.

Pages are drawn with test digits of a data set (never with those of training), signs and words, on paper as people scan
and photograph it, read as `digitrec predict` reads them, and compared with what is written on them. Each page depends
on the seed, its kind and its number only. `--real DIR` makes the same table of labelled pictures: DIR holds one folder
a set, each with a labels.csv.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.pages.reading import (
    Options,
    PageScorer,
    PageTask,
    ReadPage,
    labelled_pictures,
    load_sources,
    read_pages,
)
from benchmarks.pages.scores import Tally, table, tallies
from digitrec.arrays import Picture
from digitrec.recognition import canvas
from digitrec.training.synthetic.pages.kinds import KINDS, draw_page
from digitrec.training.synthetic.symbols import GlyphSources

_SEED = 17_000
_LONG, _QUICK = 100, 12
_ON_SHEET, _THUMBNAIL_PX = 7, 150


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw pages, or take real ones, read them, and print the table."""
    parser = _parser()
    given = parser.parse_args(arguments)
    kinds = given.kinds.split(",") if given.kinds else []
    if given.real is None and (unknown := ", ".join(kind for kind in kinds if kind not in KINDS)):
        parser.error(f"there is no kind {unknown}; --kinds takes {', '.join(KINDS)}")
    if given.turns and (given.real or given.sheet):
        parser.error("--turns turns drawn pages that are read: not with --real or --sheet")
    if given.sheet is not None:
        given.sheet.write_bytes(contact_sheet(load_sources(given.data)[0], kinds or [*KINDS], given.seed))
        return
    scorer = PageScorer.open(Options(given.model, given.data, given.seed, given.turns))
    about = dict(scorer.about)
    if given.real is not None:
        about["real"] = str(given.real)
        tasks = labelled_pictures(given.real, kinds)
    else:
        count = given.count or (_QUICK if given.quick else _LONG)
        about |= {"digits": load_sources(given.data)[1], "seed": given.seed, "count": count, "turns": given.turns}
        tasks = [PageTask(kind, number) for kind in kinds or KINDS for number in range(count)]
    pages: list[ReadPage] = []
    for result in read_pages(tasks, scorer, given.jobs):
        if not pages or pages[-1].scored.kind != result.scored.kind:
            print(result.scored.kind, file=sys.stderr, flush=True)
        pages.append(result)
        if given.dump is not None and (result.scored.has_wrong_answer or result.scored.is_lost or given.dump_all):
            dump(result, given.dump)
    tally_of = tallies([page.scored for page in pages], dict(given.pool))
    print(", ".join(f"{name} {value}" for name, value in about.items()) + "\n")
    print(table(tally_of))
    if given.json is not None:
        given.json.write_text(json.dumps(_as_json(about, tally_of, pages), indent=1), encoding="utf-8")


def dump(result: ReadPage, folder: Path) -> None:
    """Write a page and all about it into a folder; its name says what is written and what was read."""
    folder.mkdir(parents=True, exist_ok=True)
    scored = result.scored
    label = " ".join([*scored.truth.texts, scored.truth.words])
    name = f"{scored.kind}-{scored.number:04} is {label[:60] or 'empty'} read {scored.text[:60] or 'nothing'}"
    name = re.sub(r"[^A-Za-z0-9 .,+=-]", "_", f"{name} {scored.status}").replace(" ", "_")
    path = folder / (name + result.file.suffix)
    path.write_bytes(result.file.content)
    path.with_name(path.name + ".json").write_text(json.dumps(result.to_json(), indent=1), encoding="utf-8")


def contact_sheet(sources: GlyphSources, kinds: Sequence[str], seed: int) -> bytes:
    """Return a PNG with the first pages of each kind, a kind a row."""
    rows = []
    for kind in kinds:
        cells = []
        for number in range(_ON_SHEET):
            page = draw_page(sources, kind, number, seed)
            picture = cv2.imdecode(np.frombuffer(page.file.content, np.uint8), cv2.IMREAD_COLOR_RGB)
            cell: Picture = np.full((_THUMBNAIL_PX + 2, _THUMBNAIL_PX + 2, 3), 250, np.uint8)
            small = canvas.fit_into(np.asarray(picture, np.uint8), _THUMBNAIL_PX, _THUMBNAIL_PX)
            cell[1 : 1 + small.shape[0], 1 : 1 + small.shape[1]] = small
            label = " ".join([*page.truth.texts, page.truth.words]).strip() or "nothing"
            text = canvas.text_block([f"{kind} {label}"[:22]], size=0.35, width=_THUMBNAIL_PX)
            cells.append(canvas.vstack([cell, text], gap=2))
        rows.append(canvas.hstack(cells))
    return canvas.encode_png(canvas.vstack(rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, help=f"pages a kind (default: {_LONG})")
    parser.add_argument("--quick", action="store_true", help=f"the short form: {_QUICK} pages a kind")
    parser.add_argument("--kinds", help=f"with commas between: some of {', '.join(KINDS)}; with --real, names of sets")
    parser.add_argument("--seed", type=int, default=_SEED, help="other seeds give other pages")
    parser.add_argument(
        "--turns", type=int, choices=range(4), default=0, help="quarters by which drawn pages are turned, such as 2"
    )
    parser.add_argument("--data", default="mnist", help="the digits to draw with (what digitrec --data takes)")
    parser.add_argument("--model", help="an id or a folder; default: the one in use")
    parser.add_argument("--real", type=Path, help="read labelled sets of real pictures instead of drawn pages")
    parser.add_argument(
        "--pool",
        type=_pool,
        action="append",
        default=[],
        metavar="NAME=KIND,KIND",
        help="add a row for several kinds or sets together; can be repeated",
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes that draw and read (default: 1)")
    parser.add_argument("--json", type=Path, help="write every page and the counts here as well")
    parser.add_argument("--dump", type=Path, help="write the pages with a wrong accepted answer into this folder")
    parser.add_argument("--dump-all", action="store_true", help="write all pages there")
    parser.add_argument("--sheet", type=Path, help="write a PNG of some pages of each kind, and read none")
    return parser


def _pool(value: str) -> tuple[str, list[str]]:
    name, separator, kinds = value.partition("=")
    if not (name and separator and kinds):
        raise argparse.ArgumentTypeError(f"{value!r} is not NAME=KIND,KIND")
    return name, kinds.split(",")


def _as_json(
    about: Mapping[str, object], tally_of: Mapping[str, Tally], pages: Sequence[ReadPage]
) -> dict[str, object]:
    return {
        "about": dict(about),
        "kinds": {kind: tally.to_json() for kind, tally in tally_of.items() if kind != "all"},
        "all": tally_of["all"].to_json(),
        "pages": [page.to_json() for page in pages],
    }


if __name__ == "__main__":
    main()
