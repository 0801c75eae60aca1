"""Contract of `recognition.classifier`, for every implementation."""

import functools
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import digitrec
from digitrec.arrays import Ink
from digitrec.errors import ModelError
from digitrec.models.package import ModelPackage
from digitrec.recognition.classifier import NO_DIGIT, DigitClassifier
from digitrec.recognition.classifier_keras import KerasDigitClassifier, start_keras
from digitrec.recognition.classifier_litert import LiteRTDigitClassifier
from digitrec.training import export
from digitrec.training.datasets import mnist
from tests.nearest_mean import NearestMeanClassifier

pytestmark = pytest.mark.slow

SHIPPED = Path(digitrec.__file__).parent / "models" / "shipped"


@functools.cache
def network(outputs: int) -> Any:
    """Untrained, with the usual entry and so many outputs."""
    keras = start_keras()
    keras.utils.set_random_seed(outputs)
    layers = [keras.layers.Flatten(), keras.layers.Dense(outputs, activation="softmax")]
    return keras.Sequential([keras.Input((28, 28)), *layers])


@functools.cache
def twin(outputs: int) -> bytes:
    return export.to_tflite_bytes(network(outputs))


MAKERS: dict[str, Callable[[], DigitClassifier]] = {
    "mean_ink": NearestMeanClassifier,
    "litert": lambda: LiteRTDigitClassifier.load(ModelPackage.open(SHIPPED)),
    "keras": lambda: KerasDigitClassifier.load(ModelPackage.open(SHIPPED)),
    "litert, ten outputs": lambda: LiteRTDigitClassifier(twin(10), "ten", 1.3),
    "keras, ten outputs": lambda: KerasDigitClassifier(network(10), "ten", 1.3),
    "litert, eleven outputs": lambda: LiteRTDigitClassifier(twin(11), "eleven", 1.3),
    "keras, eleven outputs": lambda: KerasDigitClassifier(network(11), "eleven", 1.3),
}
KNOWS_NONE = {name for name in MAKERS if "eleven" in name}
if ModelPackage.open(SHIPPED).has_page_models:
    KNOWS_NONE |= {"litert", "keras"}


@pytest.fixture(
    scope="module",
    params=MAKERS,
)
def classifier(request: pytest.FixtureRequest) -> DigitClassifier:
    return MAKERS[request.param]()


@pytest.fixture(scope="module")
def ink() -> Ink:
    """Real digits, a blank page, full ink and noise."""
    odd = [np.zeros((28, 28)), np.ones((28, 28)), np.random.default_rng(1).random((28, 28))]
    digits = mnist.load_mnist_5k().test.take(np.arange(0, 1000, 7)).ink
    return np.concatenate([digits, np.stack(odd).astype(np.float32)])


def test_rows_are_probabilities(classifier: DigitClassifier, ink: Ink) -> None:
    scores = classifier.score(ink)

    assert scores.shape == (len(ink), 11)
    assert scores.dtype == np.float32
    assert ((scores >= 0) & (scores <= 1)).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("name", MAKERS)
def test_what_knows_digits_only_gives_no_digit_no_chance(name: str, ink: Ink) -> None:
    nothing = MAKERS[name]().score(ink)[:, NO_DIGIT]

    assert bool(nothing.any()) == (name in KNOWS_NONE)


@pytest.mark.parametrize("outputs", [9, 12])
def test_a_network_with_other_outputs_is_refused(outputs: int) -> None:
    with pytest.raises(ModelError, match="shapes"):
        LiteRTDigitClassifier(twin(outputs), "odd", 1.0)
    with pytest.raises(ModelError, match="shapes"):
        KerasDigitClassifier(network(outputs), "odd", 1.0)


@pytest.mark.parametrize("name", [name for name in MAKERS if "keras" not in name])
def test_what_the_service_may_run_can_be_sent_to_another_process(name: str, ink: Ink) -> None:
    original = MAKERS[name]()

    sent = pickle.loads(pickle.dumps(original))

    assert sent.fingerprint == original.fingerprint
    np.testing.assert_array_equal(sent.score(ink), original.score(ink))


def test_any_number_of_threads_may_ask_at_once(classifier: DigitClassifier, ink: Ink) -> None:
    expected = classifier.score(ink)

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(classifier.score, [ink] * 8))

    for scores in results:
        np.testing.assert_array_equal(scores, expected)


def test_scores_do_not_depend_on_the_order_of_the_batch(classifier: DigitClassifier, ink: Ink) -> None:
    order = np.random.default_rng(0).permutation(len(ink))

    np.testing.assert_array_equal(classifier.score(ink[order]), classifier.score(ink)[order])


@pytest.mark.parametrize("size", [1, 2, 63, 64, 65])
def test_scores_do_not_depend_on_the_size_of_the_batch(classifier: DigitClassifier, ink: Ink, size: int) -> None:
    pieces = [classifier.score(ink[start : start + size]) for start in range(0, len(ink), size)]

    np.testing.assert_array_equal(np.concatenate(pieces), classifier.score(ink))


def test_no_pictures_give_no_scores(classifier: DigitClassifier) -> None:
    assert classifier.score(np.zeros((0, 28, 28), np.float32)).shape == (0, 11)


@pytest.mark.parametrize("shape", [(28, 28), (1, 28, 27), (1, 28, 28, 1), (2, 784)])
def test_ink_of_another_shape_is_refused(classifier: DigitClassifier, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="28"):
        classifier.score(np.zeros(shape, np.float32))


def test_the_ink_handed_in_stays_as_it_is(classifier: DigitClassifier, ink: Ink) -> None:
    before = ink.copy()

    classifier.score(ink)

    np.testing.assert_array_equal(ink, before)


def test_ink_that_is_a_view_or_another_float_scores_alike(classifier: DigitClassifier, ink: Ink) -> None:
    turned_twice = ink.transpose(0, 2, 1).copy().transpose(0, 2, 1)

    np.testing.assert_array_equal(classifier.score(turned_twice), classifier.score(ink))
    np.testing.assert_array_equal(classifier.score(ink.astype(np.float64)), classifier.score(ink))


@pytest.mark.parametrize("name", MAKERS)
def test_the_fingerprint_is_stable(name: str) -> None:
    first, other = MAKERS[name]().fingerprint, MAKERS[name]().fingerprint

    assert first == other
    assert first == first.strip() != ""


@pytest.mark.slow
def test_litert_and_keras_say_the_same(ink: Ink) -> None:
    """The int8 weights of LiteRT are rounded, 8 bits for each."""
    service, reference = (MAKERS[name]().score(ink) for name in ("litert", "keras"))

    np.testing.assert_allclose(service, reference, atol=0.03)
    assert (service.argmax(axis=1) == reference.argmax(axis=1)).mean() > 0.99


def test_the_shipped_model_reads_digits_it_has_never_seen() -> None:
    test = mnist.load_mnist_5k().test
    assert test is not None

    scores = MAKERS["litert"]().score(test.ink)

    assert (scores.argmax(axis=1) == test.digits).mean() > 0.99


def test_a_fitted_nearest_mean_classifier_reads_most_digits() -> None:
    small = mnist.load_mnist_5k()
    classifier = NearestMeanClassifier.learn(small.train.ink, small.train.digits)

    assert (classifier.score(small.test.ink).argmax(axis=1) == small.test.digits).mean() > 0.75
    assert classifier.fingerprint != NearestMeanClassifier().fingerprint
