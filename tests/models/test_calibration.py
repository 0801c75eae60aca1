"""The threshold is the lowest at which the rule of every table holds; without one nothing is accepted."""

from dataclasses import replace

import pytest

from digitrec.models.calibration import (
    AnswerKind,
    CalibrationTable,
    OperatingPoint,
    Rule,
    choose_operating_point,
    lowest_error,
    tables_for,
)


def table(name: str, rule: Rule, *rows: tuple[float, int, int, float]) -> CalibrationTable:
    return CalibrationTable(name, "some pages", 200, rule, tuple(OperatingPoint(*row) for row in rows))


def _threshold(tables: tuple[CalibrationTable, ...], max_error: float) -> float | None:
    choice = choose_operating_point(tables, max_error)
    return None if choice is None else choice.threshold


DRAWN = table("drawn", Rule.UPPER_BOUND, (0.0, 100, 9, 0.2), (0.5, 90, 3, 0.08), (0.7, 80, 3, 0.09), (0.9, 70, 1, 0.06))
REAL = table("real", Rule.OBSERVED, (0.0, 50, 5, 0.3), (0.5, 48, 4, 0.2), (0.7, 40, 2, 0.2), (0.9, 30, 0, 0.2))


def test_the_threshold_is_the_lowest_within_the_maximum_error() -> None:
    assert DRAWN.threshold(0.3) == 0.0
    assert DRAWN.threshold(0.08) == 0.5
    assert DRAWN.threshold(0.07) == 0.9
    assert DRAWN.threshold(0.05) is None


def test_a_table_of_observed_rates_uses_the_observed_rate() -> None:
    assert REAL.threshold(0.1) == 0.0
    assert REAL.threshold(0.09) == 0.5
    assert REAL.threshold(0.05) == 0.7
    assert REAL.threshold(0.001) == 0.9


def test_a_table_of_observed_rates_needs_an_accepted_page() -> None:
    nobody = table("real", Rule.OBSERVED, (0.0, 5, 5, 1.0), (0.9, 0, 0, 1.0))

    assert nobody.threshold(0.5) is None


@pytest.mark.parametrize(
    ("max_error", "threshold", "decides"),
    [(0.3, 0.0, "drawn"), (0.09, 0.5, "drawn"), (0.08, 0.9, "real"), (0.06, 0.9, "drawn")],
)
def test_the_stricter_table_decides_and_the_other_rule_holds_too(
    max_error: float, threshold: float, decides: str
) -> None:
    for tables in ((DRAWN, REAL), (REAL, DRAWN)):
        choice = choose_operating_point(tables, max_error)
        assert choice is not None

        assert choice.threshold == threshold
        assert all(candidate.error(candidate.point_at(choice.threshold)) <= max_error for candidate in tables)
        assert choice.table == decides or DRAWN.threshold(max_error) == REAL.threshold(max_error)


def test_there_is_no_threshold_if_one_table_is_over_the_maximum_error() -> None:
    assert choose_operating_point((REAL, DRAWN), 0.05) is None
    assert lowest_error((REAL, DRAWN)) == 0.06


def test_a_table_decides_only_about_the_answers_it_applies_to() -> None:
    numbers = replace(DRAWN, name="numbers", applies_to=(AnswerKind.NUMBERS,))
    both = (REAL, numbers)

    assert tables_for(both, AnswerKind.DIGITS) == (REAL,)
    assert tables_for(both, AnswerKind.NUMBERS) == both
    with pytest.raises(ValueError, match="applies to nothing"):
        replace(DRAWN, applies_to=())


def test_the_best_joint_error_bound_is_reported_and_achievable() -> None:
    early = table("early", Rule.UPPER_BOUND, (0.0, 100, 1, 0.01), (0.5, 90, 1, 0.03), (0.9, 80, 1, 0.05))
    late = table("late", Rule.OBSERVED, (0.0, 100, 10, 0.2), (0.5, 50, 2, 0.2), (0.9, 40, 0, 0.2))

    assert choose_operating_point((early, late), 0.02) is None
    assert lowest_error((early, late)) == 0.04
    assert _threshold((early, late), 0.04) == 0.5


def test_a_table_without_accepted_pages_does_not_hold() -> None:
    ends = table("ends", Rule.OBSERVED, (0.0, 50, 0, 0.2), (0.9, 0, 0, 1.0))
    begins = table("begins", Rule.UPPER_BOUND, (0.0, 100, 9, 0.2), (0.9, 70, 0, 0.05))

    assert choose_operating_point((ends, begins), 0.05) is None


def test_a_threshold_between_two_points_uses_the_lower_point() -> None:
    coarse = table("coarse", Rule.UPPER_BOUND, (0.2, 100, 3, 0.09), (0.8, 90, 0, 0.04))

    assert _threshold((DRAWN, coarse), 0.3) == 0.2  # no lower operating point
    assert _threshold((DRAWN, coarse), 0.09) == 0.5
    assert _threshold((DRAWN, coarse), 0.08) == 0.9


@pytest.mark.parametrize("tables", [(), (table("empty", Rule.UPPER_BOUND),), (table("empty", Rule.OBSERVED),)])
def test_an_empty_table_has_no_threshold(tables: tuple[CalibrationTable, ...]) -> None:
    assert choose_operating_point(tables, 0.5) is None
    assert lowest_error(tables) == 1.0


def test_the_best_error_bound_is_never_reported_too_low() -> None:
    bounded = table("some", Rule.UPPER_BOUND, (0.0, 100, 0, 0.0295130))

    assert bounded.lowest_error == 0.02952
    assert bounded.threshold(bounded.lowest_error) == 0.0


def test_a_reported_table_decides_nothing() -> None:
    empty = table("empty", Rule.REPORTED, (0.0, 30, 30, 1.0), (0.9, 8, 8, 1.0))
    choice = choose_operating_point((DRAWN, empty), 0.08)

    assert choice is not None
    assert (choice.threshold, choice.table) == (0.5, "drawn")
    assert [(name.name, row.accepted) for name, row in choice.points] == [("drawn", 90), ("empty", 30)]
    assert choose_operating_point((empty,), 0.5) is None
    assert lowest_error((DRAWN, empty)) == lowest_error((DRAWN,))


def test_any_threshold_has_an_operating_point() -> None:
    assert [DRAWN.point_at(threshold).accepted for threshold in (0.0, 0.6, 0.9, 1.0)] == [100, 90, 70, 70]
