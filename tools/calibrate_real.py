"""Sets the threshold of a model that is to be shipped: by drawn pages, and by one half of labelled real sets.

`python -m tools.calibrate_real --model DIR --data REAL`; REAL holds a folder for each set, with a labels.csv. The
rules of two tables must hold: (a) pages drawn from digits that training kept out, by the bound on their error; (b) a
seeded half of the real sets named by --share, by the share of errors. Then the other halves are measured.
"""

import argparse
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digitrec.app import composition, models, predict
from digitrec.app.calibrate import measure_calibration, render_model_texts
from digitrec.errors import DigitrecError
from digitrec.files import atomic_write
from digitrec.models.calibration import CalibrationTable, Rule, choose_operating_point
from digitrec.models.package import ModelPackage
from digitrec.reports.statistics import Proportion, wilson
from digitrec.settings import Settings
from digitrec.training import calibrate, synthetic_evaluation
from digitrec.training.classifier import split_dataset
from digitrec.training.datasets import registry
from digitrec.training.datasets.dataset import Split
from digitrec.training.datasets.image_folder import NONE, LabelledPicture, find_labelled_pictures

_SKIPPED = {"formats"}
_LEAST_PAGES = 5_000
Halves = tuple[Sequence[LabelledPicture], Sequence[LabelledPicture]]
"""What may set the threshold, and what measures it."""


def main() -> None:
    """Write both tables into the model's card, and print what follows."""
    given = _arguments()
    try:
        _calibrate(given)
    except DigitrecError as why:
        raise SystemExit(f"{why}. {why.hint}") from None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", type=Path, required=True, help="the model's folder; its card is rewritten")
    parser.add_argument("--data", type=Path, required=True, help="a folder of labelled sets of real pictures")
    pages, junk = synthetic_evaluation.PAGE_COUNT, synthetic_evaluation.NON_DIGIT_SHARE
    parser.add_argument("--pages", type=int, default=pages, help="how many pages are drawn, at least 5,000")
    parser.add_argument("--junk", type=float, default=junk, help="share of the pages with clutter that show no digit")
    parser.add_argument("--mnist", default="mnist", help="what the model was trained on, as `digitrec train --data`")
    parser.add_argument("--leave-out", nargs="*", help="as `digitrec train --exclude`. Default: what its card names")
    parser.add_argument("--share", action="append", help="sets that may set the threshold. Default: photos, pencil")
    parser.add_argument("--seed", type=int, default=0, help="of the halves; pages are drawn with the model's own")
    parser.add_argument("--max-error", type=float, default=0.005, help="what the figures printed are for")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    given = parser.parse_args()
    given.share = given.share or ["photos", "pencil"]
    if given.pages < _LEAST_PAGES:
        parser.error(f"--pages is at least {_LEAST_PAGES:,}")
    return given


def _calibrate(given: argparse.Namespace) -> None:
    bundle = ModelPackage.open(given.model)
    left_out = models.excluded_datasets(bundle.card) if given.leave_out is None else given.leave_out
    pool = held_out(bundle, given.mnist, left_out)
    if (needed := synthetic_evaluation.required_digits(given.pages, given.junk)) > len(pool):
        raise SystemExit(f"{given.pages:,} pages take {needed:,} digits; {len(pool):,} were held out")
    sets = {path.parent.name: halves(path.parent, given.seed) for path in sorted(given.data.glob("*/labels.csv"))}
    if missing := {*given.share} - {*sets}:
        raise SystemExit(f"{given.data} has no {', '.join(sorted(missing))}")

    reader, seed = composition.load_page_reader(bundle), bundle.card.seed
    drawn = synthetic_evaluation.evaluate_synthetic(
        reader, pool, pages=given.pages, non_digit_share=given.junk, seed=seed
    )
    tables = [drawn.table]  # a model for paper has the very same from its training, unless more or fewer are asked for
    settings = Settings(workspace=Path(tempfile.gettempdir()))  # it is read from files; no folder of it is touched
    seen = [picture for name in given.share for picture in sets[name][0]]
    source = f"one half of the real sets {' and '.join(given.share)}, picked by digest (seed {given.seed})"
    tables.append(measure_calibration(settings, bundle, seen, "real pages", source, Rule.OBSERVED))

    threshold, is_possible = _print_tables(tables, given.max_error)
    _print_drawn(drawn, threshold)
    _print_other_halves(settings, bundle, {name: two[1] for name, two in sets.items()}, given.share, threshold)
    if not is_possible:
        raise SystemExit(f"{bundle.card.id} cannot guarantee this max_error")
    if not given.dry_run:
        card = replace(bundle.card, calibrations=tuple(tables))
        for name, text in render_model_texts(bundle, card).items():
            atomic_write(given.model / name, text)


def held_out(bundle: ModelPackage, data: str, leave_out: Sequence[str]) -> Split:
    """The digits that neither fitted this model's weights nor chose its best epoch."""
    dataset = registry.load_dataset(data)
    for other in leave_out:
        dataset = registry.exclude_dataset(dataset, other)
    if dataset.digest != bundle.card.training["digest"]:
        raise SystemExit(f"{bundle.card.id} was not trained on {data} without {' and '.join(leave_out) or 'anything'}")
    return split_dataset(dataset, bundle.card.seed).calibration


def halves(folder: Path, seed: int) -> Halves:
    """Split the pictures of a set into halves by the digest of their names, independent of other files."""
    if folder.name in _SKIPPED:
        return (), ()

    def sets_it(picture: LabelledPicture) -> bool:
        name = picture.path.relative_to(folder).as_posix()
        return hashlib.sha256(f"{seed}/{folder.name}/{name}".encode()).digest()[0] < 128

    pictures = find_labelled_pictures(folder)
    return [picture for picture in pictures if sets_it(picture)], [
        picture for picture in pictures if not sets_it(picture)
    ]


def _print_tables(tables: Sequence[CalibrationTable], max_error: float) -> tuple[float, bool]:
    """The threshold, or the one that comes nearest; and whether the rules of all tables hold at it."""
    for table in tables:
        lowest = table.threshold(max_error)
        asked = "at no threshold" if lowest is None else f"from {lowest:.6f} on"
        print(f"{table.name}: {table.trials:,} pages, its rule ({table.rule}) holds {asked}")
    decision = choose_operating_point(tables, max_error)
    if decision is None:
        nearest = [table.threshold(table.lowest_error) for table in tables]
        print(f"max_error {max_error:g}: not possible. Figures where the rules are nearest to holding:\n")
        return max((picture for picture in nearest if picture is not None), default=1.0), False
    print(f"max_error {max_error:g}: accepts from {decision.threshold:.6f}, decided by {decision.table}\n")
    return decision.threshold, True


def _print_drawn(drawn: synthetic_evaluation.SyntheticResult, threshold: float) -> None:
    print(f"{'drawn':28} {'pages':>6}  {'accepted':>9}  of these wrong")
    for kind in (synthetic_evaluation.SCAN, synthetic_evaluation.CLUTTERED):
        for has_digit in (True, False):
            chosen = (drawn.kinds == kind) & (drawn.has_digit == has_digit)
            if chosen.any():
                what = kind if has_digit else "  the same, without a digit"
                _line(what, drawn.confidence[chosen], drawn.is_right[chosen], threshold)
    print()


def _print_other_halves(
    settings: Settings,
    bundle: ModelPackage,
    sets: Mapping[str, Sequence[LabelledPicture]],
    share: Sequence[str],
    threshold: float,
) -> None:
    """How the threshold does on the halves that did not set it."""
    reader = composition.load_page_reader(bundle)
    print(f"{'the other half of':28} {'pages':>6}  {'accepted':>9}  of these wrong")
    shared = []
    for name, pictures in sets.items():
        for falsely in (False, True):  # a page without a digit, accepted, is always wrong
            chosen = [picture for picture in pictures if (picture.label == NONE) == falsely]
            if not chosen:
                continue
            read = predict.read_labelled(settings, reader, chosen)
            judged = calibrate.judge_pages((content, picture.label) for picture, content in read)
            _line(f"{name}, without a digit" if falsely else name, *judged, threshold)
            shared += [judged] * (name in share)
    confidence, is_right = (np.concatenate(parts) for parts in zip(*shared, strict=True))
    _line(" + ".join(share), confidence, is_right, threshold)


def _line(name: str, confidence: NDArray[np.float64], is_right: NDArray[np.bool_], threshold: float) -> None:
    accepted = confidence >= threshold
    wrong = wilson(int((accepted & ~is_right).sum()), int(accepted.sum()))
    print(f"{name:28} {len(confidence):>6,}  {_words(wilson(int(accepted.sum()), len(confidence)))}  {_words(wrong)}")


def _words(proportion: Proportion) -> str:
    if proportion.share is None:
        return "none to count"
    interval = f"{100 * proportion.low:.2f} to {100 * proportion.high:.2f}"
    return f"{100 * proportion.share:6.2f} % ({proportion.hits:,}; 95 %: {interval})"


if __name__ == "__main__":
    main()
