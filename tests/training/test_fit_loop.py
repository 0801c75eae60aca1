"""Training of the page models: reproducible, and interruptible without losing the best weights."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from digitrec.recognition.classifier_keras import start_keras
from digitrec.training import fit_loop
from digitrec.training.classifier import TrainingState, no_progress
from digitrec.training.datasets import mnist
from digitrec.training.fit_loop import StageSpec
from digitrec.training.segmenter import fit_segmenter
from digitrec.training.sequence_recognizer import fit_sequence_recognizer
from digitrec.training.synthetic import generate, glyphs
from digitrec.training.synthetic.generate import LineExamples, SegmentationExamples
from digitrec.training.synthetic.symbols import GlyphSources

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("quick_training"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def sources() -> GlyphSources:
    start_keras()
    small = mnist.load_mnist_5k().train
    return GlyphSources.from_digits(small.pictures, small.digits, glyphs.load_glyphs())


@pytest.fixture(scope="module")
def crops(sources: GlyphSources) -> SegmentationExamples:
    return generate.generate_crops(sources, 100, (1,))


@pytest.fixture(scope="module")
def lines(sources: GlyphSources) -> LineExamples:
    return generate.generate_lines(sources, 20, (1,))


def test_the_same_seed_gives_the_same_segmenter(crops: SegmentationExamples) -> None:
    first, second = (fit_segmenter(crops, crops, epochs=1, seed=3, progress=no_progress) for _ in range(2))

    for weights, others in zip(first.model.get_weights(), second.model.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, others)
    assert first.score == second.score


def test_the_sequence_recognizer_trains_and_prints_nothing(
    lines: LineExamples, capfd: pytest.CaptureFixture[str]
) -> None:
    losses: dict[int, list[float]] = {1: [], 2: []}

    trained = fit_sequence_recognizer(
        lines, lines, epochs=2, seed=3, progress=lambda now: losses[now.epoch].append(now.loss)
    )

    # Means over all lines: the loss of a single step depends mainly on its lines.
    assert np.mean(losses[2]) < np.mean(losses[1])
    assert (trained.epochs, trained.interrupted) == (2, False)
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


class CountingModel:
    """Fake model whose weight counts the batches."""

    def __init__(self) -> None:
        self.weights = [0]

    def get_weights(self) -> list[int]:
        return list(self.weights)

    def set_weights(self, weights: list[int]) -> None:
        self.weights = list(weights)


def run_stage(
    scores: list[float], progress: Callable[[TrainingState], None] = no_progress, interrupt_after: int = 99
) -> tuple[CountingModel, fit_loop.TrainedModel]:
    network, next_scores = CountingModel(), iter(scores)

    def train_batch(_: int) -> float:
        if network.weights[0] == interrupt_after:
            raise KeyboardInterrupt
        network.weights = [network.weights[0] + 1]
        return 1.0 / network.weights[0]

    def batches(epoch: int) -> Iterator[int]:
        yield from range(3)

    stage = StageSpec("ink", "right", len(scores), 3)
    return network, fit_loop.run_epochs(stage, network, batches, train_batch, lambda: next(next_scores), progress)


def test_the_best_weights_are_restored() -> None:
    network, trained = run_stage([0.5, 0.9, 0.7])

    assert network.weights == [6]
    assert (trained.epochs, trained.score, trained.interrupted) == (3, 0.9, False)


@pytest.mark.parametrize(("after", "weights", "finished"), [(2, 2, 0), (4, 3, 1), (8, 6, 2)])
def test_an_interrupted_stage_keeps_its_best_weights(after: int, weights: int, finished: int) -> None:
    network, trained = run_stage([0.5, 0.9, 0.7], interrupt_after=after)

    assert network.weights == [weights]
    assert (trained.epochs, trained.interrupted) == (finished, True)


def test_progress_names_the_stage_and_has_a_line_per_epoch() -> None:
    states: list[TrainingState] = []

    run_stage([0.5, 0.9], states.append)

    assert {state.stage for state in states} == {"ink"}
    assert [(state.epoch, state.step) for state in states if not state.words] == [
        (e, s) for e in (1, 2) for s in (1, 2, 3)
    ]
    words = [state.words for state in states if state.words]
    assert len(words) == 2
    assert "epoch 2/2" in words[1]
    assert "0.9000 right" in words[1]
