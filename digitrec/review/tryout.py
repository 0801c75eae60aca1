"""Read an uploaded picture as the service does, without storing it, and return the inputs of the networks."""

import threading
from base64 import b64encode
from collections.abc import Callable
from itertools import islice

import cv2
import numpy as np

from digitrec import text
from digitrec.arrays import Picture
from digitrec.errors import RejectedImage, UsageError
from digitrec.images import decode
from digitrec.images.decode import DecodedPage
from digitrec.recognition import canvas, decision, visualize
from digitrec.recognition.preprocess import downscale
from digitrec.recognition.reader import PageReader
from digitrec.review.json_api import Json, box_to_json
from digitrec.types import Limits, PageStatus, Thresholds

MAX_PAGES = 8
_LONGEST_PX = 800

LoadedReader = tuple[PageReader, Thresholds]
"""Page reader, and the lowest accepted confidences."""


class TryOut:
    """Read pictures with the model in use; thread-safe, one picture at a time."""

    def __init__(self, load: Callable[[], LoadedReader], limits: Limits) -> None:
        """Use the reader that `load` returns at each call."""
        self._load = load
        self._limits = limits
        self._lock = threading.Lock()

    def explain(self, data: bytes, page_number: int = 0) -> bytes:
        """Return a drawing of how the pages of a file are read, as PNG.

        Args:
            data: content of the file.
            page_number: the page that is drawn, from 1; 0 for the first `MAX_PAGES`.

        Raises:
            ModelError: there is no usable model.
            UsageError: the file cannot be decoded.
        """
        with self._lock:
            reader, thresholds = self._load()
            parts = []
            try:
                format_name, sheets = decode.decode_pages(data, self._limits)
                if page_number:
                    sheets = iter([decode.decode_page(data, self._limits, page_number)])
                for sheet in islice(sheets, MAX_PAGES):
                    trace = reader.trace(format_name, sheet)
                    page = decision.decide(trace.page, thresholds)
                    threshold = thresholds.for_text(page.text)
                    parts.append(visualize.draw_trace(visualize.add_detail(trace, sheet), page, threshold))
            except RejectedImage as why:
                raise UsageError(text.escape(why.detail)) from why
        return canvas.encode_png(canvas.add_border(canvas.vstack(parts)))

    def read(self, data: bytes) -> Json:
        """Return the result for the bytes of a file as JSON; raises ModelError if there is no usable model."""
        with self._lock:
            reader, thresholds = self._load()
            pages: list[Json] = []
            try:
                format_name, sheets = decode.decode_pages(data, self._limits)
                pages += [_page(reader, thresholds, format_name, sheet) for sheet in islice(sheets, MAX_PAGES)]
                has_more = next(sheets, None) is not None
            except RejectedImage as why:
                return {"pages": [], "more": False, "why": text.escape(why.detail)}
        return {"pages": pages, "more": has_more, "why": ""}


def _page(reader: PageReader, thresholds: Thresholds, format_name: str, sheet: DecodedPage) -> Json:
    page = reader.trace(format_name, sheet).page
    read = decision.decide(page, thresholds)
    digits = [
        {
            "box": box_to_json(digit.box),
            "digit": digit.digit,
            "confidence": digit.confidence,
            "probabilities": [*digit.probabilities, max(0.0, 1.0 - sum(digit.probabilities))],
            "ink": _uri(canvas.ink_to_image(ink)),
        }
        for digit, ink in zip(read.digits, page.ink, strict=True)
    ]
    picture = sheet.full_detail()
    opinion = read.numbers[0].opinion if len(read.numbers) == 1 else None
    return {
        "page": read.page,
        "format": read.format,
        "width": read.width,
        "height": read.height,
        "text": read.text,
        "confidence": read.confidence,
        "threshold": thresholds.for_text(read.text) if opinion is None else opinion.threshold,
        "is_accepted": read.status is PageStatus.ACCEPTED,
        "why": text.escape(read.detail),
        "runner_up": read.runner_up,
        "runner_up_confidence": read.runner_up_confidence,
        "picture": None if isinstance(picture, RejectedImage) else _uri(downscale(picture, _LONGEST_PX)),
        "digits": digits,
    }


def _uri(picture: Picture) -> str:
    colours = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    _, data = cv2.imencode(".png", np.asarray(colours, np.uint8))
    return f"data:image/png;base64,{b64encode(data.tobytes()).decode('ascii')}"
