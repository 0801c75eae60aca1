"""Calibration of a second text reader: what its agreement is worth, and from where it is accepted."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from digitrec.models.calibration import AnswerKind, CalibrationTable, choose_operating_point, tables_for


@dataclass(frozen=True, slots=True)
class AgreementParams:
    """Limits of probabilities before their log-odds are taken."""

    own: tuple[float, float] = (0.001, 0.9999)
    score: tuple[float, float] = (0.02, 0.998)
    """The scores of the other reader are means over its characters, and rarely below 0.3."""


PARAMS = AgreementParams()


@dataclass(frozen=True, slots=True)
class AgreementModel:
    """Logistic regression of the probability that an answer is right, given what the other reader says.

    It is monotone: no coefficient is negative, so that a higher own confidence, an agreement, and a higher score of it
    never lower the probability, and a higher score of another text never raises it.
    """

    kind: AnswerKind
    intercept: float
    own: float
    """Coefficient of the log-odds of the own confidence."""
    agrees: float
    """Added where the other reader reads the same text."""
    score: float
    """Coefficient of the log-odds of its score where it reads the same."""
    other_score: float
    """The same, subtracted, where it reads another text."""

    def __post_init__(self) -> None:
        coefficients = (self.own, self.agrees, self.score, self.other_score)
        if not (math.isfinite(self.intercept) and all(math.isfinite(value) and value >= 0 for value in coefficients)):
            raise ValueError(f"its model of agreement for {self.kind} is not monotone")

    def confidence(self, own: float, agrees: bool, score: float) -> float:
        """Return the probability that an answer is right, 0..1.

        Args:
            own: its confidence without the other reader, 0..1.
            agrees: the other reader reads the same text.
            score: confidence of the other reader in its own text, 0..1.

        >>> model = AgreementModel(AnswerKind.NUMBERS, -1.0, 0.5, 4.0, 0.5, 0.5)
        >>> round(model.confidence(0.8, True, 0.95), 3), round(model.confidence(0.8, False, 0.95), 3)
        (0.994, 0.144)
        """
        odds = log_odds(score, PARAMS.score)
        evidence = self.agrees + self.score * odds if agrees else -self.other_score * odds
        return 1.0 / (1.0 + math.exp(-(self.intercept + self.own * log_odds(own, PARAMS.own) + evidence)))


@dataclass(frozen=True, slots=True)
class AgreementCell:
    """One cell of the calibration table: answers with like evidence, and how many of them are right."""

    kind: AnswerKind
    agrees: bool
    own_from: float
    """Lowest own confidence, 0..1; the cell ends where the next one begins."""
    score_from: float
    """Lowest score of the other reader, 0..1."""
    answers: int
    right: int


@dataclass(frozen=True, slots=True)
class AgreementPoint:
    """Operating point of the combined confidence for one error rate."""

    kind: AnswerKind
    max_error: float
    asked_below: float
    """Own operating point for this error rate: the other reader is asked about answers below it."""
    threshold: float
    """Lowest combined confidence that is accepted."""
    asked: int
    accepted: int
    """Answers that are accepted by the combined confidence."""
    wrong: int
    """Of these."""
    all_accepted: int
    """Answers that are accepted by either confidence."""
    all_wrong: int
    all_upper: float
    """Upper bound of the error rate of all accepted answers, with 95 % confidence (one-sided)."""


@dataclass(frozen=True, slots=True)
class SecondOpinionCalibration:
    """What is known about the answers of one other reader."""

    reader: str
    """Name and version, such as `rapidocr-3.10`; another version may have other weights."""
    models: tuple[AgreementModel, ...]
    cells: tuple[AgreementCell, ...]
    """Counts that the models were fitted to, for people."""
    points: tuple[AgreementPoint, ...]

    def model(self, kind: AnswerKind) -> AgreementModel | None:
        """Return the model of one kind of answers; None without any."""
        return next((model for model in self.models if model.kind is kind), None)

    def point(self, kind: AnswerKind, max_error: float, tables: Sequence[CalibrationTable]) -> AgreementPoint | None:
        """Return the operating point for an error rate, or for the next smaller one that was calibrated.

        None if there is none, or if it was measured with another own operating point than that of these tables.
        """
        points = [point for point in self.points if point.kind is kind and point.max_error <= max_error]
        point = max(points, key=lambda point: point.max_error, default=None)
        if point is None:
            return None
        own = choose_operating_point(tables_for(tables, kind), point.max_error)
        return point if own is not None and own.threshold == point.asked_below else None

    def without(self, kinds: Collection[AnswerKind]) -> Self:
        """Return a copy that accepts no agreement about answers of these kinds."""
        return replace(self, points=tuple(point for point in self.points if point.kind not in kinds))

    def describe(self) -> Iterator[str]:
        """Yield the operating points as lines of text."""
        yield f"With a second opinion, {self.reader}:"
        yield "at most wrong  asks below  accepts from  of calibration answers asked about"
        for point in self.points:
            yield (
                f"{f'{100 * point.max_error:.4g} %':>13}  {point.asked_below:<10.6f}  {point.threshold:<12.6f}  "
                f"{point.kind}: {point.accepted:,} of {point.asked:,} accepted, {point.wrong} wrong"
            )

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Parse the value of `second_opinion` in `model.json`; KeyError, TypeError or ValueError if it is invalid."""

        def rows(name: str) -> list[dict[str, Any]]:
            return [{**row, "kind": AnswerKind(row["kind"])} for row in content[name]]

        return cls(
            reader=str(content["reader"]),
            models=tuple(AgreementModel(**row) for row in rows("models")),
            cells=tuple(AgreementCell(**row) for row in rows("cells")),
            points=tuple(AgreementPoint(**row) for row in rows("points")),
        )


def log_odds(probability: float, limits: tuple[float, float]) -> float:
    """Return the log-odds of a probability, limited first.

    >>> log_odds(0.5, (0.01, 0.99)), round(log_odds(1.0, (0.01, 0.99)), 3)
    (0.0, 4.595)
    """
    limited = min(max(probability, limits[0]), limits[1])
    return math.log(limited / (1.0 - limited))
