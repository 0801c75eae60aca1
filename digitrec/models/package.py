"""A model folder: nothing in it is loaded before its digest was checked."""

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
"""The networks that look at the page itself; a model has both or none."""
_PICKLES = {".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth"}


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A model folder that can be used."""

    folder: Path
    card: ModelCard

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read the card, compare every digest, check the recipe.

        Raises:
            ModelError: something is missing, altered, unreadable, a pickle, or made for another recipe.
        """
        card = _read_card(folder)
        if TFLITE not in card.files:
            raise ModelError(f"the model {folder} has no {TFLITE}")
        if (INK_TFLITE in card.files) != (LINE_TFLITE in card.files):
            raise ModelError(f"the model {folder} has only one of {INK_TFLITE} and {LINE_TFLITE}")
        if not card.weights_id.endswith(f"-{weights_digest(card.files)[:10]}"):
            raise ModelError(f"the model {folder} is named {card.id}, but its weights are another one's")
        bundle = cls(folder, card)
        for name in card.files:
            bundle.read_file(name)
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
        return bundle

    @property
    def has_page_models(self) -> bool:
        """Whether it has networks that look at the page itself."""
        return INK_TFLITE in self.card.files

    def read_file(self, name: str) -> bytes:
        """One of the card's files, its digest compared; ModelError if the card names no such file."""
        path = self.path(name)
        try:
            content = path.read_bytes()
        except OSError as why:
            raise ModelError(f"{self.folder / name} cannot be read: {why.strerror}") from None
        if hashlib.sha256(content).hexdigest() != self.card.files[name]:
            raise ModelError(
                f"{self.folder / name} was altered: its sha256 is not the one in {CARD}",
                hint="Copy the whole model folder again from where it came, or train a new one.",
            )
        return content

    def path(self, name: str) -> Path:
        """Where one of the card's files lies; ModelError if the card names no such file."""
        if name not in self.card.files:
            raise ModelError(f"the model {self.folder} has no {name}")
        return self.folder / name

    def threshold(self, max_error: float) -> float:
        """The lowest confidence to accept so that at most `max_error` of the accepted are wrong, by all its tables.

        Raises:
            ModelError: too few labelled pages were held out to promise that much.
        """
        return choose_operating_point(self.card.calibrations, max_error).threshold


def weights_digest(files: Mapping[str, str]) -> str:
    """Names the weights of everything the service runs, by the sha256 of each file.

    >>> weights_digest({"model.tflite": "ab12", "model.keras": "cd34"})
    'ab12'
    >>> weights_digest({"model.tflite": "ab12", "ink.tflite": "ef56"})[:10]
    'ef5ad9cce1'
    """
    run = {name: digest for name, digest in files.items() if name.endswith(".tflite")}
    if len(run) == 1:
        return next(iter(run.values()))
    return hashlib.sha256("".join(f"{name}:{run[name]}\n" for name in sorted(run)).encode()).hexdigest()


def _read_card(folder: Path) -> ModelCard:
    path = folder / CARD
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"there is no model in {folder}: {CARD} is missing") from None
    except OSError as why:
        raise ModelError(f"{path} cannot be read: {why.strerror}") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as why:
        raise ModelError(f"{path} is no JSON: {why}") from None
    try:
        return ModelCard.from_json(found)
    except ModelError as why:
        raise ModelError(f"the model {folder}: {why}") from None
