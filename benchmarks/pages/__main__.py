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
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.pages.scores import Scored, Tally, score, table
from digitrec.app import composition
from digitrec.arrays import Picture
from digitrec.pipeline import read_files
from digitrec.recognition import visualize
from digitrec.recognition.reader import PageReader
from digitrec.settings import Settings
from digitrec.training.datasets import registry
from digitrec.training.datasets.image_folder import LABELS, NONE, find_labelled_pictures
from digitrec.training.synthetic import glyphs
from digitrec.training.synthetic.pages.kinds import KINDS, draw_page
from digitrec.training.synthetic.pages.layouts import DrawnPage
from digitrec.training.synthetic.pages.paper import Encoded
from digitrec.training.synthetic.pages.truth import Truth, WrittenNumber
from digitrec.training.synthetic.symbols import GlyphSources
from digitrec.types import Limits, Thresholds

_SEED = 17_000
_LONG, _QUICK = 100, 12
_ON_SHEET, _THUMBNAIL_PX = 7, 150


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """A page and its score."""

    file: Encoded
    scored: Scored
    parameters: dict[str, object]
    seconds: float

    def to_json(self) -> dict[str, object]:
        """Return everything about the page as plain types."""
        return {**self.scored.to_json(), "parameters": self.parameters, "seconds": round(self.seconds, 4)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw pages, or take real ones, read them, and print the table."""
    parser = _parser()
    given = parser.parse_args(arguments)
    kinds = given.kinds.split(",") if given.kinds else []
    if given.real is None and (unknown := ", ".join(kind for kind in kinds if kind not in KINDS)):
        parser.error(f"there is no kind {unknown}; --kinds takes {', '.join(KINDS)}")
    count = given.count or (_QUICK if given.quick else _LONG)
    if given.sheet is not None:
        given.sheet.write_bytes(contact_sheet(_sources(given.data)[0], kinds or [*KINDS], given.seed))
        return
    with tempfile.TemporaryDirectory(prefix="digitrec-") as folder:
        settings = Settings.load(Path(folder), {"model": given.model})
        bundle = composition.open_model(settings)
        reader, thresholds = composition.load_page_reader(bundle), bundle.thresholds(settings.max_error)
    about: dict[str, object] = {"model": bundle.card.id, **asdict(thresholds), "max_error": settings.max_error}
    if given.real is not None:
        about["real"] = str(given.real)
        files = real(given.real, kinds)
    else:
        sources, about["digits"] = _sources(given.data)
        about |= {"seed": given.seed, "count": count}
        files = drawn(sources, kinds or [*KINDS], count, given.seed)
    pages = []
    for result in read(files, reader, thresholds):
        pages.append(result)
        if given.dump is not None and (result.scored.is_wrong or result.scored.is_lost or given.dump_all):
            dump(result, given.dump)
    print(", ".join(f"{name} {value}" for name, value in about.items()) + "\n")
    print(table([result.scored for result in pages]))
    if given.json is not None:
        given.json.write_text(json.dumps(_as_json(about, pages), indent=1), encoding="utf-8")


def drawn(sources: GlyphSources, kinds: Sequence[str], count: int, seed: int) -> Iterator[tuple[str, int, DrawnPage]]:
    """Draw `count` pages of each kind."""
    for kind in kinds:
        for number in range(count):
            yield kind, number, draw_page(sources, kind, number, seed)


def real(folder: Path, sets: Sequence[str]) -> Iterator[tuple[str, int, DrawnPage]]:
    """Take the labelled pictures of every set in a folder, or of the sets named."""
    for labels in sorted(folder.glob(f"*/{LABELS}")):
        name = labels.parent.name
        if (sets and name not in sets) or "broken" in labels.read_text(encoding="utf-8"):
            continue
        for number, picture in enumerate(find_labelled_pictures(labels.parent)):
            numbers = () if picture.label == NONE else (WrittenNumber(picture.label),)
            file = Encoded(picture.path.suffix, picture.path.read_bytes())
            truth = Truth(numbers, is_digits_only=True)
            yield name, number, DrawnPage(file, truth, {"file": str(picture.path)}, ())


def read(files: Iterator[tuple[str, int, DrawnPage]], reader: PageReader, thresholds: Thresholds) -> Iterator[Read]:
    """Read each file as `digitrec predict` does, and score what was read."""
    before = ""
    for kind, number, drawn_page in files:
        if kind != before:
            print(kind, file=sys.stderr, flush=True)
            before = kind
        start = time.perf_counter()
        content = read_files.read_bytes(drawn_page.file.content, Limits(), reader)
        (readings,) = read_files.decide_readings([content], thresholds)
        took = time.perf_counter() - start
        yield Read(drawn_page.file, score(kind, number, drawn_page.truth, readings), dict(drawn_page.parameters), took)


def dump(result: Read, folder: Path) -> None:
    """Write a page and all about it into a folder; its name says what is written and what was read."""
    folder.mkdir(parents=True, exist_ok=True)
    scored = result.scored
    label = " ".join([*scored.truth.texts, scored.truth.words])
    name = f"{scored.kind}-{scored.number:04} is {label or 'empty'} read {scored.text or 'nothing'} {scored.status}"
    path = folder / (re.sub(r"[^A-Za-z0-9 .,+=-]", "_", name)[:150].replace(" ", "_") + result.file.suffix)
    path.write_bytes(result.file.content)
    path.with_name(path.name + ".json").write_text(json.dumps(result.to_json(), indent=1), encoding="utf-8")


def contact_sheet(sources: GlyphSources, kinds: Sequence[str], seed: int) -> bytes:
    """Return a PNG with the first pages of each kind, a kind a row."""
    rows = []
    for kind in kinds:
        cells = []
        for number in range(_ON_SHEET):
            drawn_page = draw_page(sources, kind, number, seed)
            picture = cv2.imdecode(np.frombuffer(drawn_page.file.content, np.uint8), cv2.IMREAD_COLOR_RGB)
            cell: Picture = np.full((_THUMBNAIL_PX + 2, _THUMBNAIL_PX + 2, 3), 250, np.uint8)
            small = visualize.fit_into(np.asarray(picture, np.uint8), _THUMBNAIL_PX, _THUMBNAIL_PX)
            cell[1 : 1 + small.shape[0], 1 : 1 + small.shape[1]] = small
            label = " ".join([*drawn_page.truth.texts, drawn_page.truth.words]).strip() or "nothing"
            cells.append(
                visualize.vstack(
                    [cell, visualize.text_block([f"{kind} {label}"[:22]], size=0.35, width=_THUMBNAIL_PX)], gap=2
                )
            )
        rows.append(visualize.hstack(cells))
    return visualize.encode_png(visualize.vstack(rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, help=f"pages a kind (default: {_LONG})")
    parser.add_argument("--quick", action="store_true", help=f"the short form: {_QUICK} pages a kind")
    parser.add_argument("--kinds", help=f"with commas between: some of {', '.join(KINDS)}; with --real, names of sets")
    parser.add_argument("--seed", type=int, default=_SEED, help="other seeds give other pages")
    parser.add_argument("--data", default="mnist", help="the digits to draw with (what digitrec --data takes)")
    parser.add_argument("--model", help="an id or a folder; default: the one in use")
    parser.add_argument("--real", type=Path, help="read labelled sets of real pictures instead of drawn pages")
    parser.add_argument("--json", type=Path, help="write every page and the counts here as well")
    parser.add_argument("--dump", type=Path, help="write the pages that were accepted and wrong into this folder")
    parser.add_argument("--dump-all", action="store_true", help="write all pages there")
    parser.add_argument("--sheet", type=Path, help="write a PNG of some pages of each kind, and read none")
    return parser


def _sources(data: str) -> tuple[GlyphSources, str]:
    """The digits that no training saw, the fonts of letters, and where the digits came from."""
    dataset = registry.load_dataset(data)
    split = dataset.evaluation
    return GlyphSources.from_digits(
        split.pictures, split.digits, glyphs.load_glyphs()
    ), f"{dataset.source}, {split.name} split"


def _as_json(about: dict[str, object], pages: Sequence[Read]) -> dict[str, object]:
    scored = [page.scored for page in pages]
    kinds = {
        kind: Tally.of(result for result in scored if result.kind == kind).to_json()
        for kind in dict.fromkeys(s.kind for s in scored)
    }
    return {
        "about": about,
        "kinds": kinds,
        "all": Tally.of(scored).to_json(),
        "pages": [page.to_json() for page in pages],
    }


if __name__ == "__main__":
    main()
