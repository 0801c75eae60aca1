"""What is drawn does not depend on who draws it."""

import os

import numpy as np
import pytest

from digitrec.training import pools
from digitrec.training.strokes import Dice


def number(sources: int, dice: Dice) -> tuple[int, float]:
    return sources, float(dice.random())


def who(_: None, __: Dice) -> int:
    return os.getpid()


def test_each_item_has_a_generator_from_the_seed_and_its_index() -> None:
    found = list(pools.draw(number, 7, 3, (4, 1)))

    assert found == [(7, np.random.default_rng((4, 1, place)).random()) for place in range(3)]


def test_a_larger_count_begins_with_the_same_items() -> None:
    assert list(pools.draw(number, 0, 9, (1,)))[:4] == list(pools.draw(number, 0, 4, (1,)))


def test_a_few_items_are_drawn_right_here() -> None:
    assert set(pools.draw(who, None, 3, (1,), processes=8)) == {os.getpid()}


def test_nothing_asked_for_gives_nothing() -> None:
    assert list(pools.draw(number, 0, 0, (1,))) == []


@pytest.mark.slow
def test_processes_draw_the_same_in_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_FEWEST", 0)
    here = list(pools.draw(number, 7, 130, (2,), processes=1))

    assert list(pools.draw(number, 7, 130, (2,), processes=2)) == here
    assert os.getpid() not in set(pools.draw(who, None, 60, (2,), processes=2))


@pytest.mark.parametrize(("count", "told"), [(3, [3]), (100, [50, 100]), (120, [50, 100, 120])])
def test_progress_is_reported_at_intervals_and_at_the_end(count: int, told: list[int]) -> None:
    heard: list[tuple[int, int]] = []

    list(pools.draw(number, 0, count, (1,), told=lambda done, total: heard.append((done, total))))

    assert heard == [(done, count) for done in told]
