"""Evaluation of a model on synthetic pages of held-out digits."""

from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from digitrec.app import composition
from digitrec.models.package import ModelPackage
from digitrec.recognition.reader import PageReader
from digitrec.training import synthetic_evaluation
from digitrec.training.calibrate import NEVER
from digitrec.training.classifier import split_dataset
from digitrec.training.datasets import mnist
from digitrec.training.datasets.dataset import Split
from digitrec.training.synthetic_evaluation import DIGITS, EMPTY, NUMBERS, Answer, EvaluationPages, evaluate_synthetic
from tools import answer_file

pytestmark = pytest.mark.slow

SMALL = EvaluationPages(digits=20, numbers=10, empty=4, number_kinds=("one_number", "two_numbers", "comb"))


@pytest.fixture(scope="module")
def held_out() -> Split:
    return split_dataset(mnist.load_mnist_5k(), seed=0).calibration


@pytest.fixture(scope="module")
def shipped() -> PageReader:
    return composition.load_page_reader(ModelPackage.open(composition.SHIPPED_MODELS_DIR))


def test_digits_numbers_and_empty_pages_have_a_table_each(held_out: Split, shipped: PageReader) -> None:
    result = evaluate_synthetic(shipped, held_out, pages=SMALL, seed=0)

    digits, numbers, empty = result.tables
    assert [(table.name, table.rule, table.applies_to) for table in result.tables] == [
        (DIGITS, "bound", ("digits",)),
        (NUMBERS, "share", ("numbers",)),
        (EMPTY, "reported", ("digits", "numbers")),
    ]
    assert (digits.trials, empty.trials) == (20, 4)
    assert numbers.trials > 10
    assert "10 pages drawn with digits held out" in numbers.source
    assert digits.bounds[0].accepted - digits.bounds[0].wrong > 12
    assert empty.bounds[0].wrong == empty.bounds[0].accepted


def test_answers_name_the_pictures_of_their_digits(held_out: Split, shipped: PageReader) -> None:
    answers = evaluate_synthetic(shipped, held_out, pages=SMALL, seed=0).answers

    single = Counter(answer.clusters for answer in answers[DIGITS])
    assert all(0 <= cluster < len(held_out) for group in single for cluster in group)
    right = [answer for answer in answers[NUMBERS] if answer.is_right]
    assert right
    assert all(len(answer.clusters) >= 2 and answer.clusters[0] < 0 for answer in right)  # a page and its digits


def test_worker_processes_and_a_checkpoint_give_the_same_result(
    held_out: Split, shipped: PageReader, tmp_path: Path
) -> None:
    pages = EvaluationPages(digits=12, numbers=4, empty=2, number_kinds=("one_number",))
    serial = evaluate_synthetic(shipped, held_out, pages=pages, seed=3)

    parallel = evaluate_synthetic(
        shipped, held_out, pages=pages, seed=3, processes=2, store=partial(answer_file.resume, tmp_path / "done")
    )

    assert parallel.answers == serial.answers
    assert parallel.tables == serial.tables


def test_a_stopped_evaluation_goes_on_after_its_checkpoint(
    held_out: Split, shipped: PageReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    stop_at = [11]

    def evaluate_page(_: object, task: synthetic_evaluation._Task) -> list[Answer]:
        if task.index == stop_at[0]:
            raise KeyboardInterrupt
        read.append(task.index)
        return [Answer(NEVER if task.index % 2 else 0.5, True, (task.index,))]

    monkeypatch.setattr(synthetic_evaluation, "_evaluate_page", evaluate_page)
    monkeypatch.setattr(answer_file, "_CHUNK", 4)
    pages, checkpoint = EvaluationPages(digits=20, numbers=0, empty=0), tmp_path / "done.jsonl"
    store = partial(answer_file.resume, checkpoint)
    with pytest.raises(KeyboardInterrupt):
        evaluate_synthetic(shipped, held_out, pages=pages, seed=0, store=store)
    checkpoint.write_text(checkpoint.read_text() + "[[[0.5, tr")  # the process ended while it wrote
    read.clear()
    stop_at.clear()
    stop_at.append(99)

    resumed = evaluate_synthetic(shipped, held_out, pages=pages, seed=0, store=store)

    assert read == list(range(8, 20))
    assert [answer.clusters for answer in resumed.answers[DIGITS]] == [(index,) for index in range(20)]
    read.clear()
    assert evaluate_synthetic(shipped, held_out, pages=pages, seed=0, store=store).answers == resumed.answers
    assert read == []
    evaluate_synthetic(shipped, held_out, pages=pages, seed=1, store=store)
    assert len(read) == 20, "another seed does not use the checkpoint"


@pytest.mark.parametrize(("name", "counts"), [(DIGITS, {1}), (NUMBERS, set(range(2, 2000))), (EMPTY, {0})])
def test_every_page_of_a_set_holds_as_many_digits_as_it_should(
    held_out: Split, shipped: PageReader, monkeypatch: pytest.MonkeyPatch, name: str, counts: set[int]
) -> None:
    drawn: list[tuple[int, str]] = []

    def keep(context: synthetic_evaluation._EvaluationContext, task: synthetic_evaluation._Task) -> list[Answer]:
        if task.name == name:
            page = synthetic_evaluation._generate_page(context, task)
            drawn.append((sum(character.isdigit() for character in page.truth.text), page.truth.text))
        return []

    monkeypatch.setattr(synthetic_evaluation, "_evaluate_page", keep)
    pages = EvaluationPages(digits=40, numbers=40, empty=8)
    evaluate_synthetic(shipped, held_out, pages=pages, seed=2)

    assert {count for count, _ in drawn} <= counts
    assert len(drawn) == {DIGITS: 40, NUMBERS: 40, EMPTY: 8}[name]
