"""Checkpoints of a long training are reused for the same parameters only."""

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


def checkpoints(folder: Path) -> Checkpoints:
    return Checkpoints.open(folder, {"seed": 1})


def examples() -> Examples:
    return Examples(np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28), np.array([3, 10]))


def test_saved_examples_are_loaded_again(tmp_path: Path) -> None:
    checkpoints(tmp_path).save_examples("seen", examples(), FACTS)

    loaded = checkpoints(tmp_path).load_examples("seen", ASKED)

    assert loaded is not None
    np.testing.assert_array_equal(loaded[0].pictures, examples().pictures)
    np.testing.assert_array_equal(loaded[0].classes, examples().classes)
    assert loaded[1] == FACTS


def test_examples_of_other_parameters_are_not_used(tmp_path: Path) -> None:
    checkpoints(tmp_path).save_examples("seen", examples(), FACTS)

    assert checkpoints(tmp_path).load_examples("seen", {"drawn": 3}) is None


def test_another_training_has_another_folder(tmp_path: Path) -> None:
    checkpoints(tmp_path).save_examples("seen", examples(), FACTS)

    assert Checkpoints.open(tmp_path, {"seed": 2}).load_examples("seen", ASKED) is None


def test_without_a_folder_nothing_is_saved_or_loaded(tmp_path: Path) -> None:
    disabled = Checkpoints.open(None, {"seed": 1})

    disabled.save_examples("seen", examples(), FACTS)

    assert disabled.load_examples("seen", ASKED) is None
    assert list(tmp_path.iterdir()) == []


def test_examples_without_facts_are_accepted_as_the_users(tmp_path: Path) -> None:
    checkpoints(tmp_path).save_examples("seen", examples(), FACTS)
    (facts,) = tmp_path.glob("*/seen.json")
    facts.unlink()

    loaded = checkpoints(tmp_path).load_examples("seen", {"drawn": 3})

    assert loaded is not None
    assert loaded[1] == {}


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("writes", [0, 1])
def test_an_interrupted_write_is_not_mistaken_for_the_users_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool, writes: int
) -> None:
    if before:
        checkpoints(tmp_path).save_examples("seen", examples(), {"asked": {"drawn": 1}})
    writes_left = iter(range(writes))

    def write(path: Path, content: str | bytes) -> None:
        if next(writes_left, None) is None:
            raise KeyboardInterrupt
        files.atomic_write(path, content)

    monkeypatch.setattr("digitrec.training.checkpoints.atomic_write", write)
    with pytest.raises(KeyboardInterrupt):
        checkpoints(tmp_path).save_examples("seen", examples(), FACTS)

    assert checkpoints(tmp_path).load_examples("seen", {"drawn": 3}) is None


@pytest.mark.parametrize("file", ["seen.npz", "seen.json"])
def test_a_damaged_file_is_named_with_a_hint(tmp_path: Path, file: str) -> None:
    checkpoints(tmp_path).save_examples("seen", examples(), FACTS)
    (path,) = tmp_path.glob(f"*/{file}")
    path.write_bytes(b"half of someth")

    with pytest.raises(ModelError, match=file) as caught:
        checkpoints(tmp_path).load_examples("seen", ASKED)
    assert "Remove it" in caught.value.hint


def tiny(width: int = 3) -> Any:
    import keras

    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(width)])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_a_network_is_loaded_with_its_weights_and_another_is_refused(tmp_path: Path) -> None:
    model = tiny()
    checkpoints(tmp_path).save_model("ink", model, FACTS)

    loaded = checkpoints(tmp_path).load_model("ink", tiny, ASKED)

    assert loaded is not None
    for weights, other in zip(loaded[0].get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, other)
    assert checkpoints(tmp_path).load_model("ink", tiny, {}) is None
    with pytest.raises(ModelError, match=r"ink\.keras does not hold"):
        checkpoints(tmp_path).load_model("ink", lambda: tiny(4), ASKED)
