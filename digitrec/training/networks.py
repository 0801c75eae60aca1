"""Keras networks: digit classifiers, and the two page models (segmenter and sequence recognizer).

A classifier takes ink (28, 28) and returns the probabilities of the ten digits, optionally also of "no digit".
To add one, write a function, register it in `CLASSIFIERS` and measure it with `make accuracy`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from digitrec.errors import UsageError
from digitrec.recognition.classifier import CLASSES, DIGITS
from digitrec.recognition.segmenter import CROP_PX
from digitrec.recognition.sequence_recognizer import LINE_HEIGHT_PX, SIGNS

Model: TypeAlias = Any
"""A `keras.Model`; Keras ships no types, and is imported only when a network is built."""
LINE_CLASSES = CLASSES + len(SIGNS) + 1
"""Ten digits, the non-digit, the signs and the CTC blank."""


_LINE_WIDTH, _LINE_BLOCKS = 144, 5
"""Features along a line after its height is collapsed, and residual blocks, of the sequence recognizer."""


@dataclass(frozen=True, slots=True)
class ClassifierSpec:
    """A digit classifier and its training parameters, set by hand."""

    build: Callable[[], Model]
    learning_rate: float
    weight_decay: float
    batch: int
    augment: bool
    epochs: int = 20
    """Default number of epochs."""
    has_page_models: bool = False
    """It has a class for non-digits, and comes with page models that are trained before it on synthetic pages."""


def build_mlp() -> Model:
    """Build a multilayer perceptron: two ReLU layers and a softmax of 10 (109,386 weights)."""
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
    """Build five 3 x 3 convolutions at three scales (144,938 weights, 10 million multiplications per digit).

    With an eleventh class, no digit, it has 146,091 weights.

    Batch normalization speeds up training and is free at inference, as LiteRT folds it into the convolutions.
    No padding: a normalized digit has an empty margin of four pixels.
    """
    from keras import Input, Sequential, layers

    def block(width: int) -> list[Any]:
        return [layers.Conv2D(width, 3, use_bias=False), layers.BatchNormalization(momentum=0.9), layers.ReLU()]

    return Sequential(
        [
            Input((28, 28)),
            layers.Reshape((28, 28, 1)),
            *block(32),
            *block(32),
            layers.MaxPooling2D(),
            *block(64),
            *block(64),
            layers.MaxPooling2D(),
            *block(128),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(classes, activation="softmax"),
        ],
        name="cnn",
    )


CLASSIFIERS: dict[str, ClassifierSpec] = {
    "mlp": ClassifierSpec(build_mlp, learning_rate=2e-3, weight_decay=0.0, batch=64, augment=False),
    "cnn": ClassifierSpec(build_cnn, learning_rate=2e-3, weight_decay=0.02, batch=128, augment=True),
    "paper": ClassifierSpec(
        partial(build_cnn, CLASSES),
        learning_rate=2e-3,
        weight_decay=0.02,
        batch=128,
        augment=True,
        epochs=16,
        has_page_models=True,
    ),
}


def find_classifier(name: str) -> ClassifierSpec:
    """Return the network of this name in `CLASSIFIERS`; UsageError if there is none."""
    if name not in CLASSIFIERS:
        raise UsageError(f"there is no network {name!r}", hint=f"Networks: {', '.join(CLASSIFIERS)}.")
    return CLASSIFIERS[name]


def build_segmenter() -> Model:
    """Build a small U-Net (Ronneberger 2015): (64, 64) locally normalized gray in, ink probabilities (64, 64) out.

    87,108 weights. It works at half resolution, and each output cell gives four pixels (sub-pixel convolution, Shi
    2016). Strided convolutions downsample, nearest-neighbour upsampling restores the size.
    """
    from keras import Input, Model, layers

    inputs = Input((CROP_PX, CROP_PX), name="flat")
    half = _conv_block(_conv_block(layers.Reshape((CROP_PX, CROP_PX, 1))(inputs), 16, 4, strides=2), 16)
    quarter = _conv_block(_conv_block(half, 32, strides=2), 32)
    eighth = _conv_block(_conv_block(quarter, 64, strides=2), 64)
    up = _conv_block(_merge_scales(eighth, quarter), 32)
    up = _conv_block(_merge_scales(up, half), 16)
    ink = layers.Conv2D(4, 1, activation="sigmoid")(up)
    ink = layers.Permute((1, 3, 2, 4))(layers.Reshape((CROP_PX // 2, CROP_PX // 2, 2, 2))(ink))
    return Model(inputs, layers.Reshape((CROP_PX, CROP_PX))(ink), name="ink")


def build_sequence_recognizer() -> Model:
    """Build a convolutional recognizer of text lines for CTC (Graves 2006), 900,000 weights.

    Locally normalized gray (40, width, 1) in, width a multiple of 4; frame probabilities (1, width / 4, 18) out. No
    recurrence: a context of some digits on either side is enough. Most weights follow the layer that collapses the
    height, where a position costs a fiftieth: inverted residual blocks (Sandler 2018) of depthwise convolutions.
    """
    from keras import Input, Model, layers

    inputs = Input((LINE_HEIGHT_PX, None, 1), name="strip")
    features = layers.MaxPooling2D()(_conv_block(inputs, 16))
    features = layers.MaxPooling2D()(_conv_block(_conv_block(features, 32), 32))
    features = layers.MaxPooling2D((2, 1))(_conv_block(_conv_block(features, 56), 56))
    features = _conv_block(_conv_block(features, 80), 80)
    features = _conv_block(features, 96, (5, 1), padding="valid")
    features = layers.Dropout(0.15)(features)
    features = _conv_block(features, 96, (1, 5))
    features = layers.Conv2D(_LINE_WIDTH, 1, use_bias=False)(features)
    for _ in range(_LINE_BLOCKS):
        features = _residual_block(features)
    features = layers.Dropout(0.1)(features)
    return Model(inputs, layers.Conv2D(LINE_CLASSES, 1, activation="softmax")(features), name="line")


def _residual_block(features: Any) -> Any:
    """Add a depthwise convolution along the line, and two pointwise ones, to the features; the identity at first."""
    from keras import layers

    width = features.shape[-1]
    change = layers.DepthwiseConv2D((1, 7), padding="same", use_bias=False)(features)
    change = layers.BatchNormalization(momentum=0.95)(change)
    change = _conv_block(change, 3 * width, 1)
    change = layers.Conv2D(width, 1, use_bias=False)(change)
    return layers.Add()([features, layers.BatchNormalization(momentum=0.95, gamma_initializer="zeros")(change)])


def _conv_block(
    features: Any, width: int, kernel: int | tuple[int, int] = 3, *, strides: int = 1, padding: str = "same"
) -> Any:
    from keras import layers

    features = layers.Conv2D(width, kernel, strides=strides, padding=padding, use_bias=False)(features)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.95)(features))


def _merge_scales(low: Any, high: Any) -> Any:
    from keras import layers

    width = high.shape[-1]
    upsampled = layers.UpSampling2D()(layers.Conv2D(width, 1, use_bias=False)(low))
    return layers.ReLU()(layers.BatchNormalization(momentum=0.95)(layers.Add()([upsampled, high])))
