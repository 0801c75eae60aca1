"""The two networks that look at paper: which of it is ink, and what a line of it says."""

from typing import Any

from digitrec.recognition.ink_network import SIDE
from digitrec.recognition.line_network import HEIGHT
from digitrec.training.networks import Model

LINE_CLASSES = 12
"""Ten digits, a sign that is none, and CTC's blank."""


def ink_network() -> Model:
    """A small U-shaped network (Ronneberger 2015), 64 x 64 flattened grey in, share of ink out.

    87,108 weights. Its largest scale is half of that, and each of its spots tells four pixels (sub-pixel convolution,
    Shi 2016). Strided convolutions go down, nearest-neighbour enlarging goes up.
    """
    from keras import Input, Model, layers

    entry = Input((SIDE, SIDE), name="flat")
    half = _step(_step(layers.Reshape((SIDE, SIDE, 1))(entry), 16, 4, strides=2), 16)
    quarter = _step(_step(half, 32, strides=2), 32)
    eighth = _step(_step(quarter, 64, strides=2), 64)
    up = _step(_added(eighth, quarter), 32)
    up = _step(_added(up, half), 16)
    ink = layers.Conv2D(4, 1, activation="sigmoid")(up)
    ink = layers.Permute((1, 3, 2, 4))(layers.Reshape((SIDE // 2, SIDE // 2, 2, 2))(ink))
    return Model(entry, layers.Reshape((SIDE, SIDE))(ink), name="ink")


def line_network(width: int | None = None) -> Model:
    """A convolutional reader of lines, trained with CTC (Graves 2006): a strip in, a class for each 4 pixels out.

    Takes flattened grey (40, width, 1), width a multiple of 4; gives probabilities (1, width / 4, 12). No recurrence: a
    digit is told by what is within two digits of it. 244,060 weights.
    """
    from keras import Input, Model, layers

    entry = Input((HEIGHT, width, 1), name="strip")
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
