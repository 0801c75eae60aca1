"""Train the segmentation network: which pixels of a crop are ink of its characters."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from digitrec.training import fit_loop
from digitrec.training.classifier import TrainingState
from digitrec.training.fit_loop import StageSpec, TrainedModel
from digitrec.training.networks import Model, build_segmenter
from digitrec.training.synthetic.generate import SegmentationExamples, dequantize
from digitrec.training.synthetic.strokes import Floats

NAME = "ink"


@dataclass(frozen=True, slots=True)
class SegmenterParams:
    """Optimizer settings of the segmentation network; set by hand (results: docs/dev/accuracy.md)."""

    batch: int = 64
    peak_rate: float = 4e-3  # learning rate at the end of the warm-up
    warmup_steps: int = 400
    weight_decay: float = 1e-3
    validation_batch: int = 250  # crops per prediction; limits memory and changes no result


PARAMS = SegmenterParams()

_Batch = tuple[Floats, Floats]
"""Normalized crops (b, 64, 64), and their ink (b, 64, 64), 0.0..1.0."""


def fit_segmenter(
    crops: SegmentationExamples,
    held_out: SegmentationExamples,
    *,
    epochs: int,
    seed: int,
    progress: Callable[[TrainingState], None],
) -> TrainedModel:
    """Train a segmentation network; its score is the Dice coefficient (F1 of ink pixels) on the held-out crops."""
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = build_segmenter()
    stage = StageSpec(NAME, "of its ink right (Dice)", epochs, -(-len(crops) // PARAMS.batch))
    rate = fit_loop.warmup_cosine(stage.total_steps, PARAMS.peak_rate, PARAMS.warmup_steps)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=PARAMS.weight_decay), "binary_crossentropy")

    def batches(epoch: int) -> Iterator[_Batch]:
        # The last batch repeats the first crops, so that all batches have the same size.
        order = np.resize(np.random.default_rng([seed, epoch]).permutation(len(crops)), stage.steps * PARAMS.batch)
        for indices in order.reshape(stage.steps, PARAMS.batch):
            yield dequantize(crops.levels[indices]), crops.ink[indices].astype(np.float32) / np.float32(255)

    def train_batch(batch: _Batch) -> float:
        return float(model.train_on_batch(*batch))

    return fit_loop.run_epochs(stage, model, batches, train_batch, lambda: dice_coefficient(model, held_out), progress)


def dice_coefficient(model: Model, crops: SegmentationExamples) -> float:
    """Return the Dice coefficient of predicted and true ink, 0..1; 1.0 means identical."""
    intersection = total = 0
    for start in range(0, len(crops), PARAMS.validation_batch):
        batch = slice(start, start + PARAMS.validation_batch)
        predicted = model.predict_on_batch(dequantize(crops.levels[batch])) > 0.5
        truth = crops.ink[batch] > 127
        intersection += int((predicted & truth).sum())
        total += int(predicted.sum() + truth.sum())
    return 2 * intersection / max(total, 1)
