"""Results of the stages of a long training, kept: the same training, begun again, goes on where it was stopped."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from digitrec.errors import ModelError, describe_error
from digitrec.files import atomic_write, make_dir
from digitrec.training import export
from digitrec.training.networks import Model
from digitrec.training.pipeline_examples import Examples

StageFacts = Mapping[str, Any]
"""How a stage went: counts, seconds, score; plain JSON. `asked` holds what the stage was asked for."""
_HINT = "Remove it; that part of the training is then done again."


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The folder of one training; without one nothing is kept."""

    folder: Path | None

    @classmethod
    def of(cls, root: Path | None, key: Mapping[str, object]) -> Self:
        """The folder below `root` for whatever agrees in everything that `key` holds (plain JSON)."""
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        return cls(None if root is None else root / digest[:16])

    def network(self, name: str, build: Callable[[], Model], asked: StageFacts) -> tuple[Model, StageFacts] | None:
        """The network that `build` gives, with the weights in `NAME.keras`; None if that is not there.

        Without `NAME.json` it was put there by hand, and is taken as it is; else it must have been asked for the same.

        Raises:
            ModelError: the file holds no such network.
        """
        path, facts = self._found(f"{name}.keras", asked)
        if path is None:
            return None
        import keras

        keras.utils.clear_session()
        model = build()
        try:
            model.set_weights(keras.saving.load_model(path, compile=False, safe_mode=True).get_weights())
        except (ValueError, TypeError, OSError, KeyError) as why:
            raise ModelError(f"{path} does not hold the {name} network: {describe_error(why)}", hint=_HINT) from None
        return model, facts

    def save_model(self, name: str, model: Model, facts: StageFacts) -> None:
        """Keep a network and how it came about, `asked` included."""
        self._write(f"{name}.keras", export.to_keras_bytes(model), facts)

    def examples(self, name: str, asked: StageFacts) -> tuple[Examples, StageFacts] | None:
        """The examples in `NAME.npz`; None if that is not there, or something else was asked for.

        Raises:
            ModelError: the file holds no examples.
        """
        path, facts = self._found(f"{name}.npz", asked)
        if path is None:
            return None
        try:
            with np.load(path, allow_pickle=False) as packed:
                return Examples(packed["pictures"], packed["classes"]), facts
        except (ValueError, OSError, KeyError) as why:
            raise ModelError(f"{path} holds no examples: {describe_error(why)}", hint=_HINT) from None

    def save_examples(self, name: str, examples: Examples, facts: StageFacts) -> None:
        """Keep examples and how they came about, `asked` included."""
        packed = io.BytesIO()
        np.savez_compressed(packed, pictures=examples.pictures, classes=examples.classes)
        self._write(f"{name}.npz", packed.getvalue(), facts)

    def _found(self, file: str, asked: StageFacts) -> tuple[Path | None, StageFacts]:
        """The file if it can be taken over, and what is known of it."""
        if self.folder is None or not (path := self.folder / file).exists():
            return None, {}
        facts = _facts(path.with_suffix(".json"))
        return (None if facts and facts.get("asked") != asked else path), facts

    def _write(self, file: str, content: bytes, facts: StageFacts) -> None:
        if self.folder is None:
            return
        make_dir(self.folder)
        path = self.folder / file
        # Facts without a file count for nothing; a file without facts would count as put there by hand.
        path.unlink(missing_ok=True)
        atomic_write(path.with_suffix(".json"), json.dumps(facts, indent=1))
        atomic_write(path, content)


def _facts(path: Path) -> StageFacts:
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as why:
        raise ModelError(f"{path} cannot be read: {describe_error(why)}", hint=_HINT) from None
