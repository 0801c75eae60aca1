"""Train the sequence recognizer with CTC (Graves et al. 2006): the text of a line is known, not its alignment."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from digitrec.recognition.classifier_keras import quiet_start
from digitrec.recognition.ctc import decode_greedily
from digitrec.recognition.sequence_recognizer import FRAME_PX, LINE_HEIGHT_PX
from digitrec.training import fit_loop
from digitrec.training.classifier import TrainingState
from digitrec.training.fit_loop import StageSpec, TrainedModel
from digitrec.training.networks import LINE_CLASSES, Model, build_sequence_recognizer
from digitrec.training.synthetic.generate import LineExamples, dequantize
from digitrec.training.synthetic.strokes import Floats

NAME = "line"
BLANK = LINE_CLASSES - 1


@dataclass(frozen=True, slots=True)
class SequenceRecognizerParams:
    """Optimizer and batch settings of the sequence recognizer; set by hand (results: docs/dev/accuracy.md)."""

    batch: int = 48
    # A batch holds lines padded to one of these widths.
    widths_px: tuple[int, ...] = (64, 96, 128, 160, 192, 256, 320, 384)
    max_symbols: int = 16  # longest text of a line
    shift_px: float = 2.0  # largest shift of a line up or down
    scale: float = 0.12  # largest change of its height and width
    shear: float = 0.12  # standard deviation of its slant, pixels per pixel of height
    noise: float = 0.2  # largest standard deviation of noise, in standard deviations of the line's levels
    blur: float = 0.15  # probability that a line is blurred
    peak_rate: float = 3e-3  # learning rate at the end of the warm-up, from scratch
    later_peak_rate: float = 2e-3  # the same in later rounds, which start from trained weights
    warmup_steps: int = 500
    weight_decay: float = 4e-3
    clip_norm: float = 1.0
    max_loss: float = 50.0  # upper limit of the loss of a line, so that an illegible line does not dominate its batch
    min_probability: float = 1e-7  # lower limit before the logarithm


PARAMS = SequenceRecognizerParams()

_Batch = tuple[Floats, NDArray[np.int32], NDArray[np.int32]]
"""Line crops (b, 40, w, 1), their texts (b, 16), and the number of symbols of each text (b,)."""
_Indices = NDArray[np.intp]


def fit_sequence_recognizer(
    lines: LineExamples,
    held_out: LineExamples,
    *,
    epochs: int,
    seed: int,
    progress: Callable[[TrainingState], None],
    initial_weights: Sequence[NDArray[Any]] | None = None,
    peak_rate: float = PARAMS.peak_rate,
) -> TrainedModel:
    """Train a sequence recognizer; its score is the share of held-out lines whose whole text is right.

    Args:
        lines: examples to train on.
        held_out: examples that choose the best epoch.
        epochs: number of passes over all lines.
        seed: seed of all random numbers.
        progress: called after each batch and each epoch.
        initial_weights: weights to start from; None: random ones.
        peak_rate: highest learning rate.
    """
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = build_sequence_recognizer()
    if initial_weights is not None:
        model.set_weights(initial_weights)
    by_width = _group_by_width(lines)
    steps = sum(-(-len(indices) // PARAMS.batch) for indices in by_width.values())
    stage = StageSpec(NAME, "of its lines right", epochs, steps)
    rate = fit_loop.warmup_cosine(stage.total_steps, peak_rate, PARAMS.warmup_steps)
    train_batch, predict = _make_train_function(model, rate), _make_predict_function(model)

    def batches(epoch: int) -> Iterator[_Batch]:
        rng = np.random.default_rng([seed, epoch])
        chunks = [(width, chunk) for width, indices in by_width.items() for chunk in _shuffle_chunks(indices, rng)]
        for index in rng.permutation(len(chunks)):
            width, chunk = chunks[index]
            yield _make_batch(lines, width, chunk, rng)

    def validate() -> float:
        return float(_compare_texts(predict, held_out).mean())

    return fit_loop.run_epochs(stage, model, batches, train_batch, validate, progress)


def find_correct_lines(model: Model, lines: LineExamples) -> NDArray[np.bool_]:
    """Return a mask of the lines whose whole text a sequence recognizer reads correctly, (n,)."""
    return _compare_texts(_make_predict_function(model), lines)


def _compare_texts(predict: Callable[[Floats], Floats], lines: LineExamples) -> NDArray[np.bool_]:
    is_right = np.zeros(len(lines), np.bool_)
    for width, indices in _group_by_width(lines).items():
        for start in range(0, len(indices), PARAMS.batch):
            chunk = indices[start : start + PARAMS.batch]
            frames = predict(_make_batch(lines, width, chunk, None)[0])  # (b, T, 18)
            is_right[chunk] = [
                decode_greedily(line) == lines.texts[index] for line, index in zip(frames, chunk, strict=True)
            ]
    return is_right


def _group_by_width(lines: LineExamples) -> dict[int, _Indices]:
    """Return the indices of the lines for each padded width."""
    padded = [min(width for width in PARAMS.widths_px if levels.shape[1] <= width) for levels in lines.levels]
    widths = np.array(padded, np.intp)
    return {width: np.flatnonzero(widths == width) for width in PARAMS.widths_px if (widths == width).any()}


def _shuffle_chunks(indices: _Indices, rng: Generator) -> Sequence[_Indices]:
    """Return shuffled batches of indices; the last one is filled with the first indices, so that sizes are equal."""
    count = -(-len(indices) // PARAMS.batch)
    return list(np.resize(rng.permutation(indices), count * PARAMS.batch).reshape(count, PARAMS.batch))


def _make_batch(lines: LineExamples, width: int, indices: _Indices, rng: Generator | None) -> _Batch:
    """Pad lines to a width; each starts at a random frame, or without a generator at the left edge."""
    pictures = np.zeros((len(indices), LINE_HEIGHT_PX, width, 1), np.float32)
    texts = np.zeros((len(indices), PARAMS.max_symbols), np.int32)
    lengths = np.zeros(len(indices), np.int32)
    for row, index in enumerate(indices):
        levels, text = lines.levels[index], lines.texts[index]
        free_frames = (width - levels.shape[1]) // FRAME_PX
        left = 0 if rng is None else int(rng.integers(0, free_frames + 1)) * FRAME_PX
        picture = dequantize(levels)
        pictures[row, :, left : left + levels.shape[1], 0] = picture if rng is None else _augment(picture, rng)
        texts[row, : len(text)] = text
        lengths[row] = len(text)
    return pictures, texts, lengths


def _augment(picture: Floats, rng: Generator) -> Floats:
    """Change the position, size and slant of a line crop, (40, w), a little, and its sharpness."""
    p, (height, width) = PARAMS, picture.shape
    scale_x, scale_y = rng.uniform(1 - p.scale, 1 + p.scale / 2, 2)  # enlarged, the ends would be cut
    shift, slant = float(rng.uniform(-p.shift_px, p.shift_px)), float(rng.normal(0, p.shear))
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    matrix = np.array(
        [[scale_x, -slant, (1 - scale_x) * middle_x + slant * middle_y], [0, scale_y, (1 - scale_y) * middle_y + shift]]
    )
    moved = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if rng.random() < p.blur:
        moved = cv2.GaussianBlur(moved, (0, 0), float(rng.uniform(0.4, 1.2)))
    noise = float(rng.uniform(0, p.noise))
    return np.asarray(moved + rng.normal(0, noise, moved.shape), np.float32)


def _make_train_function(model: Any, rate: Any) -> Callable[[_Batch], float]:
    """Return a function that trains on one batch and returns its loss."""
    import keras
    import tensorflow as tf

    optimizer = keras.optimizers.AdamW(rate, weight_decay=PARAMS.weight_decay, clipnorm=PARAMS.clip_norm)
    optimizer.build(model.trainable_variables)
    signature = [
        tf.TensorSpec((None, LINE_HEIGHT_PX, None, 1), tf.float32),
        tf.TensorSpec((None, PARAMS.max_symbols), tf.int32),
        tf.TensorSpec((None,), tf.int32),
    ]

    # One trace for all widths: with one trace per width, TensorFlow's optimizer mixes up the loops of the loss.
    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def train(pictures: Any, texts: Any, lengths: Any) -> Any:
        with tf.GradientTape() as tape:
            frames = model(pictures, training=True)[:, 0]  # (b, T, 18)
            shape = tf.shape(frames)
            losses = tf.nn.ctc_loss(
                texts,
                tf.transpose(tf.math.log(tf.maximum(frames, PARAMS.min_probability)), (1, 0, 2)),
                lengths,
                tf.fill([shape[0]], shape[1]),
                blank_index=BLANK,
            )
            loss = tf.reduce_mean(tf.minimum(losses, PARAMS.max_loss))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    def train_batch(batch: _Batch) -> float:
        if optimizer.iterations == 0:
            with quiet_start():  # on some processors TensorFlow logs how it compiles the loss
                return float(train(*batch))
        return float(train(*batch))

    return train_batch


def _make_predict_function(model: Any) -> Callable[[Floats], Floats]:
    """Return a function from line crops, (b, 40, w, 1), to frame probabilities, (b, T, 18)."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, LINE_HEIGHT_PX, None, 1), tf.float32)])  # type: ignore[untyped-decorator]
    def predict(pictures: Any) -> Any:
        return model(pictures, training=False)[:, 0]

    return lambda pictures: np.asarray(predict(pictures), np.float32)
