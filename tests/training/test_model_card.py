"""Error guarantees in the model card and in `models show`."""

from dataclasses import replace

import pytest

from digitrec.app import composition
from digitrec.cli import output
from digitrec.models.calibration import AnswerKind, CalibrationTable, OperatingPoint, Rule
from digitrec.models.card import ModelCard
from digitrec.models.package import ModelPackage
from digitrec.training import model_card

DRAWN = CalibrationTable(
    "drawn",
    "drawn paper",
    5000,
    Rule.UPPER_BOUND,
    (OperatingPoint(0.0, 5000, 40, 0.0104), OperatingPoint(0.9, 4500, 9, 0.0035)),
)
REAL = CalibrationTable(
    "real",
    "half of the photos",
    400,
    Rule.OBSERVED,
    (OperatingPoint(0.0, 400, 5, 0.03), OperatingPoint(0.95, 300, 0, 0.01)),
    (AnswerKind.DIGITS,),
)


@pytest.fixture
def card() -> ModelCard:
    return replace(
        ModelPackage.open(composition.SHIPPED_MODELS_DIR).card, id="cnn-0123456789", calibrations=(DRAWN, REAL)
    )


def test_the_chapter_says_what_was_asked_and_which_table_decided(card: ModelCard) -> None:
    words = model_card.render_guarantees(card)

    assert "- drawn (digits and numbers): 5,000 pages, drawn paper. Required: with 95 % confidence (one-sided)" in words
    assert (
        "- real (digits): 400 pages, half of the photos. Required: at most this share of accepted answers was wrong"
        in words
    )
    assert "the highest of their thresholds is used" in words
    assert "| 0.5 % | 0.950000 | real | 90.0 % | 9 of 4,500 | 75.0 % | 0 of 300 |" in words
    assert "| 0.2 % | not possible | needs 1,497 labelled pages without an error; at best 0.00350 | | | | |" in words
    assert "Pages of one digit:" in words
    numbers = words.partition("Numbers on pages of more than one digit:")[2]
    assert "| at most wrong | accept from | decided by | drawn: accepts | wrong among them |\n" in numbers
    assert "| 0.5 % | 0.900000 | drawn | 90.0 % | 9 of 4,500 |" in numbers


def test_a_table_that_decides_nothing_is_reported_only(card: ModelCard) -> None:
    empty = replace(REAL, name="empty", rule=Rule.REPORTED)

    words = model_card.render_guarantees(replace(card, calibrations=(DRAWN, empty)))

    assert "- empty (digits): 400 pages, half of the photos. Reported only: this table sets no threshold." in words


def test_the_calibration_chapter_is_rewritten_with_temperature_and_counts(
    card: ModelCard,
) -> None:
    plain = replace(card, training={name: fact for name, fact in card.training.items() if name != "stages"})
    paper = replace(card, training={**card.training, "stages": {"ink": {}, "line": {}, "pages": {}}})
    for words in (model_card.render_card(plain), model_card.render_card(paper)):
        before, _, chapter = words.partition(model_card.HEADING)
        assert "table" not in before
        assert "temperature" not in before
        assert "on digits held out of the training" in chapter

    assert "the characters that the pipeline found" not in model_card.render_guarantees(plain)
    assert "the characters that the pipeline found" in model_card.render_guarantees(paper)
    assert "read by the full pipeline with all networks" in model_card.render_guarantees(paper)


def test_only_the_title_and_the_chapter_of_a_card_change(card: ModelCard) -> None:
    before = f"# cnn-old\n\nMade.\n\n{model_card.HEADING}\n\nOld words.\n\n| a |\n\n## Limits\n\nNone of cnn-old.\n"

    after = model_card.replace_guarantees(before, card, "cnn-old")

    assert (
        after == f"# cnn-0123456789\n\nMade.\n\n{model_card.render_guarantees(card)}\n## Limits\n\nNone of cnn-old.\n"
    )
    assert model_card.replace_guarantees(after, card, card.id) == after


def test_a_card_without_the_chapter_gets_it_at_its_end(card: ModelCard) -> None:
    assert (
        model_card.replace_guarantees("# x\n\nWords.\n", card, "y")
        == f"# x\n\nWords.\n\n{model_card.render_guarantees(card)}"
    )


def test_any_error_rate_can_be_described(card: ModelCard) -> None:
    words = model_card.replace_guarantees(
        model_card.render_guarantees(card), card, card.id, output.list_error_rates(0.0234)
    )

    rates = [line.split(" | ")[0][2:] for line in words.splitlines() if line.startswith("| ") and " % | " in line]
    assert rates == ["2.34 %", "1 %", "0.5 %", "0.2 %", "0.1 %"] * 2
    assert "| 2.34 % | 0.000000 | drawn | 100 % | 40 of 5,000 | 100 % | 5 of 400 |" in words
    assert "| 1 % | 0.950000 | real | 90.0 % | 9 of 4,500 | 75.0 % | 0 of 300 |" in words


def test_the_json_output_has_the_same_figures(card: ModelCard) -> None:
    usual, tight = (output.thresholds_to_json(card.calibrations, rate)[-1] for rate in (0.001, 0.0005))

    assert usual["threshold"] is tight["threshold"] is None
    first = output.thresholds_to_json(card.calibrations, 0.02)[0]
    assert first["threshold"] == 0.0
    assert first["decided_by"] == "drawn"
