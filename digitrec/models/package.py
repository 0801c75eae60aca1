"""Open a model folder; the digest of every file is checked before it is loaded."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from digitrec.errors import ModelError
from digitrec.models.calibration import (
    ACCEPT_NOTHING,
    AnswerKind,
    choose_operating_point,
    lowest_error,
    tables_for,
)
from digitrec.models.card import ModelCard
from digitrec.models.second_opinion import AgreementPoint
from digitrec.types import PREPROCESSING_VERSION, Thresholds

CARD = "model.json"
TFLITE = "model.tflite"
KERAS = "model.keras"
INK_TFLITE = "ink.tflite"
LINE_TFLITE = "line.tflite"
"""Page model: segmenter and sequence recognizer; a model has both files or none."""
INK_KERAS = "ink.keras"
LINE_KERAS = "line.keras"
"""The same as Keras networks, to train further."""
_PICKLES = {".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth"}


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A valid model folder."""

    folder: Path
    card: ModelCard = field(repr=False)
    """Content of `model.json`: training, accuracy, calibration."""

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Self:
        """Read the card, compare every digest, and check the preprocessing version.

        Raises:
            ModelError: a file is missing, altered, unreadable or a pickle, or the preprocessing version is a later one.
        """
        folder = Path(folder)
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
        if card.recipe > PREPROCESSING_VERSION:
            raise ModelError(
                f"the model {card.id} was trained with preprocessing version {card.recipe}; "
                f"this digitrec has version {PREPROCESSING_VERSION}",
                hint="Install the version of digitrec that made it, or train it again with `digitrec train`.",
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

    def thresholds(self, max_error: float) -> Thresholds:
        """Return the lowest confidences to accept so that at most `max_error` of the accepted answers are wrong.

        A threshold is `ACCEPT_NOTHING` where the model cannot guarantee `max_error`, and both are if it was trained
        with an earlier preprocessing version; see `describe_limit`.
        """
        return Thresholds(self._threshold(AnswerKind.DIGITS, max_error), self._threshold(AnswerKind.NUMBERS, max_error))

    def agreement_points(self, max_error: float) -> dict[AnswerKind, AgreementPoint]:
        """Return for each kind of answers the operating point of the agreement of another reader, where there is one.

        There is none for a kind of which nothing is accepted without it.
        """
        card = self.card
        if card.second_opinion is None:
            return {}
        points = {kind: card.second_opinion.point(kind, max_error, card.calibrations) for kind in AnswerKind}
        return {
            kind: point
            for kind, point in points.items()
            if point is not None and self._threshold(kind, max_error) != ACCEPT_NOTHING
        }

    def describe_limit(self, max_error: float) -> str:
        """Return in one line why pages need review whatever their confidence, and which; "" if none does."""
        model, version = f"the model {self.card.id}", self.card.recipe
        if version < PREPROCESSING_VERSION:
            return (
                f"{model} was trained with preprocessing version {version}, this digitrec has version "
                f"{PREPROCESSING_VERSION}: all pages need review"
            )
        lowest = {
            kind: lowest_error(tables_for(self.card.calibrations, kind))
            for kind in AnswerKind
            if self._threshold(kind, max_error) == ACCEPT_NOTHING
        }
        if not lowest:
            return ""
        least = ", ".join(f"{error:.5f} for {kind}" for kind, error in lowest.items())
        answers = "all pages" if len(lowest) == len(AnswerKind) else f"all {next(iter(lowest)).description}"
        return f"{model} cannot guarantee a max_error of {max_error:g}, at best {least}: {answers} need review"

    def _threshold(self, kind: AnswerKind, max_error: float) -> float:
        if self.card.recipe < PREPROCESSING_VERSION:
            return ACCEPT_NOTHING
        choice = choose_operating_point(tables_for(self.card.calibrations, kind), max_error)
        return ACCEPT_NOTHING if choice is None else choice.threshold


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
