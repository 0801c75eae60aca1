"""Export a trained network as the two files of a model package: Keras and LiteRT."""

import io
import tempfile
import zipfile
from pathlib import Path
from typing import cast

from digitrec.recognition.classifier import DIGIT_PX
from digitrec.recognition.classifier_keras import quiet_start
from digitrec.training.networks import Model


def to_keras_bytes(model: Model) -> bytes:
    """Return the network as a compressed `.keras` file, without the state of the optimizer."""
    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        _copy(model).save(path)
        with (
            zipfile.ZipFile(path) as source,
            zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target,
        ):
            for entry in source.infolist():
                target.writestr(entry.filename, source.read(entry))
    return buffer.getvalue()


def to_tflite_bytes(model: Model, shape: tuple[int, ...] = (1, DIGIT_PX, DIGIT_PX), name: str = "digits") -> bytes:
    """Return the network as a `.tflite` file with int8 weights (dynamic range) for a fixed input shape.

    The same weights give the same bytes, so that the digest identifies the model.
    """
    import keras
    import tensorflow as tf

    # Names inside the file depend on what Keras has built before in this process.
    keras.utils.clear_session()
    entry = keras.Input(batch_shape=shape, name="entry")
    fixed = keras.Model(entry, _copy(model)(entry), name=name)
    with tempfile.TemporaryDirectory() as folder, quiet_start():
        fixed.export(folder, format="tf_saved_model", verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        return cast("bytes", converter.convert())


def _copy(model: Model) -> Model:
    """Return an uncompiled copy with the same weights (`clone_model` would compile it)."""
    copy = model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy
