"""Sources of MNIST: cache, download, or the small set."""

from pathlib import Path

import numpy as np
import pytest

from digitrec.training.datasets import mnist

pytestmark = pytest.mark.slow


@pytest.fixture
def keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path


def save(path: Path) -> None:
    train = mnist.load_mnist_5k().train
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, x_train=train.pictures[:50], y_train=train.digits[:50], x_test=train.pictures, y_test=train.digits)


def unreachable() -> None:
    raise OSError("no route to host")


def test_the_cache_of_keras_is_used_offline(keras_home: Path) -> None:
    save(mnist.keras_cache_path())

    dataset = mnist.load_mnist(download=unreachable)

    assert dataset.name == "mnist"
    assert len(dataset.train) == 50
    assert str(keras_home) in dataset.source


def test_mnist_is_downloaded_without_a_cache(keras_home: Path) -> None:
    dataset = mnist.load_mnist(download=lambda: save(mnist.keras_cache_path()))

    assert dataset.name == "mnist"
    assert "download" in dataset.source


def test_a_damaged_cache_is_downloaded_again(keras_home: Path) -> None:
    mnist.keras_cache_path().parent.mkdir()
    mnist.keras_cache_path().write_bytes(b"truncated")

    assert "download" in mnist.load_mnist(download=lambda: save(mnist.keras_cache_path())).source


def test_without_a_network_the_small_set_is_used_with_a_warning(
    keras_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = mnist.load_mnist(download=unreachable)

    (warning,) = caplog.messages
    assert warning.startswith("the small set mnist-5k is used: MNIST is not at ")
    assert warning.endswith("could not be downloaded: no route to host")
    assert dataset.name == "mnist-5k"
    assert "small set" in dataset.source
    assert "no route to host" in dataset.source
    assert dataset.digest == mnist.load_mnist_5k().digest


@pytest.mark.slow
def test_keras_without_a_network_ends_in_the_small_set(
    keras_home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import urllib.request

    def fail(*_: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", fail)

    dataset = mnist.load_mnist()

    assert dataset.name == "mnist-5k"
    assert "Name or service not known" in dataset.source
    assert "Traceback" not in capfd.readouterr().err


def test_the_small_set_is_balanced(keras_home: Path) -> None:
    small = mnist.load_mnist_5k()

    assert small.test is not None
    assert np.bincount(small.train.digits).tolist() == [400] * 10
    assert np.bincount(small.test.digits).tolist() == [100] * 10
    both = np.concatenate([small.train.pictures, small.test.pictures]).reshape(5000, -1)
    assert len(np.unique(both, axis=0)) == 5000


def test_the_shipped_digits_are_twenty_of_each_of_the_small_set() -> None:
    shipped, test = mnist.load_mnist_200().evaluation, mnist.load_mnist_5k().test
    assert test is not None
    first = [np.flatnonzero(test.digits == digit)[:20] for digit in range(10)]
    expected = test.take(np.sort(np.concatenate(first)))

    assert np.array_equal(shipped.pictures, expected.pictures)
    assert np.array_equal(shipped.digits, expected.digits)
    assert not shipped.pictures.flags.writeable
