"""What a model says about itself: `model.json` as a frozen record, read and written here only."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from digitrec.errors import ModelError
from digitrec.models.calibration import CalibrationTable, OperatingPoint, Rule

SCHEMA = 2
_WITH_ONE_TABLE = 1
"""Cards of this schema have one table, `bounds`."""
_ID = re.compile(r"[a-z0-9_]{1,40}-[0-9a-f]{10}(-c[0-9a-f]{8})?")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}\.(keras|tflite)")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Metric:
    """How well it read one data set it had never seen; low and high are the Wilson 95 % interval."""

    data: str
    pictures: int
    right: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of the training curves. Validation pictures are half clean, half augmented."""

    epoch: int
    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """Everything in `model.json`."""

    id: str
    """`<network>-<first 10 hex of bundle.weights_digest>`, and `-c<8 hex>` if it was calibrated anew."""
    network: str
    created_at: str
    recipe: int
    """The way of making ink it was trained with, `recipe.RECIPE` then."""
    input_shape: tuple[int, ...]
    weights: int
    """How many numbers were learned."""
    files: Mapping[str, str]
    """File name -> sha256."""
    temperature: float
    calibrations: tuple[CalibrationTable, ...]
    """What the threshold follows from; the rules of all must hold."""
    metrics: tuple[Metric, ...]
    history: tuple[Epoch, ...]
    best_epoch: int
    interrupted: bool
    """Training was stopped early; the best weights until then were kept."""
    seed: int
    training: Mapping[str, Any] = field(default_factory=dict)
    """Data name, source and digest, what was held out, epochs, rates, seconds: for people and reports."""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def weights_id(self) -> str:
        """Its id without what a new calibration added."""
        return "-".join(self.id.split("-")[:2])

    @property
    def fingerprint(self) -> str:
        """Names the exact weights and the recipe they go with, for the ledger."""
        return f"{self.id}-r{self.recipe}"

    def to_json(self) -> dict[str, Any]:
        """What `model.json` holds."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, found: object) -> Self:
        """Check and take over what `model.json` holds.

        Raises:
            ModelError: something in it is missing or cannot be.
        """
        try:
            return cls._parse(found)
        except (KeyError, TypeError, ValueError) as why:
            raise ModelError(f"model.json cannot be used: {_words(why)}") from None

    @classmethod
    def _parse(cls, found: object) -> Self:
        if not isinstance(found, dict):
            raise TypeError("it is no JSON object")
        values = dict(found)
        schema = values.pop("schema", None)
        if schema not in {SCHEMA, _WITH_ONE_TABLE}:
            raise ValueError(f"its schema is not {SCHEMA}")
        files = values["files"]
        if not files or not all(_FILE.fullmatch(name) and _DIGEST.fullmatch(files[name]) for name in files):
            raise ValueError("its files are not all .keras or .tflite files with a sha256")
        if not _ID.fullmatch(values["id"]):
            raise ValueError(f"its id {values['id']!r} is not NETWORK-0123456789 or NETWORK-0123456789-c01234567")
        if not (isinstance(values["temperature"], float) and 0.01 <= values["temperature"] <= 100):
            raise ValueError(f"its temperature is {values['temperature']!r}")
        values["calibrations"] = _one_table(values) if schema == _WITH_ONE_TABLE else _tables(values["calibrations"])
        values["metrics"] = tuple(Metric(**row) for row in values["metrics"])
        values["history"] = tuple(Epoch(**row) for row in values["history"])
        values["input_shape"] = tuple(values["input_shape"])
        return cls(**values)


def _tables(found: list[dict[str, Any]]) -> tuple[CalibrationTable, ...]:
    return tuple(
        CalibrationTable(
            **{**table, "rule": Rule(table["rule"]), "bounds": tuple(OperatingPoint(**row) for row in table["bounds"])}
        )
        for table in found
    )


def _one_table(values: dict[str, Any]) -> tuple[CalibrationTable, ...]:
    rows = tuple(OperatingPoint(**row) for row in values.pop("bounds"))
    training = values.get("training")
    told = training.get("calibrated") if isinstance(training, dict) else None
    pages = told if isinstance(told, int) else max((row.accepted for row in rows), default=0)
    return (CalibrationTable("held out", "pictures held out of training", pages, Rule.UPPER_BOUND, rows),)


def _words(why: Exception) -> str:
    return f"{why} is missing" if isinstance(why, KeyError) else str(why)
