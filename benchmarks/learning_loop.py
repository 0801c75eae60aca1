"""The whole loop of learning, shown: read, review one half, retrain, measure on the other half, roll back.

`python -m benchmarks.learning_loop --data DIR --mnist SPEC`; DIR holds pictures and their labels.csv. With `--odd N`
instead of `--data`, N scans are drawn of a person who strikes noughts through, writes 1 like a capital lambda and 9 the
other way round. The model is deleted with its workspace, unless `--workspace` names one to keep.
"""

import argparse
import csv
import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from digitrec import files
from digitrec.app import composition, model_comparison
from digitrec.app.retrain import retrain
from digitrec.app.run import run_once
from digitrec.arrays import Picture
from digitrec.errors import DigitrecError
from digitrec.models.package import ModelPackage
from digitrec.pipeline import workspace
from digitrec.settings import Settings
from digitrec.storage.corrections import ReviewMethod, Verdict, read_latest
from digitrec.storage.judgements import Judgement, record_judgements
from digitrec.storage.ledger import Ledger
from digitrec.text import format_utc
from digitrec.training.classifier import TrainingState
from digitrec.training.correction_examples import LabelledPage
from digitrec.training.datasets import mnist
from digitrec.training.datasets.image_folder import find_labelled_pictures
from digitrec.training.synthetic import samples

_WHO = "script"
_ODD_SEED = 5


@dataclass(frozen=True, slots=True)
class Read:
    """A page as the service answered it."""

    batch_id: str
    row: int
    file: str
    """Its path under the inbox."""
    page: LabelledPage


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what happens, and the figures; write them as JSON if asked."""
    options = _arguments(arguments)
    try:
        if options.workspace:
            _loop(options, options.workspace)
        else:
            with tempfile.TemporaryDirectory(prefix="digitrec-") as folder:
                _loop(options, Path(folder))
    except DigitrecError as why:
        raise SystemExit(f"{why}. {why.hint}") from None


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, help="a folder with pictures of pages and their labels.csv")
    what.add_argument("--odd", type=int, help="draw so many scans of a person with an unusual hand")
    parser.add_argument("--mnist", default="mnist", help="what the model in use was trained on, as `train --data`")
    parser.add_argument("--seed", type=int, default=0, help="of the halves")
    parser.add_argument("--wrong", type=int, default=0, help="spoil so many labels, to see if it is noticed")
    parser.add_argument("--workspace", type=Path, help="keep it here; if pages are reviewed there, these are the half")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options: argparse.Namespace = parser.parse_args(arguments)
    return options


def _loop(options: argparse.Namespace, folder: Path) -> None:
    settings = Settings(workspace=folder.resolve())
    workspace.init_folders(settings)
    with tempfile.TemporaryDirectory(prefix="digitrec-odd-") as drawn:
        data = options.data or _write_odd(Path(drawn), options.odd)
        labels = drop(data, settings.inbox)
    before = composition.open_model(settings)
    summary = run_once(settings)
    if summary.count.claimed:  # else they were read before
        print(f"{before.card.id} read {summary.count.claimed} files: {summary.count.accepted} accepted")
    pages = pages_of(settings, labels)
    reviewed = _review(settings, pages, options.seed, options.wrong)
    others = [page.page for page in pages if (page.batch_id, page.row) not in reviewed]
    print(f"reviewed {len(reviewed)} pages, the other {len(others)} measure")

    began = time.monotonic()
    done = retrain(settings, options.mnist, _print_progress)
    took_s = time.monotonic() - began
    print(f"\nretrained in {took_s:.0f} s: {done.model_id}, {'in use now' if done.is_promoted else 'not promoted'}")
    for comparison in done.comparisons:
        print(f"  {comparison.words}")
    after = ModelPackage.open(composition.open_model_registry(settings).find(done.model_id))
    figures = _measured(settings, before, after, others)
    figures |= {"seconds": round(took_s), "reviewed": len(reviewed), "promoted": done.is_promoted}
    if done.comparison is not None:
        _print_suspects(done.comparison, figures, labels, settings)
    print(f"report: {done.report}")
    if done.is_promoted:
        back = composition.open_model_registry(settings).rollback()
        is_back = composition.open_model(settings).card.id == before.card.id
        print(f"rolled back to {back}: {before.card.id} is {'in use again' if is_back else 'NOT in use'}")
        figures |= {"rolled_back": is_back}
    if options.json:
        files.atomic_write(options.json, json.dumps(figures, indent=1) + "\n")


def drop(data: Path, inbox: Path) -> Mapping[str, str]:
    """Copy the pictures, not their labels, into the inbox unless they were there before; gives the labels by path."""
    labels = {}
    for picture in find_labelled_pictures(data):
        path = picture.path.relative_to(data)
        labels[path.as_posix()] = picture.label
        if not (inbox.parent / "outbox" / "done").exists():
            (inbox / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture.path, inbox / path)
    return labels


def pages_of(settings: Settings, labels: Mapping[str, str]) -> list[Read]:
    """Every page that was read, by batch and row, with its truth."""
    with closing(Ledger.open_readonly(settings.ledger)) as ledger:
        pages = []
        for batch in ledger.batches():
            locations = {claim.path: claim.location for claim in ledger.claims(batch.id)}
            for row in ledger.rows(batch.id):
                page = LabelledPage(
                    settings.workspace / locations[row.path], row.sha256, row.reading.page, labels[row.path]
                )
                pages.append(Read(batch.id, row.row, row.path, page))
    return pages


def _review(settings: Settings, pages: list[Read], seed: int, wrong: int) -> set[tuple[str, int]]:
    """Say what is on one half of them, or take what was said before; gives the rows that were reviewed."""
    with closing(Ledger.open_shared(settings.ledger)) as ledger:
        if corrections := read_latest(ledger):
            return set(corrections)
        rng = np.random.default_rng(seed)
        half = half_of(pages, rng)
        texts = [page.page.text for page in half]
        for place in rng.permutation(len(half))[:wrong]:
            texts[place] = str((int(texts[place]) + int(rng.integers(1, 10))) % 10)
        judgements = [Judgement(page.batch_id, page.row, text, 0) for page, text in zip(half, texts, strict=True)]
        recorded = record_judgements(
            ledger, judgements, reviewer=_WHO, method=ReviewMethod.ONE, reviewed_at=format_utc(time.time())
        )
        print(f"{sum(row.verdict is Verdict.CORRECTED for row in recorded)} of {len(recorded)} were corrected")
    return {(page.batch_id, page.row) for page in half}


def half_of(pages: list[Read], rng: np.random.Generator) -> list[Read]:
    """The pages that are reviewed: drawn from all of them, in their order."""
    return [pages[place] for place in sorted(rng.permutation(len(pages))[: len(pages) // 2])]


def _measured(
    settings: Settings, before: ModelPackage, after: ModelPackage, others: list[LabelledPage]
) -> dict[str, object]:
    from scipy.stats import binomtest

    pair = model_comparison.load_model_pair(settings, before, after)
    result = model_comparison.summarize_comparison(model_comparison.read_with_both(pair, others), [])
    print(f"\n{'the other half':24} {'before':>34} {'now':>34}")
    for name in ("accuracy", "accepted", "accepted_wrong"):
        rates = [getattr(result.before, name), getattr(result.after, name)]
        words = [
            f"{100 * (rate.share or 0):.2f} % ({rate.hits} of {rate.total}; "
            f"{100 * rate.low:.1f} to {100 * rate.high:.1f})"
            for rate in rates
        ]
        print(f"{name:24} {words[0]:>34} {words[1]:>34}")
    figures: dict[str, object] = {"before_id": before.card.id, "after_id": after.card.id}
    for name, compared in (("right", result.comparison), ("accepted", result.accepted)):
        if compared is not None:
            lost, won = compared.only_current, compared.only_candidate
            p = float(binomtest(won, won + lost, 0.5).pvalue) if won + lost else 1.0
            print(f"{name:24} won {won}, lost {lost}: McNemar's exact test, two-sided, p = {p:.3g}")
            figures[f"{name}_mcnemar"] = {"won": won, "lost": lost, "p": p}
    for name, metrics in (("before", result.before), ("after", result.after)):
        figures[name] = {
            "right": metrics.accuracy.to_json(),
            "accepted": metrics.accepted.to_json(),
            "accepted_wrong": metrics.accepted_wrong.to_json(),
        }
    return figures


def _print_suspects(
    comparison: model_comparison.ModelComparison,
    figures: dict[str, object],
    labels: Mapping[str, str],
    settings: Settings,
) -> None:
    done = settings.outbox / "done"
    true = [labels["/".join(suspect.page.path.relative_to(done).parts[1:])] for suspect in comparison.suspected_errors]
    spoilt = sum(text != suspect.page.text for text, suspect in zip(true, comparison.suspected_errors, strict=True))
    print(f"suspected wrong labels: {len(comparison.suspected_errors)}, of these spoilt on purpose: {spoilt}")
    print(f"contradicted confidently before, agreed with now: {comparison.fixed}")
    figures |= {"suspects": len(comparison.suspected_errors), "spoilt_found": spoilt, "won_over": comparison.fixed}


def _print_progress(now: TrainingState) -> None:
    if now.words:
        print(now.words, flush=True)
    if now.done is not None:
        print(f"epoch {now.epoch}/{now.epochs} held out: {now.done.validation_accuracy:.4f}", flush=True)


def _write_odd(folder: Path, count: int) -> Path:
    """Draw scans by one person with a hand of their own, from digits that come with the program."""
    split = mnist.load_mnist_5k().train
    rows = []
    for number in range(count):
        rng = np.random.default_rng((_ODD_SEED, number))
        place = int(rng.integers(len(split)))
        digit = int(split.digits[place])
        page, _ = samples.generate_page_and_ink(_odd(split.pictures[place], digit, rng), rng)
        name = f"odd-{number:05}.png"
        cv2.imwrite(str(folder / name), cv2.cvtColor(page, cv2.COLOR_RGB2BGR))
        rows.append((name, digit))
    with (folder / samples.LABELS).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file", "label"), *rows])
    return folder


def _odd(picture: Picture, digit: int, rng: np.random.Generator) -> Picture:
    """The same digit, (28, 28), 255 = ink, in the unusual hand."""
    pen = int(rng.integers(2, 4))
    if digit == 1:  # its flag is as long as its stem
        half = rng.uniform(3, 6)
        return _stroke([(14 - half, 23), (14 + rng.normal(0, 1), 5), (14 + half, 23)], pen, rng)
    if digit == 9:
        return np.ascontiguousarray(picture[:, ::-1])
    if digit == 0:  # struck through
        turn = np.linspace(0, 2 * np.pi, 25)
        wide, high = rng.uniform(5, 7), rng.uniform(8, 10)
        ring = _stroke([*zip(14 + wide * np.cos(turn), 14 + high * np.sin(turn), strict=True)], pen, rng, 0.0)
        bar = _stroke([(14 - wide, 14 + 0.8 * high), (14 + wide, 14 - 0.8 * high)], pen, rng)
        return np.maximum(ring, bar)
    return picture


def _stroke(points: list[tuple[float, float]], pen: int, rng: np.random.Generator, wobble: float = 0.7) -> Picture:
    course = np.array(points) + rng.normal(0, wobble, (len(points), 2))
    drawn = np.zeros((28, 28), np.uint8)
    fine = np.rint(course * 8).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(drawn, [fine], False, 255, pen, cv2.LINE_AA, 3)
    return drawn


if __name__ == "__main__":
    main()
