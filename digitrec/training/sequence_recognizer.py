"""Fit the line network with CTC (Graves et al. 2006): what a strip says is known, where each sign stands is not."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from digitrec.recognition.classifier_keras import quiet_start
from digitrec.recognition.sequence_recognizer import FRAME_PX, LINE_HEIGHT_PX
from digitrec.training import fit_loop
from digitrec.training.classifier import TrainingState
from digitrec.training.fit_loop import StageSpec, TrainedModel
from digitrec.training.networks import LINE_CLASSES, Model, build_sequence_recognizer
from digitrec.training.synthetic.generate import LineExamples, dequantize
from digitrec.training.synthetic.strokes import Floats

NAME = "line"
BATCH = 48
BLANK = LINE_CLASSES - 1
_WIDTHS = (64, 96, 128, 160, 192)
"""A batch holds strips of one of these widths, narrower ones filled up with paper."""
_LONGEST = 10
"""Signs in a text."""
PEAK_RATE, _WARM = 3e-3, 500
_WEIGHT_DECAY = 4e-3
_HIGHEST_LOSS = 50.0
"""A strip that cannot be read counts no more than this."""
_SMALLEST = 1e-7

_Batch = tuple[Floats, NDArray[np.int32], NDArray[np.int32]]
"""Strips (b, 40, w, 1), their texts (b, 10) and how many signs of each count (b,)."""
_Places = NDArray[np.intp]


def fit_sequence_recognizer(
    strips: LineExamples,
    held_out: LineExamples,
    *,
    epochs: int,
    seed: int,
    progress: Callable[[TrainingState], None],
    start: Sequence[NDArray[Any]] | None = None,
    peak_rate: float = PEAK_RATE,
) -> TrainedModel:
    """Train a line network; its score is the share of held-out strips whose whole text is right.

    Args:
        strips: what it learns from.
        held_out: what chooses the best epoch.
        epochs: how often it sees every strip.
        seed: of all dice.
        progress: told after each batch and each epoch.
        start: the weights it goes on from; None: it begins anew.
        peak_rate: the highest learning rate.
    """
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = build_sequence_recognizer()
    if start is not None:
        model.set_weights(start)
    known = _by_width(strips)
    stage = StageSpec(NAME, "of its lines right", epochs, sum(-(-len(places) // BATCH) for places in known.values()))
    learn, read = _learner(model, fit_loop.warmup_cosine(stage.total, peak_rate, _WARM)), _reader(model)

    def batches(epoch: int) -> Iterator[_Batch]:
        rng = np.random.default_rng([seed, epoch])
        groups = [(width, group) for width, places in known.items() for group in _groups(places, rng)]
        for index in rng.permutation(len(groups)):
            width, group = groups[index]
            yield _batch(strips, width, group, rng)

    def judge() -> float:
        return float(_right(read, held_out).mean())

    return fit_loop.run_epochs(stage, model, batches, learn, judge, progress)


def find_correct_lines(model: Model, strips: LineExamples) -> NDArray[np.bool_]:
    """Which strips' whole texts a line network reads rightly, (n,)."""
    return _right(_reader(model), strips)


def decode_greedily(frames: Floats) -> list[tuple[int, ...]]:
    """The text of each strip, taking the most probable sign of every frame: (b, T, 12).

    >>> one = np.eye(12, dtype=np.float32)[[11, 3, 3, 11, 3, 7]]
    >>> texts_of(one[None])
    [(3, 3, 7)]
    """
    best = frames.argmax(axis=2)
    turns = np.concatenate([np.ones((len(best), 1), np.bool_), best[:, 1:] != best[:, :-1]], axis=1)
    return [tuple(int(sign) for sign in row[turn & (row != BLANK)]) for row, turn in zip(best, turns, strict=True)]


def _right(read: Callable[[Floats], Floats], strips: LineExamples) -> NDArray[np.bool_]:
    right = np.zeros(len(strips), np.bool_)
    for width, places in _by_width(strips).items():
        for start in range(0, len(places), BATCH):
            some = places[start : start + BATCH]
            texts = decode_greedily(read(_batch(strips, width, some, None)[0]))
            right[some] = [text == strips.texts[place] for text, place in zip(texts, some, strict=True)]
    return right


def _by_width(strips: LineExamples) -> dict[int, _Places]:
    widths = np.array([min(each for each in _WIDTHS if levels.shape[1] <= each) for levels in strips.levels], np.intp)
    return {width: np.flatnonzero(widths == width) for width in _WIDTHS if (widths == width).any()}


def _groups(places: _Places, rng: Generator) -> Sequence[_Places]:
    """Batches of strips of one width; the last one filled up with the first again, so that all have the same size."""
    count = -(-len(places) // BATCH)
    return list(np.resize(rng.permutation(places), count * BATCH).reshape(count, BATCH))


def _batch(strips: LineExamples, width: int, places: _Places, rng: Generator | None) -> _Batch:
    """Strips of one width at most; each begins anywhere, a frame apart, or without dice at the left."""
    pictures = np.zeros((len(places), LINE_HEIGHT_PX, width, 1), np.float32)
    texts = np.zeros((len(places), _LONGEST), np.int32)
    counts = np.zeros(len(places), np.int32)
    for row, place in enumerate(places):
        levels, text = strips.levels[place], strips.texts[place]
        room = (width - levels.shape[1]) // FRAME_PX
        left = 0 if rng is None else int(rng.integers(0, room + 1)) * FRAME_PX
        pictures[row, :, left : left + levels.shape[1], 0] = dequantize(levels)
        texts[row, : len(text)] = text
        counts[row] = len(text)
    return pictures, texts, counts


def _learner(model: Any, rate: Any) -> Callable[[_Batch], float]:
    """What learns from a batch and gives its loss."""
    import keras
    import tensorflow as tf

    optimizer = keras.optimizers.AdamW(rate, weight_decay=_WEIGHT_DECAY, clipnorm=1.0)
    optimizer.build(model.trainable_variables)
    strips = tf.TensorSpec((None, LINE_HEIGHT_PX, None, 1), tf.float32)

    # One trace for all widths: with one for each, TensorFlow's optimizer mixes up the loops of the loss.
    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[strips, tf.TensorSpec((None, _LONGEST), tf.int32), tf.TensorSpec((None,), tf.int32)]
    )
    def learn(pictures: Any, texts: Any, counts: Any) -> Any:
        with tf.GradientTape() as tape:
            frames = model(pictures, training=True)[:, 0]  # (b, T, 12)
            shape = tf.shape(frames)
            losses = tf.nn.ctc_loss(
                texts,
                tf.transpose(tf.math.log(tf.maximum(frames, _SMALLEST)), (1, 0, 2)),
                counts,
                tf.fill([shape[0]], shape[1]),
                blank_index=BLANK,
            )
            loss = tf.reduce_mean(tf.minimum(losses, _HIGHEST_LOSS))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    def learn_quietly_first(batch: _Batch) -> float:
        if optimizer.iterations == 0:
            with quiet_start():  # planning the loss on some processors is talked about
                return float(learn(*batch))
        return float(learn(*batch))

    return learn_quietly_first


def _reader(model: Any) -> Callable[[Floats], Floats]:
    """What gives the frames of strips, (b, T, 12)."""
    import tensorflow as tf

    strips = tf.TensorSpec((None, LINE_HEIGHT_PX, None, 1), tf.float32)

    @tf.function(input_signature=[strips])  # type: ignore[untyped-decorator]
    def read(pictures: Any) -> Any:
        return model(pictures, training=False)[:, 0]

    return lambda pictures: np.asarray(read(pictures), np.float32)
