"""Fit the ink network: which pixels of a crop belong to the signs that are meant."""

from collections.abc import Callable, Iterator

import numpy as np

from digitrec.training import fit_loop
from digitrec.training.classifier import TrainingState
from digitrec.training.fit_loop import StageSpec, TrainedModel
from digitrec.training.networks import Model, build_segmenter
from digitrec.training.synthetic.generate import SegmentationExamples, dequantize
from digitrec.training.synthetic.strokes import Floats

NAME = "ink"
BATCH = 64
_PEAK_RATE, _WARM = 4e-3, 400
_WEIGHT_DECAY = 1e-3
_JUDGED_AT_ONCE = 250

_Batch = tuple[Floats, Floats]


def fit_segmenter(
    crops: SegmentationExamples,
    held_out: SegmentationExamples,
    *,
    epochs: int,
    seed: int,
    progress: Callable[[TrainingState], None],
) -> TrainedModel:
    """Train an ink network; its score is the Dice coefficient (F1 of inked pixels) on the crops held out."""
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = build_segmenter()
    stage = StageSpec(NAME, "of its ink right (Dice)", epochs, -(-len(crops) // BATCH))
    model.compile(
        keras.optimizers.AdamW(fit_loop.warmup_cosine(stage.total, _PEAK_RATE, _WARM), weight_decay=_WEIGHT_DECAY),
        "binary_crossentropy",
    )

    def batches(epoch: int) -> Iterator[_Batch]:
        # Filled up with the first ones again, so that each batch has the same size and every crop its turn.
        order = np.resize(np.random.default_rng([seed, epoch]).permutation(len(crops)), stage.steps * BATCH)
        for chosen in order.reshape(stage.steps, BATCH):
            yield dequantize(crops.levels[chosen]), crops.ink[chosen].astype(np.float32) / np.float32(255)

    def learn(batch: _Batch) -> float:
        return float(model.train_on_batch(*batch))

    return fit_loop.run_epochs(stage, model, batches, learn, lambda: dice_coefficient(model, held_out), progress)


def dice_coefficient(model: Model, crops: SegmentationExamples) -> float:
    """How well the model's ink covers the true ink: 1.0 if they are the same."""
    both = either = 0
    for start in range(0, len(crops), _JUDGED_AT_ONCE):
        some = slice(start, start + _JUDGED_AT_ONCE)
        found = model.predict_on_batch(dequantize(crops.levels[some])) > 0.5
        true = crops.ink[some] > 127
        both += int((found & true).sum())
        either += int(found.sum() + true.sum())
    return 2 * both / max(either, 1)
