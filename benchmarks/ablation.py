"""Measure what each part of recognition contributes: read labelled pictures with parts of the model left out.

`python -m benchmarks.ablation --real DIR [--plain MODEL]`; DIR holds one folder per set, each with a labels.csv.
Without it, synthetic scans are read. MODEL is one trained on MNIST alone (`digitrec train --network cnn`), for
comparison.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.ablated_readers import Blind, Undecided, WithoutGlance, WithoutLine
from digitrec.app import composition, models, predict
from digitrec.models.package import ModelPackage
from digitrec.pipeline.read_files import FileResult, decide_readings
from digitrec.recognition.full_path import RecognitionModels
from digitrec.recognition.reader import PageReader
from digitrec.reports.statistics import wilson
from digitrec.settings import Settings
from digitrec.training.datasets.image_folder import NONE as NO_DIGIT
from digitrec.training.datasets.image_folder import LabelledPicture, find_labelled_pictures
from digitrec.types import PageStatus

_DRAWN, _DRAWN_SEED = 1000, 20_000
_HALF_BELIEVED = 0.5


def main() -> None:
    """Print a table in Markdown, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--real", type=Path, help="a folder of labelled sets of real pictures")
    parser.add_argument("--plain", type=Path, help="the folder of a model trained on MNIST alone")
    parser.add_argument("--model", help="an id or a folder; default: the one in use")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="digitrec-") as folder:
        settings = Settings.load(Path(folder), {"model": given.model})
        sets = _sets(settings, given.real)
        print("| | " + " | ".join(sets) + " |")
        print("|---|" + "--:|" * len(sets))
        found = {}
        for name, reader in _readers(settings, given.plain).items():
            found[name] = {each: _right(settings, reader, pictures) for each, pictures in sets.items()}
            print(
                f"| {name} | " + " | ".join(f"{100 * share:.2f}" for share in found[name].values()) + " |", flush=True
            )
    print("\nPer cent right; of pages without a digit, per cent not read with a confidence of 0.5 or more.")
    for each, pictures in sets.items():
        interval = wilson(round(found[name][each] * len(pictures)), len(pictures))
        print(f"{each}: {len(pictures)} pages; last row, 95 %: {100 * interval.low:.2f} to {100 * interval.high:.2f}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def _readers(settings: Settings, plain: Path | None) -> Mapping[str, PageReader]:
    bundle = composition.open_model(settings)
    classifier, networks = composition.CLASSIFIERS["litert"](bundle), RecognitionModels.load(bundle)
    readers: dict[str, PageReader] = {}
    if plain is not None:
        other = composition.CLASSIFIERS["litert"](ModelPackage.open(plain))
        readers["classical ink, digits learned from MNIST alone"] = PageReader(other)
        readers["... and both networks"] = WithoutGlance(other, networks)
    readers["classical ink, digits learned from paper"] = PageReader(classifier)
    readers["... and the ink network"] = WithoutLine(classifier, RecognitionModels(networks.segmenter, Undecided()))
    readers["... and the line network instead"] = WithoutGlance(
        classifier, RecognitionModels(Blind(), networks.recognizer)
    )
    readers["... and both"] = WithoutGlance(classifier, networks)
    readers["... and a glance first: as shipped"] = PageReader(classifier, networks)
    return readers


def _sets(settings: Settings, real: Path | None) -> dict[str, Sequence[LabelledPicture]]:
    drawn = settings.workspace / "drawn scans"
    models.write_samples(drawn, count=_DRAWN, seed=_DRAWN_SEED)
    folders = [drawn, *(path.parent for path in sorted(real.glob("*/labels.csv")))] if real else [drawn]
    return {
        folder.name: find_labelled_pictures(folder)
        for folder in folders
        if "broken" not in (folder / "labels.csv").read_text(encoding="utf-8")
    }


def _right(settings: Settings, reader: PageReader, pictures: Sequence[LabelledPicture]) -> float:
    """The share of files whose text is the label; one without a digit is right if nothing on it is half believed."""
    return float(
        np.mean([_is_right(content, one.label) for one, content in predict.read_labelled(settings, reader, pictures)])
    )


def _is_right(content: FileResult, label: str) -> bool:
    (readings,) = decide_readings([content], threshold=_HALF_BELIEVED)
    if label == NO_DIGIT:
        return all(reading.status is not PageStatus.ACCEPTED for reading in readings)
    return all(reading.text == label for reading in readings)


if __name__ == "__main__":
    main()
