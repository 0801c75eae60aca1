"""The Keras networks that can be trained: digit classifiers, and the two page models (ink and text lines).

A classifier takes ink (28, 28) and returns the probabilities of ten digits, maybe of no digit.
Add one: write a function here, register it in `CLASSIFIERS`, prove it with `make accuracy`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from digitrec.recognition.classifier import CLASSES, DIGITS
from digitrec.recognition.segmenter import CROP_PX
from digitrec.recognition.sequence_recognizer import LINE_HEIGHT_PX

Model: TypeAlias = Any
"""A `keras.Model`; Keras ships no types, and is imported only when a network is built."""
LINE_CLASSES = 12
"""Ten digits, a sign that is none, and CTC's blank."""


@dataclass(frozen=True, slots=True)
class ClassifierSpec:
    """A network and the way it is trained best."""

    build: Callable[[], Model]
    learning_rate: float
    weight_decay: float
    batch: int
    augment: bool
    epochs: int = 20
    """How often it sees every picture, unless told."""
    has_page_models: bool = False
    """It knows what is no digit, and comes with an ink and a line network, trained before it on drawn paper."""


def build_mlp() -> Model:
    """The classic exercise: two ReLU Dense layers and a softmax of 10 (109,386 weights)."""
    from keras import Input, Sequential, layers

    return Sequential(
        [
            Input((28, 28)),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ],
        name="mlp",
    )


def build_cnn(classes: int = DIGITS) -> Model:
    """Five 3 x 3 convolutions in three steps of scale (144,938 weights, 10 million multiplications a picture).

    Batch normalisation makes it train quickly and costs nothing later: LiteRT folds it into the convolutions.
    No padding: a normalised digit has a margin of four pixels, so its border carries nothing.
    """
    from keras import Input, Sequential, layers

    def step(width: int) -> list[Any]:
        return [layers.Conv2D(width, 3, use_bias=False), layers.BatchNormalization(momentum=0.9), layers.ReLU()]

    return Sequential(
        [
            Input((28, 28)),
            layers.Reshape((28, 28, 1)),
            *step(32),
            *step(32),
            layers.MaxPooling2D(),
            *step(64),
            *step(64),
            layers.MaxPooling2D(),
            *step(128),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(classes, activation="softmax"),
        ],
        name="cnn",
    )


def build_paper_cnn() -> Model:
    """The same with an eleventh class, none (146,091 weights)."""
    return build_cnn(CLASSES)


CLASSIFIERS: dict[str, ClassifierSpec] = {
    "mlp": ClassifierSpec(build_mlp, learning_rate=2e-3, weight_decay=0.0, batch=64, augment=False),
    "cnn": ClassifierSpec(build_cnn, learning_rate=2e-3, weight_decay=0.02, batch=128, augment=True),
    "paper": ClassifierSpec(
        build_paper_cnn, learning_rate=2e-3, weight_decay=0.02, batch=128, augment=True, epochs=16, has_page_models=True
    ),
}


def build_segmenter() -> Model:
    """A small U-shaped network (Ronneberger 2015), 64 x 64 flattened grey in, share of ink out.

    87,108 weights. Its largest scale is half of that, and each of its spots tells four pixels (sub-pixel convolution,
    Shi 2016). Strided convolutions go down, nearest-neighbour enlarging goes up.
    """
    from keras import Input, Model, layers

    entry = Input((CROP_PX, CROP_PX), name="flat")
    half = _step(_step(layers.Reshape((CROP_PX, CROP_PX, 1))(entry), 16, 4, strides=2), 16)
    quarter = _step(_step(half, 32, strides=2), 32)
    eighth = _step(_step(quarter, 64, strides=2), 64)
    up = _step(_added(eighth, quarter), 32)
    up = _step(_added(up, half), 16)
    ink = layers.Conv2D(4, 1, activation="sigmoid")(up)
    ink = layers.Permute((1, 3, 2, 4))(layers.Reshape((CROP_PX // 2, CROP_PX // 2, 2, 2))(ink))
    return Model(entry, layers.Reshape((CROP_PX, CROP_PX))(ink), name="ink")


def build_sequence_recognizer(width: int | None = None) -> Model:
    """A convolutional reader of lines, trained with CTC (Graves 2006): a strip in, a class for each 4 pixels out.

    Takes flattened grey (40, width, 1), width a multiple of 4; gives probabilities (1, width / 4, 12). No recurrence: a
    digit is told by what is within two digits of it. 244,060 weights.
    """
    from keras import Input, Model, layers

    entry = Input((LINE_HEIGHT_PX, width, 1), name="strip")
    signal = layers.MaxPooling2D()(_step(entry, 16))
    signal = layers.MaxPooling2D()(_step(_step(signal, 32), 32))
    signal = layers.MaxPooling2D((2, 1))(_step(_step(signal, 56), 56))
    signal = _step(_step(signal, 80), 80)
    signal = _step(signal, 96, (5, 1), padding="valid")
    signal = layers.Dropout(0.15)(signal)
    signal = _step(signal, 96, (1, 5))
    return Model(entry, layers.Conv2D(LINE_CLASSES, 1, activation="softmax")(signal), name="line")


def _step(
    signal: Any, width: int, kernel: int | tuple[int, int] = 3, *, strides: int = 1, padding: str = "same"
) -> Any:
    from keras import layers

    signal = layers.Conv2D(width, kernel, strides=strides, padding=padding, use_bias=False)(signal)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.95)(signal))


def _added(low: Any, high: Any) -> Any:
    from keras import layers

    width = high.shape[-1]
    enlarged = layers.UpSampling2D()(layers.Conv2D(width, 1, use_bias=False)(low))
    return layers.ReLU()(layers.BatchNormalization(momentum=0.95)(layers.Add()([enlarged, high])))
