"""Explanations: draw the processing steps of each page of a picture into one PNG."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from digitrec import files
from digitrec.app import composition
from digitrec.arrays import Picture
from digitrec.errors import RejectedImage, UsageError
from digitrec.images import decode, formats
from digitrec.images.decode import MEDIUM_PX
from digitrec.recognition import canvas, decision, visualize
from digitrec.recognition.reader import PageReader
from digitrec.settings import Settings
from digitrec.types import Limits, Thresholds

MAX_PAGES = 8
"""Pages of a file that are drawn."""


def write_explanation(settings: Settings, picture: Path, target: Path) -> None:
    """Draw how a picture is read into `target`, replacing an earlier drawing.

    Raises:
        UsageError: the target is the picture, is another picture, or cannot be replaced.
        ModelError: no model can be used.
    """
    if not files.is_replaceable(target):
        raise UsageError(f"{target} is no file that can be replaced", hint="Name another file.")
    if target.exists() and target.samefile(picture):
        raise UsageError(f"{target} is the picture itself", hint="Name another file for the explanation.")
    if target.exists() and formats.detect_format(start := target.read_bytes()) and not canvas.is_drawing(start):
        raise UsageError(f"{target} is a picture that --explain did not draw", hint="Name another file, or remove it.")
    (content,) = _render_explanations(settings, [picture])
    files.make_dir(target.parent)
    files.atomic_write(target, content)


def write_explanations(settings: Settings, pictures: Sequence[Path], folder: Path) -> list[Path]:
    """Draw how each picture is read into STEM.png in a folder, or `STEM~2.png` if that name is taken.

    Raises:
        ModelError: no model can be used.
    """
    files.make_dir(folder)
    return [
        _write_numbered(folder, files.portable_name(f"{picture.stem}.png"), content)
        for picture, content in zip(pictures, _render_explanations(settings, pictures), strict=True)
    ]


def draw_explanation(name: str, data: bytes, limits: Limits, reader: PageReader, thresholds: Thresholds) -> Picture:
    """Draw how a file is read, page by page: (h, w, 3) RGB.

    Args:
        name: of the file, for the title.
        data: content of the file.
        limits: limits on the file.
        reader: reader of the pages.
        thresholds: lowest confidences that are accepted.
    """
    parts = [canvas.text_block([name], size=0.7)]
    try:
        format_name, pages = decode.decode_pages(data, limits)
        for page in islice(pages, MAX_PAGES):
            trace = reader.trace(format_name, page)
            picture = page.at_least_px(MEDIUM_PX)
            # The fast path decodes a large page in small size: draw a more detailed one.
            is_reduced = trace.took_fast_path and trace.enlarged is None
            if is_reduced and trace.decoded is not None and not isinstance(picture, RejectedImage):
                trace = replace(trace, decoded=replace(trace.decoded, picture=picture))
            reading = decision.decide(trace.page, thresholds)
            parts.append(visualize.draw_trace(trace, reading, thresholds.for_digits(len(reading.digits))))
        if next(pages, None) is not None:
            message = f"There are more pages: the first {MAX_PAGES} are shown."
            parts += [canvas.separator(), canvas.text_block([message])]
    except RejectedImage as why:
        detail = f"{why.reason}: {why.detail or why.reason.description}"
        parts += [canvas.separator(), canvas.text_block(["No answer for this file: rejected", detail])]
    return canvas.add_border(canvas.vstack(parts))


def _render_explanations(settings: Settings, pictures: Sequence[Path]) -> Iterator[bytes]:
    """Yield the explanation of each picture as PNG."""
    package = composition.open_model(settings)
    reader, thresholds = composition.load_page_reader(package), composition.choose_thresholds(settings, package)
    for path in pictures:
        yield canvas.encode_png(draw_explanation(str(path), path.read_bytes(), settings.limits, reader, thresholds))


def _write_numbered(folder: Path, name: str, content: bytes) -> Path:
    """Create a file under the first free name; return its path."""
    target, number = folder / name, 1
    while True:
        try:
            files.atomic_create(target, content)
        except FileExistsError:
            number += 1
            target = folder / files.numbered_name(name, number)
        else:
            return target
