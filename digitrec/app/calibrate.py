"""Calibrate a model on labelled pages: a copy with the same weights and other thresholds."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from digitrec.app import composition, predict
from digitrec.errors import DataError
from digitrec.models.calibration import CalibrationTable, OperatingPoint, Rule, required_sample_size
from digitrec.models.card import ModelCard
from digitrec.models.package import CARD, ModelPackage
from digitrec.models.registry import install
from digitrec.settings import Settings
from digitrec.text import format_utc
from digitrec.training import calibrate, model_card
from digitrec.training.datasets import registry
from digitrec.training.datasets.image_folder import LabelledPicture

MODEL_CARD_FILE = "MODEL_CARD.md"
OWN_SCANS = "own scans"
"""Name of the calibration table made of the user's scans."""
_MAX_MAX_ERROR = 0.5
"""Upper limit of the setting `max_error`."""


@dataclass(frozen=True, slots=True)
class CalibrationResult:
    """A calibrated copy of a model."""

    model_id: str
    folder: Path
    table: CalibrationTable
    max_error: float
    operating_point: OperatingPoint
    """Accepted and wrong pages at the threshold for `max_error`."""
    run_max_error: float
    """`max_error` of `run` without a flag."""

    @property
    def run_threshold(self) -> float | None:
        """Threshold of such a `run`; None if all pages need review, as `run_max_error` cannot be guaranteed."""
        return self.table.threshold(self.run_max_error)

    def to_json(self) -> dict[str, object]:
        """Return the result as plain types, without the table's rows."""
        return {
            "model_id": self.model_id,
            "folder": str(self.folder),
            "pages": self.table.trials,
            "max_error": self.max_error,
            "run_max_error": self.run_max_error,
            "run_threshold": self.run_threshold,
            **asdict(self.operating_point),
        }


def calibrate_model(
    settings: Settings,
    data: str,
    *,
    labels: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CalibrationResult:
    """Write a copy of the current model, calibrated on the user's labelled scans, into the registry.

    Args:
        settings: name the model and `max_error`.
        data: a folder of labelled pictures, as `--data` takes it.
        labels: a file,label CSV that overrides the labels in the folder.
        progress: called with the number of files done and the number of all files.

    Raises:
        DataError: the data are no folder of labelled pictures, or too few to guarantee `max_error`.
        ModelError: the model cannot be used.
    """
    pictures = registry.find_dataset_files(data, labels)
    if pictures is None:
        raise DataError(f"{data} is no folder of labelled pictures", hint="Use --data folder:DIR.")
    package = composition.open_model(settings)
    source = f"the labelled pages of {predict.folder_name(data)}"
    table = measure_calibration(settings, package, pictures, OWN_SCANS, source, Rule.UPPER_BOUND, progress)
    threshold = table.threshold(settings.max_error)
    if threshold is None:
        raise _too_few(table, settings.max_error)
    digest = hashlib.sha256(json.dumps(asdict(table), sort_keys=True).encode()).hexdigest()
    card = replace(
        package.card,
        id=f"{package.card.weights_id}-c{digest[:8]}",
        calibrations=(table,),
        training={**package.card.training, "calibrated_at": format_utc(time.time())},
    )
    contents = {file: package.read_file(file) for file in card.files}
    folder = install(settings.models, card.id, {**contents, **render_model_texts(package, card)})
    run_max_error = Settings.load(settings.workspace).max_error
    return CalibrationResult(card.id, folder, table, settings.max_error, table.point_at(threshold), run_max_error)


def measure_calibration(
    settings: Settings,
    package: ModelPackage,
    pictures: Sequence[LabelledPicture],
    name: str,
    source: str,
    rule: Rule,
    progress: Callable[[int, int], None] | None = None,
) -> CalibrationTable:
    """Read labelled pictures with a model and return their calibration table."""
    results = predict.read_labelled(settings, composition.load_page_reader(package), pictures, progress)
    confidences, is_right = calibrate.judge_pages((result, picture.label) for picture, result in results)
    return calibrate.build_calibration_table(name, source, confidences, is_right, rule)


def render_model_texts(package: ModelPackage, card: ModelCard) -> dict[str, str]:
    """Return the two text files of a model folder by name, for a changed copy of the model's card."""
    model_card_text = (package.folder / MODEL_CARD_FILE).read_text(encoding="utf-8")
    return {
        CARD: json.dumps(card.to_json(), indent=1) + "\n",
        MODEL_CARD_FILE: model_card.replace_guarantees(model_card_text, card, package.card.id),
    }


def _too_few(table: CalibrationTable, max_error: float) -> DataError:
    lowest = table.lowest_error
    point = next((row for row in table.bounds if row.upper <= lowest), None)
    if point is None or lowest > _MAX_MAX_ERROR:
        least = "they can guarantee none at all"
    else:
        least = (
            f"the smallest max_error they can guarantee is {lowest:.5f} "
            f"({point.accepted:,} accepted, {point.wrong:,} of them wrong)"
        )
    return DataError(
        f"{table.trials:,} labelled pages are too few to guarantee a max_error of {max_error:g}: {least}",
        hint=f"Label more pages: {required_sample_size(max_error):,} that are accepted without any error would do, "
        "more if some are wrong. Or raise max_error.",
    )
