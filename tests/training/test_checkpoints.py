"""The stages of a long training are taken over if they are what was asked for, and only then."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digitrec import files
from digitrec.errors import ModelError
from digitrec.training.checkpoints import Checkpoints
from digitrec.training.pipeline_examples import Examples

ASKED = {"drawn": 2}
FACTS = {"seconds": 5, "asked": ASKED}


def kept(folder: Path) -> Checkpoints:
    return Checkpoints.of(folder, {"seed": 1})


def examples() -> Examples:
    return Examples(np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28), np.array([3, 10]))


def test_saved_examples_are_loaded_again(tmp_path: Path) -> None:
    kept(tmp_path).save_examples("seen", examples(), FACTS)

    known = kept(tmp_path).examples("seen", ASKED)

    assert known is not None
    np.testing.assert_array_equal(known[0].pictures, examples().pictures)
    np.testing.assert_array_equal(known[0].classes, examples().classes)
    assert known[1] == FACTS


def test_examples_of_other_parameters_are_not_used(tmp_path: Path) -> None:
    kept(tmp_path).save_examples("seen", examples(), FACTS)

    assert kept(tmp_path).examples("seen", {"drawn": 3}) is None


def test_another_training_has_another_folder(tmp_path: Path) -> None:
    kept(tmp_path).save_examples("seen", examples(), FACTS)

    assert Checkpoints.of(tmp_path, {"seed": 2}).examples("seen", ASKED) is None


def test_without_a_folder_nothing_is_saved_or_loaded(tmp_path: Path) -> None:
    nowhere = Checkpoints.of(None, {"seed": 1})

    nowhere.save_examples("seen", examples(), FACTS)

    assert nowhere.examples("seen", ASKED) is None
    assert list(tmp_path.iterdir()) == []


def test_examples_put_there_by_hand_are_taken_as_they_are(tmp_path: Path) -> None:
    kept(tmp_path).save_examples("seen", examples(), FACTS)
    (facts,) = tmp_path.glob("*/seen.json")
    facts.unlink()

    known = kept(tmp_path).examples("seen", {"drawn": 3})

    assert known is not None
    assert known[1] == {}


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("writes", [0, 1])
def test_an_interrupted_write_is_not_taken_for_examples_added_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool, writes: int
) -> None:
    if before:
        kept(tmp_path).save_examples("seen", examples(), {"asked": {"drawn": 1}})
    left = iter(range(writes))

    def write(path: Path, content: str | bytes) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        files.atomic_write(path, content)

    monkeypatch.setattr("digitrec.training.checkpoints.atomic_write", write)
    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path).save_examples("seen", examples(), FACTS)

    assert kept(tmp_path).examples("seen", {"drawn": 3}) is None


@pytest.mark.parametrize("file", ["seen.npz", "seen.json"])
def test_what_cannot_be_read_is_named_with_the_way_out(tmp_path: Path, file: str) -> None:
    kept(tmp_path).save_examples("seen", examples(), FACTS)
    (path,) = tmp_path.glob(f"*/{file}")
    path.write_bytes(b"half of someth")

    with pytest.raises(ModelError, match=file) as caught:
        kept(tmp_path).examples("seen", ASKED)
    assert "Remove it" in caught.value.hint


def tiny(width: int = 3) -> Any:
    import keras

    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(width)])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_a_network_comes_back_with_its_weights_and_another_one_is_refused(tmp_path: Path) -> None:
    model = tiny()
    kept(tmp_path).save_model("ink", model, FACTS)

    known = kept(tmp_path).network("ink", tiny, ASKED)

    assert known is not None
    for one, other in zip(known[0].get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert kept(tmp_path).network("ink", tiny, {}) is None
    with pytest.raises(ModelError, match=r"ink\.keras does not hold"):
        kept(tmp_path).network("ink", lambda: tiny(4), ASKED)
