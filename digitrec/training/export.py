"""A trained network -> the two files of a model folder."""

import io
import tempfile
import zipfile
from pathlib import Path
from typing import cast

from digitrec.recognition.classifier import DIGIT_PX
from digitrec.recognition.classifier_keras import quiet_start
from digitrec.training.networks import Model


def to_keras_bytes(model: Model) -> bytes:
    """The network as a `.keras` file, packed tightly, without the state of the optimizer."""
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        _copy(model).save(path)
        with (
            zipfile.ZipFile(path) as loose,
            zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as tight,
        ):
            for entry in loose.infolist():
                tight.writestr(entry.filename, loose.read(entry))
    return packed.getvalue()


def to_tflite_bytes(model: Model, shape: tuple[int, ...] = (1, DIGIT_PX, DIGIT_PX), name: str = "digits") -> bytes:
    """The network as a `.tflite` file for one input of this shape at a time, its weights as int8 (dynamic range).

    The same weights give the same bytes, so the digest can name the model.
    """
    import keras
    import tensorflow as tf

    # Whatever was built before in this process would otherwise show up in the names inside the file.
    keras.utils.clear_session()
    entry = keras.Input(batch_shape=shape, name="entry")
    fixed = keras.Model(entry, _copy(model)(entry), name=name)
    with tempfile.TemporaryDirectory() as folder, quiet_start():
        fixed.export(folder, format="tf_saved_model", verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        return cast("bytes", converter.convert())


def _copy(model: Model) -> Model:
    """The same network and weights, never compiled (`clone_model` would compile it too)."""
    copy = model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy
