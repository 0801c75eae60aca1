"""The calibration of another reader's agreement, as it is stored in a model's card."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitrec.app import composition
from digitrec.errors import ModelError
from digitrec.models.calibration import AnswerKind, CalibrationTable, OperatingPoint, Rule
from digitrec.models.card import ModelCard
from digitrec.models.package import ModelPackage
from digitrec.models.second_opinion import AgreementCell, AgreementModel, AgreementPoint, SecondOpinionCalibration

NUMBERS, DIGITS = AnswerKind.NUMBERS, AnswerKind.DIGITS
MODEL = AgreementModel(NUMBERS, -1.0, 0.5, 4.0, 0.5, 0.25)
TABLE = CalibrationTable(
    "numbers",
    "",
    1000,
    Rule.OBSERVED,
    (OperatingPoint(0.0, 1000, 50, 0.07), OperatingPoint(0.9, 800, 4, 0.02), OperatingPoint(0.99, 600, 1, 0.01)),
    (NUMBERS,),
)

probabilities = st.floats(0.0, 1.0)


def point(max_error: float, asked_below: float, kind: AnswerKind = NUMBERS) -> AgreementPoint:
    return AgreementPoint(kind, max_error, asked_below, 0.95, 200, 150, 0, 900, 3, 0.01)


@given(probabilities, probabilities, probabilities, probabilities)
def test_more_evidence_never_lowers_the_confidence(own: float, more: float, score: float, higher: float) -> None:
    own, more = sorted((own, more))
    score, higher = sorted((score, higher))

    assert 0.0 <= MODEL.confidence(own, True, score) <= MODEL.confidence(more, True, higher) <= 1.0
    assert MODEL.confidence(own, False, higher) <= MODEL.confidence(more, False, score)
    assert MODEL.confidence(own, False, score) <= MODEL.confidence(own, True, score) + 1e-12 or score < 0.5


@pytest.mark.parametrize("name", ["own", "agrees", "score", "other_score"])
def test_a_model_that_is_not_monotone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not monotone"):
        replace(MODEL, **{name: -0.1})
    with pytest.raises(ValueError, match="not monotone"):
        replace(MODEL, **{name: float("nan")})


def test_the_next_smaller_error_rate_decides() -> None:
    calibration = SecondOpinionCalibration("other-1.0", (MODEL,), (), (point(0.005, 0.9), point(0.002, 0.99)))

    assert calibration.point(NUMBERS, 0.005, [TABLE]) == point(0.005, 0.9)
    assert calibration.point(NUMBERS, 0.02, [TABLE]) == point(0.005, 0.9)
    assert calibration.point(NUMBERS, 0.003, [TABLE]) == point(0.002, 0.99)
    assert calibration.point(NUMBERS, 0.001, [TABLE]) is None
    assert calibration.point(DIGITS, 0.005, [TABLE]) is None


def test_a_point_of_other_tables_does_not_hold() -> None:
    calibration = SecondOpinionCalibration("other-1.0", (MODEL,), (), (point(0.005, 0.95),))

    assert calibration.point(NUMBERS, 0.005, [TABLE]) is None


def test_it_is_kept_in_the_card() -> None:
    cells = (AgreementCell(NUMBERS, True, 0.5, 0.8, 120, 118),)
    calibration = SecondOpinionCalibration("other-1.0", (MODEL,), cells, (point(0.005, 0.9),))
    card = replace(ModelPackage.open(composition.SHIPPED_MODELS_DIR).card, second_opinion=calibration)

    content = json.loads(json.dumps(card.to_json()))

    assert ModelCard.from_json(content) == card
    assert calibration.model(NUMBERS) == MODEL
    assert calibration.model(DIGITS) is None


@pytest.mark.parametrize(
    "damage",
    [
        {"models": None},
        {"points": [{}]},
        {"cells": [{"kind": "letters"}]},
        {"models": [{"kind": "numbers", "intercept": 0.0, "own": -1.0, "agrees": 0, "score": 0, "other_score": 0}]},
    ],
)
def test_a_damaged_one_makes_the_card_unusable(damage: dict[str, object]) -> None:
    content = ModelPackage.open(composition.SHIPPED_MODELS_DIR).card.to_json()
    content["second_opinion"] = {"reader": "other-1.0", "models": [], "cells": [], "points": []} | damage

    with pytest.raises(ModelError, match=r"model\.json cannot be used"):
        ModelCard.from_json(json.loads(json.dumps(content)))
