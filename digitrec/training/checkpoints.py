"""Checkpoints of the stages of a long training: the same training resumes after a stop."""

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
"""Counts, seconds and score of a stage, as plain JSON; `asked` holds the parameters of the stage."""
_HINT = "Remove it; that part of the training is then done again."


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Checkpoint folder of one training; without a folder nothing is saved or loaded."""

    folder: Path | None

    @classmethod
    def open(cls, root: Path | None, key: Mapping[str, object]) -> Self:
        """Return the checkpoints below `root` of the training with this key (plain JSON)."""
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        return cls(None if root is None else root / digest[:16])

    def load_model(self, name: str, build: Callable[[], Model], asked: StageFacts) -> tuple[Model, StageFacts] | None:
        """Build a network and load the weights of `NAME.keras`; None if there is no file with these parameters.

        A file without `NAME.json` was put there by the user and is accepted.

        Raises:
            ModelError: the file does not fit the network.
        """
        path, facts = self._find(f"{name}.keras", asked)
        if path is None:
            return None
        import keras

        keras.utils.clear_session()
        model = build()
        try:
            model.set_weights(keras.saving.load_model(path, compile=False, safe_mode=True).get_weights())
        except (ValueError, TypeError, OSError, KeyError) as error:
            raise ModelError(f"{path} does not hold the {name} network: {describe_error(error)}", hint=_HINT) from None
        return model, facts

    def save_model(self, name: str, model: Model, facts: StageFacts) -> None:
        """Save a network and the facts of its stage, `asked` included."""
        self._write(f"{name}.keras", export.to_keras_bytes(model), facts)

    def load_examples(self, name: str, asked: StageFacts) -> tuple[Examples, StageFacts] | None:
        """Return the examples of `NAME.npz`; None if there is no file with these parameters.

        Raises:
            ModelError: the file holds no examples.
        """
        path, facts = self._find(f"{name}.npz", asked)
        if path is None:
            return None
        try:
            with np.load(path, allow_pickle=False) as archive:
                return Examples(archive["pictures"], archive["classes"]), facts
        except (ValueError, OSError, KeyError) as error:
            raise ModelError(f"{path} holds no examples: {describe_error(error)}", hint=_HINT) from None

    def save_examples(self, name: str, examples: Examples, facts: StageFacts) -> None:
        """Save examples and the facts of their stage, `asked` included."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, pictures=examples.pictures, classes=examples.classes)
        self._write(f"{name}.npz", buffer.getvalue(), facts)

    def _find(self, file: str, asked: StageFacts) -> tuple[Path | None, StageFacts]:
        """Return the file, if it exists with these parameters, and its facts."""
        if self.folder is None or not (path := self.folder / file).exists():
            return None, {}
        facts = _read_facts(path.with_suffix(".json"))
        return (None if facts and facts.get("asked") != asked else path), facts

    def _write(self, file: str, content: bytes, facts: StageFacts) -> None:
        if self.folder is None:
            return
        make_dir(self.folder)
        path = self.folder / file
        # Facts without a file are ignored; a file without facts would be accepted as the user's.
        path.unlink(missing_ok=True)
        atomic_write(path.with_suffix(".json"), json.dumps(facts, indent=1))
        atomic_write(path, content)


def _read_facts(path: Path) -> StageFacts:
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{path} cannot be read: {describe_error(error)}", hint=_HINT) from None
