"""Calibrate a model on labelled pages: a copy with the same weights and other thresholds."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from digitrec.app import composition
from digitrec.app.labelled import folder_name, read_labelled
from digitrec.errors import DataError
from digitrec.models.calibration import AnswerKind, CalibrationTable, OperatingPoint, Rule, required_sample_size
from digitrec.models.card import ModelCard
from digitrec.models.package import CARD, ModelPackage
from digitrec.models.registry import install
from digitrec.pipeline.read_files import FileResult
from digitrec.settings import Settings
from digitrec.text import format_utc
from digitrec.training import calibrate, model_card
from digitrec.training.datasets import registry
from digitrec.training.datasets.image_folder import NONE, LabelledPicture

MODEL_CARD_FILE = "MODEL_CARD.md"
OWN_SCANS = "own scans"
"""Name of the calibration table made of the user's pages of one digit."""
OWN_NUMBERS = "own scans of numbers"
_MAX_MAX_ERROR = 0.5
"""Upper limit of the setting `max_error`."""


@dataclass(frozen=True, slots=True)
class CalibrationResult:
    """A calibrated copy of a model."""

    model_id: str
    folder: Path
    tables: tuple[CalibrationTable, ...]
    """Tables of the user's pages: of one digit, of more digits, or both."""
    max_error: float
    run_max_error: float
    """`max_error` of `run` without a flag."""
    run_limit: str
    """Which pages always need review in such a `run`; "" if none does."""

    @property
    def operating_points(self) -> list[tuple[CalibrationTable, OperatingPoint]]:
        """Return each table with its accepted and wrong pages at the threshold for `max_error`."""
        thresholds = [(table, table.threshold(self.max_error)) for table in self.tables]
        return [(table, table.point_at(threshold)) for table, threshold in thresholds if threshold is not None]

    def to_json(self) -> dict[str, object]:
        """Return the result as plain types, without the rows of the tables."""
        return {
            "model_id": self.model_id,
            "folder": str(self.folder),
            "max_error": self.max_error,
            "run_max_error": self.run_max_error,
            "run_limit": self.run_limit,
            "tables": [
                {"applies_to": list(table.applies_to), "pages": table.trials, **asdict(point)}
                for table, point in self.operating_points
            ],
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
    source = f"the labelled pages of {folder_name(data)}"
    measured = _measure_tables(settings, package, pictures, source, progress)
    own = {table.applies_to[0]: table for table in measured if table.threshold(settings.max_error) is not None}
    if not own:
        raise _too_few(max(measured, key=lambda table: table.trials), settings.max_error)
    # Where the user's pages are too few, the tables of the model stay in force.
    others = [
        replace(table, applies_to=kinds)
        for table in package.card.calibrations
        if (kinds := tuple(kind for kind in table.applies_to if kind not in own))
    ]
    tables = (*own.values(), *others)
    digest = hashlib.sha256(json.dumps([asdict(table) for table in tables], sort_keys=True).encode()).hexdigest()
    second_opinion = package.card.second_opinion
    card = replace(
        package.card,
        id=f"{package.card.weights_id}-c{digest[:8]}",
        calibrations=tables,
        # What another reader's agreement is worth was not measured on the user's pages.
        second_opinion=None if second_opinion is None else second_opinion.without(own),
        training={**package.card.training, "calibrated_at": format_utc(time.time())},
    )
    contents = {file: package.read_file(file) for file in card.files}
    folder = install(settings.models, card.id, {**contents, **render_model_texts(package, card)})
    run_max_error = Settings.load(settings.workspace).max_error
    limit = ModelPackage(folder, card).describe_limit(run_max_error)
    return CalibrationResult(card.id, folder, tuple(own.values()), settings.max_error, run_max_error, limit)


def _measure_tables(
    settings: Settings,
    package: ModelPackage,
    pictures: Sequence[LabelledPicture],
    source: str,
    progress: Callable[[int, int], None] | None,
) -> list[CalibrationTable]:
    """Read labelled pictures with a model; return a table of the pages of one digit and one of all others."""
    reader = composition.load_page_reader(package)
    labelled = [(file, picture.label) for picture, file in read_labelled(settings, reader, pictures, progress)]
    kinds = [_kind_of(file, label) for file, label in labelled]
    tables: list[CalibrationTable] = []
    for kind in AnswerKind:
        chosen = [page for page, own_kind in zip(labelled, kinds, strict=True) if own_kind is kind]
        judged = calibrate.judge_pages(chosen)
        if len(judged[0]) or not (chosen or tables):
            name = OWN_SCANS if kind is AnswerKind.DIGITS else OWN_NUMBERS
            tables.append(calibrate.build_calibration_table(name, source, *judged, Rule.UPPER_BOUND, (kind,)))
    return tables


def _kind_of(file: FileResult, label: str) -> AnswerKind:
    """Return the kind of answer that a label asks for; for `none`, the kind that was read."""
    count = sum(len(page.boxes) for page in file.pages) if label == NONE else len(label)
    return AnswerKind.DIGITS if count <= 1 else AnswerKind.NUMBERS


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
