"""Read strips with RapidOCR's recognition model in a separate process, started by `rapidocr_process`.

It sends a line of JSON once the model is loaded, then answers requests: the height and width of a strip as two 32 bit
numbers, followed by its pixels. An answer is a line of JSON with `text` and `score`.
"""

import json
import os
import resource
import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digitrec.images.document_worker import end_with_parent

SIZE = struct.Struct("=II")
"""Height and width of a strip, pixels."""

Recognize = Callable[[NDArray[np.uint8]], tuple[str, float]]
"""Reads a strip, (h, w); returns text and score."""


def main(connection: int, lifeline: int) -> None:
    """Answer requests until the connection is closed.

    Args:
        connection: descriptor of a socket.
        lifeline: descriptor of a pipe that the parent holds open.
    """
    end_with_parent(lifeline)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the parent decides
    for kind in (resource.RLIMIT_CPU, resource.RLIMIT_AS):  # those of the parent are for reading a page
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (hard, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with socket.socket(fileno=connection) as requests:
        serve(requests, load_rapidocr())


def serve(connection: socket.socket, recognize: Recognize) -> None:
    """Answer requests with a recognition function until the connection is closed."""
    with connection.makefile("rwb") as stream:
        stream.write(b"{}\n")
        stream.flush()
        while header := stream.read(SIZE.size):
            height, width = SIZE.unpack(header)
            strip = np.frombuffer(stream.read(height * width), np.uint8).reshape(height, width)
            text, score = recognize(strip)
            stream.write(json.dumps({"text": text, "score": score}).encode() + b"\n")
            stream.flush()


def load_rapidocr() -> Recognize:
    """Load RapidOCR's recognition model with one thread; it downloads nothing.

    Raises:
        RuntimeError: the installed package does not hold exactly one recognition model.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    import cv2
    import rapidocr

    cv2.setNumThreads(1)
    models = [*Path(rapidocr.__file__).with_name("models").glob("*_rec_*.onnx")]
    if len(models) != 1:
        raise RuntimeError(f"rapidocr holds {len(models)} recognition models, not 1")
    engine = rapidocr.RapidOCR(
        params={
            "Global.use_det": False,
            "Global.use_cls": False,
            "Global.log_level": "critical",
            "Rec.model_path": str(models[0]),  # without a path, a missing file is downloaded
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )

    def recognize(strip: NDArray[np.uint8]) -> tuple[str, float]:
        result = engine(np.repeat(strip[:, :, None], 3, axis=2))
        if not result.txts:
            return "", 0.0
        return str(result.txts[0]), float(result.scores[0])

    return recognize
