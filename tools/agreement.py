"""Calibrate the agreement of another reader on synthetic pages: models, table and operating points.

The other reader is asked about answers below the operating point. Whether they are right is explained by a logistic
regression, and the operating points of its probability are chosen so that `max_error` holds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digitrec.models.calibration import (
    AnswerKind,
    CalibrationTable,
    OperatingPoint,
    Rule,
    choose_operating_point,
    tables_for,
)
from digitrec.models.second_opinion import (
    PARAMS as LIMITS,
)
from digitrec.models.second_opinion import (
    AgreementCell,
    AgreementModel,
    AgreementPoint,
    SecondOpinionCalibration,
    log_odds,
)
from digitrec.recognition.second_opinion import AskRule, SecondOpinion, TextReader
from digitrec.training import calibrate
from digitrec.training.synthetic_evaluation import DIGITS, NUMBERS, Answer, SyntheticResult

SETS = {DIGITS: AnswerKind.DIGITS, NUMBERS: AnswerKind.NUMBERS}
"""Kind of answers of each set of pages that is calibrated."""
_NEVER_ACCEPTS = 2.0
_ALWAYS = 2.0
"""Combined confidence of an answer that is accepted for its own."""


@dataclass(frozen=True, slots=True)
class AgreementFitParams:
    """What the models and operating points are fitted to."""

    error_rates: tuple[float, ...] = (0.05, 0.02, 0.01, 0.005, 0.002)
    """Error rates with an operating point."""
    own_edges: tuple[float, ...] = (0.0, 0.2, 0.5, 0.8, 0.95)
    """Lower ends of the table's cells of own confidence."""
    score_edges: tuple[float, ...] = (0.0, 0.5, 0.8, 0.95)
    """Lower ends of the cells of the other reader's score."""
    ridge: float = 0.5
    """Weight of the squared coefficients, so that they stay small where few answers separate right from wrong."""


PARAMS = AgreementFitParams()


def find_ask_limits(tables: Sequence[CalibrationTable]) -> dict[AnswerKind, float]:
    """Return the own confidence below which another reader is asked for calibration, for each kind of answers.

    It is the highest operating point; kinds without any are left out.
    """
    limits = {}
    for kind in AnswerKind:
        choices = [choose_operating_point(tables_for(tables, kind), rate) for rate in PARAMS.error_rates]
        if thresholds := [choice.threshold for choice in choices if choice is not None]:
            limits[kind] = max(thresholds)
    return limits


def make_asking(name: str, reader: TextReader, limits: dict[AnswerKind, float]) -> SecondOpinion:
    """Return a second opinion that asks below these limits, and accepts nothing."""
    neutral = {kind: AgreementModel(kind, 0.0, 0.0, 0.0, 0.0, 0.0) for kind in limits}
    rules = {kind: AskRule(limit, _NEVER_ACCEPTS, neutral[kind]) for kind, limit in limits.items()}
    return SecondOpinion(name, reader, rules)


def calibrate_agreement(
    name: str, result: SyntheticResult, tables: Sequence[CalibrationTable]
) -> SecondOpinionCalibration:
    """Return the calibration of another reader.

    Args:
        name: its name and version.
        result: answers, with the evidence where it was asked.
        tables: of the model alone.
    """
    models: list[AgreementModel] = []
    cells: list[AgreementCell] = []
    points: list[AgreementPoint] = []
    for set_name, kind in SETS.items():
        asked = [answer for answer in result.answers[set_name] if answer.evidence is not None]
        if not asked:
            continue
        model = fit_agreement(kind, asked)
        models.append(model)
        cells += _count_cells(kind, asked)
        points += _find_points(model, result.answers_by_page[set_name], tables)
    return SecondOpinionCalibration(name, tuple(models), tuple(cells), tuple(points))


def fit_agreement(kind: AnswerKind, answers: Sequence[Answer]) -> AgreementModel:
    """Fit the monotone logistic regression to answers that another reader was asked about."""
    from scipy.optimize import minimize

    evidence = np.array([_features(answer) for answer in answers], np.float64)  # (n, 5)
    is_right = np.array([answer.is_right for answer in answers], np.bool_)
    sign = np.where(is_right, 1.0, -1.0)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = sign * (evidence @ weights)
        gradient = -(evidence * (sign / (1.0 + np.exp(margin)))[:, None]).sum(axis=0)
        shrunk = np.append(0.0, weights[1:])  # not the intercept
        value = float(np.logaddexp(0.0, -margin).sum() + PARAMS.ridge * np.square(shrunk).sum())
        return value, gradient + 2 * PARAMS.ridge * shrunk

    bounds = [(None, None)] + [(0.0, None)] * (evidence.shape[1] - 1)
    best = minimize(loss, np.zeros(evidence.shape[1]), jac=True, bounds=bounds, method="L-BFGS-B")
    return AgreementModel(kind, *(round(float(weight), 6) for weight in best.x))


def _features(answer: Answer) -> tuple[float, ...]:
    """Return what the coefficients of a model are multiplied with, in its order."""
    assert answer.evidence is not None
    agrees, score = answer.evidence
    odds = log_odds(score, LIMITS.score)
    return (1.0, log_odds(answer.confidence, LIMITS.own), float(agrees), odds * agrees, -odds * (not agrees))


def _count_cells(kind: AnswerKind, answers: Sequence[Answer]) -> Iterator[AgreementCell]:
    """Yield the cells of the calibration table that are not empty."""
    own = np.digitize([answer.confidence for answer in answers], PARAMS.own_edges) - 1
    score = np.digitize([answer.evidence.score for answer in answers if answer.evidence], PARAMS.score_edges) - 1
    agrees = np.array([answer.evidence.agrees for answer in answers if answer.evidence], np.bool_)
    is_right = np.array([answer.is_right for answer in answers], np.bool_)
    for is_same in (True, False):
        for low, own_from in enumerate(PARAMS.own_edges):
            for column, score_from in enumerate(PARAMS.score_edges):
                is_in = (agrees == is_same) & (own == low) & (score == column)
                if is_in.any():
                    right = int((is_in & is_right).sum())
                    yield AgreementCell(kind, is_same, own_from, score_from, int(is_in.sum()), right)


def _find_points(
    model: AgreementModel, pages: Sequence[Sequence[Answer]], tables: Sequence[CalibrationTable]
) -> Iterator[AgreementPoint]:
    """Yield the operating point for each error rate that can be guaranteed.

    Of the answers accepted by agreement, the observed error rate must be within `max_error`, with enough of them to
    observe it. Of all accepted answers, the error rate must be by the rule of the model's own table.
    """
    own_tables = tables_for(tables, model.kind)
    rule = next((table.rule for table in own_tables if table.rule is not Rule.REPORTED), Rule.UPPER_BOUND)
    for rate in PARAMS.error_rates:
        own = choose_operating_point(own_tables, rate)
        if own is None:
            continue
        answers = [answer for page in pages for answer in page]
        combined = np.array([value for page in pages for value in _combine_page(model, page, own.threshold)])
        is_right = np.array([answer.is_right for answer in answers], np.bool_)
        clusters = [answer.clusters for answer in answers]
        both = calibrate.build_calibration_table("", "", combined, is_right, rule, (model.kind,), clusters)
        is_asked = combined < _ALWAYS
        agreed = calibrate.build_calibration_table(
            "", "", combined[is_asked], is_right[is_asked], Rule.OBSERVED, (model.kind,)
        )
        for alone, all_of_them in zip(agreed.bounds, both.bounds, strict=True):
            if _holds(alone, all_of_them, both, rate):
                asked = sum(
                    answer.evidence is not None and bool(answer.confidence < own.threshold) for answer in answers
                )
                yield AgreementPoint(
                    kind=model.kind,
                    max_error=rate,
                    asked_below=own.threshold,
                    threshold=alone.threshold,
                    asked=asked,
                    accepted=alone.accepted,
                    wrong=alone.wrong,
                    all_accepted=all_of_them.accepted,
                    all_wrong=all_of_them.wrong,
                    all_upper=all_of_them.upper,
                )
                break


def _holds(alone: OperatingPoint, all_of_them: OperatingPoint, table: CalibrationTable, rate: float) -> bool:
    is_observable = alone.accepted * rate >= 1.0
    return is_observable and alone.observed_error <= rate and table.error(all_of_them) <= rate


def _combine_page(model: AgreementModel, page: Sequence[Answer], asked_below: float) -> Iterator[float]:
    """Yield for each answer of a page the combined confidence, `_ALWAYS` or `NEVER`.

    A written number that was not read is an error that is accepted with the page, once all others are.
    """
    values = [_combine(model, answer, asked_below) for answer in page]
    of_page = min((value for value in values if value is not None), default=calibrate.NEVER)
    for answer, value in zip(page, values, strict=True):
        if value is None:
            yield calibrate.NEVER if answer.confidence < 0 else of_page
        else:
            yield value


def _combine(model: AgreementModel, answer: Answer, asked_below: float) -> float | None:
    """Return the same for one answer; None for a number that was not read."""
    if answer.confidence >= asked_below:
        return _ALWAYS
    if answer.evidence is None:
        is_missing = answer.confidence >= 0.0 and not answer.is_right
        return None if is_missing else calibrate.NEVER
    return model.confidence(answer.confidence, answer.evidence.agrees, answer.evidence.score)
