"""Open a model folder; the digest of every file is checked before it is loaded."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from digitrec.errors import ModelError
from digitrec.models.calibration import choose_operating_point
from digitrec.models.card import ModelCard
from digitrec.types import PREPROCESSING_VERSION

CARD = "model.json"
TFLITE = "model.tflite"
KERAS = "model.keras"
INK_TFLITE = "ink.tflite"
LINE_TFLITE = "line.tflite"
"""Page model: segmenter and sequence recognizer; a model has both files or none."""
_PICKLES = {".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth"}


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A valid model folder."""

    folder: Path
    card: ModelCard

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read the card, compare every digest, and check the preprocessing version.

        Raises:
            ModelError: a file is missing, altered, unreadable or a pickle, or the preprocessing version differs.
        """
        card = _read_card(folder)
        if TFLITE not in card.files:
            raise ModelError(f"the model {folder} has no {TFLITE}")
        if (INK_TFLITE in card.files) != (LINE_TFLITE in card.files):
            raise ModelError(f"the model {folder} has only one of {INK_TFLITE} and {LINE_TFLITE}")
        if not card.weights_id.endswith(f"-{weights_digest(card.files)[:10]}"):
            raise ModelError(f"the model {folder} is named {card.id}, but its weights belong to another model")
        package = cls(folder, card)
        for name in card.files:
            package.read_file(name)
        if pickles := sorted(path.name for path in folder.iterdir() if path.suffix.lower() in _PICKLES):
            raise ModelError(
                f"the model {folder} holds {', '.join(pickles)}; a pickle can run code",
                hint="A model folder holds model.json, .keras and .tflite files and a card. Remove the rest.",
            )
        if card.recipe != PREPROCESSING_VERSION:
            raise ModelError(
                f"the model {card.id} was trained on ink of recipe {card.recipe}; "
                f"this version makes recipe {PREPROCESSING_VERSION}",
                hint="Train it again with `digitrec train`, or run the version of digitrec that made it.",
            )
        return package

    @property
    def has_page_models(self) -> bool:
        """Return True if the model has a page model (segmenter and sequence recognizer)."""
        return INK_TFLITE in self.card.files

    def read_file(self, name: str) -> bytes:
        """Return a file of the card after checking its digest; ModelError if it is not in the card."""
        path = self.path(name)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(f"{self.folder / name} cannot be read: {error.strerror}") from None
        if hashlib.sha256(content).hexdigest() != self.card.files[name]:
            raise ModelError(
                f"{self.folder / name} was altered: its sha256 is not the one in {CARD}",
                hint="Copy the whole model folder again from where it came, or train a new one.",
            )
        return content

    def path(self, name: str) -> Path:
        """Return the path of a file of the card; ModelError if it is not in the card."""
        if name not in self.card.files:
            raise ModelError(f"the model {self.folder} has no {name}")
        return self.folder / name

    def threshold(self, max_error: float) -> float:
        """Return the lowest confidence to accept so that at most `max_error` of the accepted pages are wrong.

        Raises:
            ModelError: too few labelled pages were held out for this guarantee.
        """
        return choose_operating_point(self.card.calibrations, max_error).threshold


def weights_digest(files: Mapping[str, str]) -> str:
    """Return a digest of the .tflite files, from the sha256 of each.

    >>> weights_digest({"model.tflite": "ab12", "model.keras": "cd34"})
    'ab12'
    >>> weights_digest({"model.tflite": "ab12", "ink.tflite": "ef56"})[:10]
    'ef5ad9cce1'
    """
    digests = {name: digest for name, digest in files.items() if name.endswith(".tflite")}
    if len(digests) == 1:
        return next(iter(digests.values()))
    return hashlib.sha256("".join(f"{name}:{digests[name]}\n" for name in sorted(digests)).encode()).hexdigest()


def _read_card(folder: Path) -> ModelCard:
    path = folder / CARD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"there is no model in {folder}: {CARD} is missing") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ModelError(f"{path} is no JSON: {error}") from None
    try:
        return ModelCard.from_json(content)
    except ModelError as error:
        raise ModelError(f"the model {folder}: {error}") from None
