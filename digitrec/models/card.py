"""The model card `model.json` as a frozen dataclass: parse, validate, serialize."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from digitrec.errors import ModelError
from digitrec.models.calibration import AnswerKind, CalibrationTable, OperatingPoint, Rule
from digitrec.models.second_opinion import SecondOpinionCalibration

SCHEMA = 3
_FIRST_SCHEMA = 1
"""Schema of cards with one calibration table, `bounds`."""
_SECOND_SCHEMA = 2
"""Schema of cards whose tables apply to digits and numbers alike and count `pages`."""
_ID = re.compile(r"[a-z0-9_]{1,40}-[0-9a-f]{10}(-c[0-9a-f]{8})?")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}\.(keras|tflite)")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Metric:
    """Accuracy on one held-out data set; low and high are the Wilson 95 % interval."""

    data: str
    pictures: int
    right: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch of the training curves. Validation pictures are half clean, half augmented."""

    epoch: int
    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """Content of `model.json`."""

    id: str
    """`<network>-<first 10 hex of bundle.weights_digest>`, and `-c<8 hex>` after another calibration."""
    network: str
    created_at: str
    recipe: int
    """The way of making ink it was trained with, `recipe.RECIPE` then."""
    input_shape: tuple[int, ...]
    weights: int
    """Number of trained parameters."""
    files: Mapping[str, str]
    """sha256 by file name."""
    temperature: float
    calibrations: tuple[CalibrationTable, ...]
    """Tables that the thresholds are chosen from; the rules of all that apply to an answer must hold."""
    metrics: tuple[Metric, ...]
    history: tuple[Epoch, ...]
    best_epoch: int
    interrupted: bool
    """True if training was stopped early, with the best weights until then."""
    seed: int
    training: Mapping[str, Any] = field(default_factory=dict)
    """Data name, source and digest, held-out data, epochs, rates, seconds: for people and reports."""
    versions: Mapping[str, str] = field(default_factory=dict)
    second_opinion: SecondOpinionCalibration | None = None
    """None: no other reader was calibrated with it, and none is asked."""

    @property
    def weights_id(self) -> str:
        """Return the id without the suffix of a calibration."""
        return "-".join(self.id.split("-")[:2])

    @property
    def fingerprint(self) -> str:
        """Names the exact weights and the recipe they go with, for the ledger."""
        return f"{self.id}-r{self.recipe}"

    def to_json(self) -> dict[str, Any]:
        """Return the content of `model.json`."""
        values = asdict(self)
        if self.second_opinion is None:
            del values["second_opinion"]
        return {"schema": SCHEMA, **values}

    @classmethod
    def from_json(cls, content: object) -> Self:
        """Parse and validate the content of `model.json`.

        Raises:
            ModelError: a value is missing or invalid.
        """
        try:
            return cls._parse(content)
        except (KeyError, TypeError, ValueError) as error:
            why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise ModelError(f"model.json cannot be used: {why}") from None

    @classmethod
    def _parse(cls, content: object) -> Self:
        if not isinstance(content, dict):
            raise TypeError("it is no JSON object")
        values = dict(content)
        schema = values.pop("schema", None)
        if schema not in {SCHEMA, _SECOND_SCHEMA, _FIRST_SCHEMA}:
            raise ValueError(f"its schema is not {SCHEMA}")
        files = values["files"]
        if not files or not all(_FILE.fullmatch(name) and _DIGEST.fullmatch(files[name]) for name in files):
            raise ValueError("its files are not all .keras or .tflite files with a sha256")
        if not _ID.fullmatch(values["id"]):
            raise ValueError(f"its id {values['id']!r} is not NETWORK-0123456789 or NETWORK-0123456789-c01234567")
        if not (isinstance(values["temperature"], float) and 0.01 <= values["temperature"] <= 100):
            raise ValueError(f"its temperature is {values['temperature']!r}")
        if schema == _FIRST_SCHEMA:
            values["calibrations"] = _parse_first_schema(values)
        elif schema == _SECOND_SCHEMA:
            values["calibrations"] = _parse_second_schema(values["calibrations"])
        else:
            values["calibrations"] = _parse_tables(values["calibrations"])
        values["metrics"] = tuple(Metric(**row) for row in values["metrics"])
        values["history"] = tuple(Epoch(**row) for row in values["history"])
        values["input_shape"] = tuple(values["input_shape"])
        if "second_opinion" in values:
            values["second_opinion"] = SecondOpinionCalibration.from_json(values["second_opinion"])
        return cls(**values)


def _parse_tables(tables: list[dict[str, Any]]) -> tuple[CalibrationTable, ...]:
    return tuple(
        CalibrationTable(
            **{
                **table,
                "rule": Rule(table["rule"]),
                "bounds": tuple(OperatingPoint(**row) for row in table["bounds"]),
                "applies_to": tuple(AnswerKind(kind) for kind in table["applies_to"]),
            }
        )
        for table in tables
    )


def _parse_second_schema(tables: list[dict[str, Any]]) -> tuple[CalibrationTable, ...]:
    return _parse_tables(
        [
            {"trials": table["pages"], "applies_to": list(AnswerKind)}
            | {name: value for name, value in table.items() if name != "pages"}
            for table in tables
        ]
    )


def _parse_first_schema(values: dict[str, Any]) -> tuple[CalibrationTable, ...]:
    rows = tuple(OperatingPoint(**row) for row in values.pop("bounds"))
    training = values.get("training")
    calibrated = training.get("calibrated") if isinstance(training, dict) else None
    pages = calibrated if isinstance(calibrated, int) else max((row.accepted for row in rows), default=0)
    return (CalibrationTable("held out", "pictures held out of training", pages, Rule.UPPER_BOUND, rows),)
