import os

import numpy as np
import pytest
from numpy.random import Generator

from digitrec.training.synthetic import parallel


def number(sources: int, rng: Generator) -> tuple[int, float]:
    return sources, float(rng.random())


def process_id(_: None, __: Generator) -> int:
    return os.getpid()


def reciprocal(_: None, item: int) -> float:
    return 1 / item


def test_the_generator_of_an_item_is_seeded_with_its_index() -> None:
    numbers = list(parallel.generate(number, 7, 3, (4, 1)))

    assert numbers == [(7, np.random.default_rng((4, 1, index)).random()) for index in range(3)]


def test_a_larger_count_begins_with_the_same_items() -> None:
    assert list(parallel.generate(number, 0, 9, (1,)))[:4] == list(parallel.generate(number, 0, 4, (1,)))


def test_a_few_items_are_generated_in_this_process() -> None:
    assert set(parallel.generate(process_id, None, 3, (1,))) == {os.getpid()}


def test_no_items_give_no_results() -> None:
    assert list(parallel.generate(number, 0, 0, (1,))) == []


@pytest.mark.slow
def test_processes_generate_the_same_in_the_same_order() -> None:
    here = list(parallel.generate(number, 7, 130, (2,), processes=1))

    assert list(parallel.generate(number, 7, 130, (2,), processes=2)) == here
    assert os.getpid() not in set(parallel.generate(process_id, None, 60, (2,), processes=2))


@pytest.mark.slow
def test_an_exception_in_a_worker_process_is_raised_here() -> None:
    with pytest.raises(ZeroDivisionError):
        list(parallel.map_items(reciprocal, None, [1, 0], processes=2))


@pytest.mark.parametrize(("count", "calls"), [(3, [3]), (100, [50, 100]), (120, [50, 100, 120])])
def test_progress_is_reported_every_50_items_and_at_the_end(count: int, calls: list[int]) -> None:
    reported: list[tuple[int, int]] = []

    list(parallel.generate(number, 0, count, (1,), on_progress=lambda done, total: reported.append((done, total))))

    assert reported == [(done, count) for done in calls]
