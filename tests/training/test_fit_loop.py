"""The ink and line networks learn, the same way each time, and Ctrl-C leaves the best weights."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from digitrec.recognition.classifier_keras import start_keras
from digitrec.training import fit_loop
from digitrec.training.classifier import TrainingState, no_progress
from digitrec.training.datasets import mnist
from digitrec.training.fit_loop import StageSpec
from digitrec.training.segmenter import fit_segmenter
from digitrec.training.sequence_recognizer import decode_greedily, fit_sequence_recognizer
from digitrec.training.synthetic import generate, glyphs
from digitrec.training.synthetic.generate import LineExamples, SegmentationExamples
from digitrec.training.synthetic.symbols import GlyphSources

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def sources() -> GlyphSources:
    start_keras()
    small = mnist.load_mnist_5k().train
    return GlyphSources.of(small.pictures, small.digits, glyphs.load_glyphs())


@pytest.fixture(scope="module")
def crops(sources: GlyphSources) -> SegmentationExamples:
    return generate.generate_crops(sources, 100, (1,))


@pytest.fixture(scope="module")
def strips(sources: GlyphSources) -> LineExamples:
    return generate.generate_lines(sources, 20, (1,))


def test_the_same_seed_gives_the_same_ink_network(crops: SegmentationExamples) -> None:
    one, again = (fit_segmenter(crops, crops, epochs=1, seed=3, progress=no_progress) for _ in range(2))

    for weights, others in zip(one.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, others)
    assert one.score == again.score


def test_the_line_network_learns_and_says_nothing_on_stderr(
    strips: LineExamples, capfd: pytest.CaptureFixture[str]
) -> None:
    losses: dict[int, list[float]] = {1: [], 2: []}

    trained = fit_sequence_recognizer(
        strips, strips, epochs=2, seed=3, progress=lambda now: losses[now.epoch].append(now.loss)
    )

    # Of all strips each time: one step's loss tells more of its strips than of the network.
    assert np.mean(losses[2]) < np.mean(losses[1])
    assert (trained.epochs, trained.interrupted) == (2, False)
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


@pytest.mark.parametrize(
    ("best", "text"),
    [([11, 11, 11], ()), ([3, 3, 3], (3,)), ([3, 11, 3], (3, 3)), ([10, 0, 0, 11], (10, 0))],
)
def test_repeated_frames_are_one_sign_and_a_blank_parts_two(best: list[int], text: tuple[int, ...]) -> None:
    assert decode_greedily(np.eye(12, dtype=np.float32)[best][None]) == [text]


class Numbers:
    """Stands for a network: its weight is how many batches it has learned from."""

    def __init__(self) -> None:
        self.weights = [0]

    def get_weights(self) -> list[int]:
        return list(self.weights)

    def set_weights(self, weights: list[int]) -> None:
        self.weights = list(weights)


def run(
    scores: list[float], progress: Callable[[TrainingState], None] = no_progress, interrupt_after: int = 99
) -> tuple[Numbers, fit_loop.TrainedModel]:
    network, coming = Numbers(), iter(scores)

    def learn(_: int) -> float:
        if network.weights[0] == interrupt_after:
            raise KeyboardInterrupt
        network.weights = [network.weights[0] + 1]
        return 1.0 / network.weights[0]

    def batches(epoch: int) -> Iterator[int]:
        yield from range(3)

    stage = StageSpec("ink", "right", len(scores), 3)
    return network, fit_loop.run_epochs(stage, network, batches, learn, lambda: next(coming), progress)


def test_the_weights_of_the_best_epoch_stay() -> None:
    network, trained = run([0.5, 0.9, 0.7])

    assert network.weights == [6]
    assert (trained.epochs, trained.score, trained.interrupted) == (3, 0.9, False)


@pytest.mark.parametrize(("after", "weights", "finished"), [(2, 2, 0), (4, 3, 1), (8, 6, 2)])
def test_an_interrupted_stage_leaves_its_best_weights(after: int, weights: int, finished: int) -> None:
    network, trained = run([0.5, 0.9, 0.7], interrupt_after=after)

    assert network.weights == [weights]
    assert (trained.epochs, trained.interrupted) == (finished, True)


def test_progress_names_the_stage_and_has_a_line_for_each_epoch() -> None:
    told: list[TrainingState] = []

    run([0.5, 0.9], told.append)

    assert {one.stage for one in told} == {"ink"}
    assert [(one.epoch, one.step) for one in told if not one.words] == [(e, s) for e in (1, 2) for s in (1, 2, 3)]
    words = [one.words for one in told if one.words]
    assert len(words) == 2
    assert "epoch 2/2" in words[1]
    assert "0.9000 right" in words[1]
