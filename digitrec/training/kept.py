"""Results of the stages of a long training, kept: the same training, begun again, goes on where it was stopped."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from digitrec.errors import ModelError
from digitrec.files import make_folder, write_whole
from digitrec.training import export
from digitrec.training.networks import Model
from digitrec.training.seen import Examples

Facts = Mapping[str, Any]
"""How a stage went: counts, seconds, score; plain JSON."""
_HINT = "Remove it; that part of the training is then done again."


@dataclass(frozen=True, slots=True)
class Kept:
    """The folder of one training; without one nothing is kept."""

    folder: Path | None

    @classmethod
    def of(cls, root: Path | None, key: Mapping[str, object]) -> Self:
        """The folder below `root` for whatever agrees in everything that `key` holds (plain JSON)."""
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        return cls(None if root is None else root / digest[:16])

    def network(self, name: str, build: Callable[[], Model]) -> tuple[Model, Facts] | None:
        """The network that `build` gives, with the weights in `NAME.keras`; None if that is not there.

        Raises:
            ModelError: the file holds no such network.
        """
        if self.folder is None or not (path := self.folder / f"{name}.keras").exists():
            return None
        import keras

        keras.utils.clear_session()
        model = build()
        try:
            model.set_weights(keras.saving.load_model(path, compile=False, safe_mode=True).get_weights())
        except (ValueError, TypeError, OSError, KeyError) as why:
            raise ModelError(f"{path} does not hold the {name} network: {why}", hint=_HINT) from None
        return model, self._facts(name)

    def keep_network(self, name: str, model: Model, facts: Facts) -> None:
        """Keep a network and how it came about."""
        self._write(f"{name}.json", json.dumps(facts, indent=1))
        self._write(f"{name}.keras", export.keras_file(model))

    def examples(self, name: str, made_with: str) -> tuple[Examples, Facts] | None:
        """The examples in `NAME.npz`; None if that is not there, or was made with something else."""
        if self.folder is None or not (path := self.folder / f"{name}.npz").exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as packed:
                if str(packed["made_with"]) != made_with:
                    return None
                return Examples(packed["pictures"], packed["classes"]), self._facts(name)
        except (ValueError, OSError, KeyError) as why:
            raise ModelError(f"{path} holds no examples: {why}", hint=_HINT) from None

    def keep_examples(self, name: str, made_with: str, examples: Examples, facts: Facts) -> None:
        """Keep examples, and what they were made with."""
        packed = io.BytesIO()
        np.savez_compressed(packed, pictures=examples.pictures, classes=examples.classes, made_with=np.array(made_with))
        self._write(f"{name}.json", json.dumps(facts, indent=1))
        self._write(f"{name}.npz", packed.getvalue())

    def _facts(self, name: str) -> Facts:
        path = (self.folder or Path()) / f"{name}.json"
        if not path.exists():
            return {}
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as why:
            raise ModelError(
                f"{path} cannot be read: {why}", hint="Remove it; it only tells how long that took."
            ) from None
        return dict(found)

    def _write(self, file: str, content: str | bytes) -> None:
        if self.folder is not None:
            make_folder(self.folder)
            write_whole(self.folder / file, content)
