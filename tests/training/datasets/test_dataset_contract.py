"""Contract of all loaders: shapes, labels, orientation, and refusal of bad data."""

import gzip
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from digitrec.errors import DataError
from digitrec.training.datasets import mnist, registry
from digitrec.training.datasets.dataset import Dataset, Split
from tests.nearest_mean import NearestMeanClassifier

pytestmark = pytest.mark.slow


def idx(array: np.ndarray) -> bytes:
    shape = b"".join(int(side).to_bytes(4, "big") for side in array.shape)
    return bytes([0, 0, 8, array.ndim]) + shape + array.astype(np.uint8).tobytes()


@pytest.fixture(scope="module")
def digits() -> Split:
    """300 real digits, mixed."""
    test = mnist.load_mnist_5k().test
    assert test is not None
    return test.take(np.arange(300))


def save_npz(folder: Path, digits: Split) -> Path:
    path = folder / "mine.npz"
    np.savez(
        path,
        x_train=digits.pictures[:200],
        y_train=digits.digits[:200],
        x_test=digits.pictures[200:],
        y_test=digits.digits[200:],
    )
    return path


def save_idx(folder: Path, digits: Split, prefix: str = "", *, packed: bool = False, transposed: bool = False) -> Path:
    pack = gzip.compress if packed else bytes
    suffix = ".gz" if packed else ""
    pictures = digits.pictures.transpose(0, 2, 1) if transposed else digits.pictures
    for part, selection in (("train", slice(0, 200)), ("t10k" if not prefix else "test", slice(200, None))):
        (folder / f"{prefix}{part}-images-idx3-ubyte{suffix}").write_bytes(pack(idx(pictures[selection])))
        (folder / f"{prefix}{part}-labels-idx1-ubyte{suffix}").write_bytes(pack(idx(digits.digits[selection])))
    return folder


def save_pictures(folder: Path, digits: Split) -> Path:
    for index, (picture, digit) in enumerate(zip(digits.pictures[:40], digits.digits, strict=False)):
        subfolder = folder / str(digit)
        subfolder.mkdir(exist_ok=True)
        large = cv2.resize(255 - picture, (112, 112), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(subfolder / f"{index:03}.png"), large)
    return folder


SPECS: dict[str, Callable[[Path, Split], str]] = {
    "mnist": lambda folder, digits: f"mnist:{save_npz(folder, digits)}",
    "mnist idx gz": lambda folder, digits: f"mnist:{save_idx(folder, digits, packed=True)}",
    "mnist-5k": lambda folder, digits: "mnist-5k",
    "mnist-200": lambda folder, digits: "mnist-200",
    "digits-8x8": lambda folder, digits: "digits-8x8",
    "emnist-digits": lambda folder, digits: (
        f"emnist-digits:{save_idx(folder, digits, 'emnist-digits-', transposed=True)}"
    ),
    "folder": lambda folder, digits: f"folder:{save_pictures(folder, digits)}",
    "bare npz": lambda folder, digits: str(save_npz(folder, digits)),
    "bare idx": lambda folder, digits: str(save_idx(folder, digits)),
    "bare folder": lambda folder, digits: str(save_pictures(folder, digits)),
}


def test_every_loader_is_tested_here() -> None:
    assert set(registry.LOADERS) <= set(SPECS)


@pytest.fixture(
    # importing scikit-learn takes seconds.
    params=[pytest.param(name, marks=pytest.mark.slow if name == "digits-8x8" else ()) for name in SPECS]
)
def spec(request: pytest.FixtureRequest, tmp_path: Path, digits: Split) -> str:
    return SPECS[request.param](tmp_path, digits)


def splits(dataset: Dataset) -> list[Split]:
    return [split for split in (dataset.train, dataset.test) if split is not None]


def test_pictures_are_28_by_28_bytes_and_labels_are_digits(spec: str) -> None:
    for split in splits(registry.load_dataset(spec)):
        assert split.pictures.dtype == np.uint8
        assert split.pictures.shape == (len(split), 28, 28)
        assert split.digits.shape == (len(split),)
        assert set(split.digits.tolist()) <= set(range(10))
        assert split.ink.dtype == np.float32
        assert 0.0 <= split.ink.min() <= split.ink.max() <= 1.0
        assert np.median(split.pictures) == 0, "paper is 0"


def test_loading_twice_gives_the_same(spec: str) -> None:
    first, second = registry.load_dataset(spec), registry.load_dataset(spec)

    assert first.digest == second.digest
    assert len(first.digest) == 64
    assert first.name
    assert first.source


def test_digits_are_upright(spec: str) -> None:
    reference = mnist.load_mnist_5k().train
    classifier = NearestMeanClassifier.learn(reference.ink, reference.digits)

    for split in splits(registry.load_dataset(spec)):
        upright, transposed = (
            (classifier.score(ink).argmax(axis=1) == split.digits).mean()
            for ink in (split.ink, split.ink.transpose(0, 2, 1))
        )
        assert upright > transposed + 0.15


def test_the_evaluation_split_defaults_to_all_pictures(spec: str) -> None:
    dataset = registry.load_dataset(spec)

    assert dataset.evaluation is (dataset.train if dataset.test is None else dataset.test)


@pytest.mark.parametrize("name", ["mnist", "mnist idx gz", "bare npz", "bare idx", "emnist-digits"])
def test_arrays_are_loaded_as_they_were_saved(name: str, tmp_path: Path, digits: Split) -> None:
    dataset = registry.load_dataset(SPECS[name](tmp_path, digits))

    assert dataset.test is not None
    np.testing.assert_array_equal(dataset.train.pictures, digits.pictures[:200])
    np.testing.assert_array_equal(dataset.test.pictures, digits.pictures[200:])
    np.testing.assert_array_equal(dataset.test.digits, digits.digits[200:])


def test_rotated_digits_are_detected(tmp_path: Path, digits: Split) -> None:
    path = save_idx(tmp_path, digits, transposed=True)

    detected, forced = registry.load_dataset(str(path)), registry.load_dataset(f"{path}#upright")

    assert "transposed" in detected.source
    np.testing.assert_array_equal(detected.train.pictures, digits.pictures[:200])
    np.testing.assert_array_equal(forced.train.pictures, digits.pictures[:200].transpose(0, 2, 1))
    explicit = registry.load_dataset(f"mnist:{path}#transposed")
    assert explicit.digest == detected.digest


def test_emnist_digits_are_selected_from_its_sets(tmp_path: Path, digits: Split) -> None:
    save_idx(tmp_path, digits, "emnist-digits-", transposed=True)
    letters = Split("all", digits.pictures, digits.digits + 5)
    save_idx(tmp_path, letters, "emnist-letters-", transposed=True)

    assert registry.load_dataset(f"emnist-digits:{tmp_path}").train.digits.tolist() == digits.digits[:200].tolist()
    with pytest.raises(DataError, match="several sets"):
        registry.load_dataset(str(tmp_path))


def test_excluding_a_set_removes_its_pictures_only(tmp_path: Path, digits: Split) -> None:
    second = np.full((5, 28, 28), 9, np.uint8)
    path = tmp_path / "mixed.npz"
    np.savez(path, x=np.concatenate([digits.pictures, second]), y=np.concatenate([digits.digits, [1, 2, 3, 4, 5]]))

    rest = registry.exclude_dataset(registry.load_dataset(f"mnist:{path}"), "mnist-5k")

    np.testing.assert_array_equal(rest.train.pictures, second)
    assert "300" in rest.source


def test_excluding_everything_is_refused(tmp_path: Path, digits: Split) -> None:
    with pytest.raises(DataError, match="nothing is left"):
        registry.exclude_dataset(registry.load_dataset("mnist-5k"), "mnist-5k")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nonsense", "no data set and no file"),
        ("/nowhere/x.npz", "no data set and no file"),
        ("emnist-digits", "needs a path"),
        ("mnist:/nowhere/x.npz", "no file"),
        ("folder", "no folder"),
        ("folder:/nowhere", "no folder"),
        ("mnist-5k:/tmp", "takes no path"),
        ("digits-8x8:/tmp", "takes no path"),
    ],
)
def test_a_missing_set_is_refused(spec: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        registry.load_dataset(spec)
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_a_folder_of_pictures_is_detected(tmp_path: Path, digits: Split) -> None:
    save_pictures(tmp_path, digits)

    files = registry.find_dataset_files(str(tmp_path))

    assert files is not None
    assert len(files) == 40
    assert files == registry.find_dataset_files(f"folder:{tmp_path}")
    assert registry.find_dataset_files("mnist-5k") is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("digit.jpg", b"\xff\xd8\xff\xe0", "is no data set: its format is JPEG"),
        ("scan.pdf", b"%PDF-1.4", "is no data set: its format is PDF"),
        ("train.csv", b"label,pixel0\n", "is no data set"),
        ("cut.npz", b"PK\x03\x04", "is damaged or no .npz of plain arrays"),
        ("other.npz", b"?", "is damaged or no .npz of plain arrays"),
    ],
)
def test_a_file_that_is_no_data_set_is_refused_with_the_choices(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(DataError, match=message) as caught:
        registry.load_dataset(str(tmp_path / name))

    is_listed = all(loader in caught.value.hint for loader in registry.LOADERS)
    assert is_listed == (not name.endswith(".npz"))
    assert ("digitrec predict" in caught.value.hint) == ("format" in message)
