"""Recalibrates a model folder with the code of today, without training.

`python -m tools.calibrate_shipped [--pages N] [--seed N] [--processes 2] [--checkpoint FILE]` generates synthetic pages
of digits that the model was not trained on, reads them, and writes the calibration tables into model.json and
MODEL_CARD.md. With a checkpoint, a repeated command goes on where the last one was stopped. Take another seed than the
one whose errors were looked at.

Where the extra `second-opinion` is installed, pages with answers in doubt are read again with the other reader, and its
agreement is calibrated as well; elsewhere the model gets none, and asks nobody.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from digitrec.app import composition, models
from digitrec.app.calibrate import render_model_texts
from digitrec.cli import output
from digitrec.errors import DigitrecError
from digitrec.files import atomic_write
from digitrec.models.card import ModelCard
from digitrec.models.package import ModelPackage
from digitrec.training.classifier import split_dataset
from digitrec.training.datasets import registry
from digitrec.training.datasets.dataset import Split
from digitrec.training.synthetic_evaluation import AnswerStore, EvaluationPages, evaluate_synthetic
from digitrec.types import PREPROCESSING_VERSION
from tools import agreement, answer_file

_REPORTED_PAGES = 1_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Rewrite the card of a model, and print its operating points."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", type=Path, default=composition.SHIPPED_MODELS_DIR, help="the model's folder")
    parser.add_argument(
        "--pages", type=int, default=EvaluationPages().digits, help="pages of one digit, and of numbers"
    )
    parser.add_argument("--processes", type=int, default=2, help="worker processes")
    parser.add_argument("--seed", type=int, help="seed of the pages, not of the split. Default: the model's own")
    parser.add_argument("--no-second-opinion", action="store_true", help="calibrate the own answers alone")
    parser.add_argument("--checkpoint", type=Path, help="finished pages; delete it after a change of the code")
    parser.add_argument("--data", default="mnist", help="what the model was trained on, as `digitrec train --data`")
    parser.add_argument("--exclude", nargs="*", help="as `digitrec train --exclude`. Default: what its card names")
    parser.add_argument("--max-error", type=float, default=0.005, help="error rate of the operating points printed")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    options = parser.parse_args(arguments)
    try:
        package = ModelPackage.open(options.model)
        excluded = models.excluded_datasets(package.card) if options.exclude is None else options.exclude
        held_out = load_held_out(package, options.data, excluded)
    except DigitrecError as why:
        raise SystemExit(f"{why}. {why.hint}") from None
    reader, pages = composition.load_page_reader(package), EvaluationPages.of(options.pages)
    seed = package.card.seed if options.seed is None else options.seed
    result = evaluate_synthetic(
        reader,
        held_out,
        pages=pages,
        seed=seed,
        processes=options.processes,
        store=_store(options.checkpoint),
        on_progress=_print_progress,
    )
    card = replace(package.card, recipe=PREPROCESSING_VERSION, calibrations=result.tables, second_opinion=None)
    print_tables(card, options.max_error)
    name = "" if options.no_second_opinion else composition.find_installed_reader()
    if name:
        limits = agreement.find_ask_limits(result.tables)
        asking = agreement.make_asking(name, composition.make_text_reader(is_patient=True), limits)
        asked_below = {set_name: limits[kind] for set_name, kind in agreement.SETS.items() if kind in limits}
        asked = evaluate_synthetic(
            replace(reader, second_opinion=asking),
            held_out,
            again=(result, asked_below),
            pages=pages,
            seed=seed,
            processes=options.processes,
            store=_store(options.checkpoint, f".{name}"),
            on_progress=_print_progress,
        )
        calibration = agreement.calibrate_agreement(name, asked, result.tables)
        card = replace(card, second_opinion=calibration)
        print(*calibration.describe(), sep="\n")
    if not options.dry_run:
        for name, text in render_model_texts(package, card).items():
            atomic_write(options.model / name, text)


def load_held_out(package: ModelPackage, data: str, excluded: Sequence[str]) -> Split:
    """Return the digits that neither fitted this model's weights nor chose its best epoch."""
    dataset = registry.load_dataset(data)
    for other in excluded:
        dataset = registry.exclude_dataset(dataset, other)
    if dataset.digest != package.card.training["digest"]:
        without = " and ".join(excluded) or "anything"
        raise SystemExit(f"{package.card.id} was not trained on {data} without {without}")
    return split_dataset(dataset, package.card.seed).calibration


def print_tables(card: ModelCard, max_error: float) -> None:
    """Print the operating points of a card."""
    for table in card.calibrations:
        print(f"{table.name}: {table.trials:,} {' and '.join(table.applies_to)}, {table.source}")
    for line in output.format_thresholds(card.calibrations, max_error):
        print(line)


def _store(checkpoint: Path | None, suffix: str = "") -> AnswerStore | None:
    """Return the store of the answers in a file whose name ends so; None without a file."""
    return None if checkpoint is None else partial(answer_file.resume, checkpoint.with_name(checkpoint.name + suffix))


def _print_progress(done: int, total: int) -> None:
    if done % _REPORTED_PAGES == 0 or done == total:
        print(f"{done:,} of {total:,} pages", flush=True)


if __name__ == "__main__":
    main()
