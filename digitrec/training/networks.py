"""The networks that can be trained; each takes ink (28, 28) and gives the probabilities of ten digits, maybe of none.

`paper_networks` has those that look at paper.

Add one: write a function here, register it in `BUILDERS`, prove it with `make accuracy`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from digitrec.classifiers.base import CLASSES, DIGITS

Model: TypeAlias = Any
"""A `keras.Model`; Keras ships no types, and is imported only when a network is built."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network and the way it is trained best."""

    build: Callable[[], Model]
    learning_rate: float
    weight_decay: float
    batch: int
    augment: bool
    epochs: int = 20
    """How often it sees every picture, unless told."""
    reads_paper: bool = False
    """It knows what is no digit, and comes with an ink and a line network, trained before it on drawn paper."""


def mlp() -> Model:
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


def cnn(classes: int = DIGITS) -> Model:
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


def paper() -> Model:
    """The same with an eleventh class, none (146,091 weights)."""
    return cnn(CLASSES)


BUILDERS: dict[str, Network] = {
    "mlp": Network(mlp, learning_rate=2e-3, weight_decay=0.0, batch=64, augment=False),
    "cnn": Network(cnn, learning_rate=2e-3, weight_decay=0.02, batch=128, augment=True),
    "paper": Network(
        paper, learning_rate=2e-3, weight_decay=0.02, batch=128, augment=True, epochs=16, reads_paper=True
    ),
}
