"""IDX and NPZ files: what is understood, and what is refused in one clear line."""

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitrec.errors import DataError
from digitrec.training.datasets.dataset import Split, exclude_pictures, make_split
from digitrec.training.datasets.idx import read_idx, read_idx_folder, read_npz

pytestmark = pytest.mark.slow

PICTURES = np.zeros((30, 28, 28), np.uint8)
PICTURES[:, 10:18, 12:16] = np.arange(30, dtype=np.uint8)[:, None, None] + 100
DIGITS = np.arange(30) % 10


def idx(array: np.ndarray) -> bytes:
    shape = b"".join(int(side).to_bytes(4, "big") for side in array.shape)
    return bytes([0, 0, 8, array.ndim]) + shape + array.astype(np.uint8).tobytes()


def refused(split: object) -> str:
    with pytest.raises(DataError) as caught:
        make_split("train", *split)  # type: ignore[misc]
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "pictures",
    [
        PICTURES,
        PICTURES[..., None],
        PICTURES.reshape(30, 784),
        PICTURES.astype(np.int64),
        PICTURES / 255,
        (PICTURES / 255).astype(np.float32),
        PICTURES.astype(np.float64),
    ],
    ids=["plain", "channel", "flat", "int64", "fractions", "float32", "float levels"],
)
def test_pictures_in_many_forms_become_the_same_split(pictures: np.ndarray) -> None:
    split = make_split("train", pictures, DIGITS[:, None])

    np.testing.assert_array_equal(split.pictures, PICTURES)
    np.testing.assert_array_equal(split.digits, DIGITS)


@pytest.mark.parametrize(
    ("pictures", "digits", "words"),
    [
        (PICTURES[:0], DIGITS[:0], "no pictures"),
        (np.uint8(3), DIGITS, "no pictures"),
        (PICTURES[:, :27], DIGITS, "shape"),
        (np.zeros((30, 32, 32, 3), np.uint8), DIGITS, "shape"),
        (PICTURES, DIGITS[:29], "30 train pictures"),
        (PICTURES, np.eye(10)[DIGITS], "30 train pictures"),
        (PICTURES, DIGITS + 1, "outside 0..9"),
        (PICTURES, DIGITS - 0.5, "outside 0..9"),
        (PICTURES, np.full(30, np.nan), "outside 0..9"),
        (PICTURES, DIGITS.astype(str), "not digits"),
        (PICTURES.astype(str), DIGITS, "not numbers"),
        (PICTURES.astype(np.int16) - 1, DIGITS, "from -1"),
        (PICTURES.astype(np.int32) * 9, DIGITS, "0..255"),
        (np.full((30, 28, 28), np.nan), DIGITS, "nan"),
        (np.full((30, 28, 28), np.inf), DIGITS, "inf"),
        (255 - PICTURES, DIGITS, "dark on light"),
    ],
)
def test_arrays_that_are_no_digits_are_refused(pictures: np.ndarray, digits: np.ndarray, words: str) -> None:
    assert words in refused((pictures, digits))


@pytest.mark.parametrize(
    ("names", "has_test"),
    [
        (("x_train", "y_train", "x_test", "y_test"), True),
        (("X_train", "Y_train", "X_test", "Y_test"), True),
        (("train_images", "train_labels", "test_images", "test_labels"), True),
        (("training_images", "training_labels", "test_images", "test_labels"), True),
        (("train_x", "train_y", "test_x", "test_y"), True),
        (("x_train", "y_train"), False),
        (("x", "y"), False),
        (("images", "labels"), False),
        (("data", "target"), False),
        (("x_test", "y_test"), False),
    ],
)
def test_npz_files_with_usual_names_are_understood(tmp_path: Path, names: tuple[str, ...], has_test: bool) -> None:
    np.savez_compressed(tmp_path / "set.npz", **dict(zip(names, [PICTURES, DIGITS] * 2, strict=False)))

    train, test = read_npz(tmp_path / "set.npz")

    np.testing.assert_array_equal(train.pictures, PICTURES)
    assert (test is not None) == has_test


def test_an_npz_without_a_pair_says_what_it_holds(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", weights=PICTURES, x_train=PICTURES)

    with pytest.raises(DataError, match="weights, x_train") as caught:
        read_npz(tmp_path / "set.npz")
    assert "np.savez" in caught.value.hint


def test_an_npz_with_python_objects_is_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", x=np.array([{"a": 1}] * 3, dtype=object), y=DIGITS[:3])

    with pytest.raises(DataError, match="plain arrays"):
        read_npz(tmp_path / "set.npz")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_cut_off_npz_is_refused(tmp_path: Path, share: float) -> None:
    np.savez_compressed(tmp_path / "whole.npz", x=PICTURES, y=DIGITS)
    content = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "set.npz").write_bytes(content[: int(share * len(content))])

    with pytest.raises(DataError):
        read_npz(tmp_path / "set.npz")


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_an_npz_with_a_flipped_bit_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    path = tmp_path_factory.mktemp("flip") / "set.npz"
    np.savez_compressed(path, x=PICTURES, y=DIGITS)
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 1 << bit
    path.write_bytes(content)

    try:
        train, _ = read_npz(path)
    except DataError as why:
        message = str(why)
    else:
        message = ""
        np.testing.assert_array_equal(train.pictures, PICTURES)

    assert "\n" not in message


@given(content=st.binary(max_size=300), where=st.sampled_from(["x.npy", "x"]))
def test_an_npz_made_up_of_anything_is_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, where: str
) -> None:
    path = tmp_path_factory.mktemp("made-up") / "set.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(where, np.lib.format.magic(1, 0) + content)
        archive.writestr("y.npy", content)

    with pytest.raises(DataError) as caught:
        read_npz(path)
    assert "\n" not in str(caught.value)


def test_an_npz_that_claims_to_unpack_to_a_lot_is_refused(tmp_path: Path) -> None:
    header = np.lib.format.magic(1, 0) + (118).to_bytes(2, "little")
    claim = b"{'descr': '|u1', 'fortran_order': False, 'shape': (9000000000000, 28, 28), }".ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("x.npy", header + claim)

    with pytest.raises(DataError):
        read_npz(tmp_path / "set.npz")


def test_a_missing_file_or_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.npz", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            read_npz(path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gz"])
def test_idx_files_are_read_packed_or_not(tmp_path: Path, pack: type) -> None:
    (tmp_path / "x").write_bytes(pack(idx(PICTURES)))

    np.testing.assert_array_equal(read_idx(tmp_path / "x"), PICTURES)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0",
        b"\0\0\x08\x03",
        b"\0\0\x08\x03\0\0\0\x01",
        b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0",
        b"\0\0\x08\x07" + b"\xff" * 28,
        b"\0\0\x08\x03" + b"\xff" * 12 + b"\0" * 100,
        idx(PICTURES)[:-1],
        idx(PICTURES) + b"x",
        gzip.compress(idx(PICTURES), mtime=0)[:-9],
        gzip.compress(idx(PICTURES), mtime=0)[:50],
        gzip.compress(idx(PICTURES)[:-5], mtime=0),
        b"\x1f\x8b" + b"rubbish" * 9,
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_an_idx_file_cut_off_or_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)

    with pytest.raises(DataError) as caught:
        read_idx(tmp_path / "x")
    assert "\n" not in str(caught.value)


def test_the_unpacked_file_has_precedence(tmp_path: Path) -> None:
    for name, digits in (("train-labels-idx1-ubyte.gz", DIGITS[::-1]), ("train-labels-idx1-ubyte", DIGITS)):
        (tmp_path / name).write_bytes(idx(digits))
    (tmp_path / "train-images.idx3-ubyte").write_bytes(idx(PICTURES))

    train, test = read_idx_folder(tmp_path)

    assert test is None
    np.testing.assert_array_equal(train.digits, DIGITS)


def test_pictures_without_their_labels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(PICTURES))

    with pytest.raises(DataError, match="without the other"):
        read_idx_folder(tmp_path)


def test_a_folder_without_idx_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pair"):
        read_idx_folder(tmp_path)


def test_without_leaves_the_rest_in_order() -> None:
    split = Split("train", PICTURES, DIGITS)

    rest = exclude_pictures(split, split.take(np.array([0, 3, 29])))

    np.testing.assert_array_equal(rest.digits, np.delete(DIGITS, [0, 3, 29]))
    np.testing.assert_array_equal(rest.pictures, np.delete(PICTURES, [0, 3, 29], axis=0))
