"""Pictures of how pictures were read: what each page became at each step, one PNG for each file."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from digitrec import files
from digitrec.app import composition
from digitrec.arrays import Picture
from digitrec.errors import RejectedImage, UsageError
from digitrec.images import decode
from digitrec.images.decode import MEDIUM_PX, DecodedPage
from digitrec.recognition import decision, visualize
from digitrec.recognition.reader import PageReader
from digitrec.recognition.trace import RecognitionTrace
from digitrec.settings import Settings
from digitrec.types import Limits

MAX_PAGES = 8
"""So many pages of a file are shown."""


def write_explanation(settings: Settings, picture: Path, target: Path) -> None:
    """Show how a picture is read; what was at `target` is replaced.

    Raises:
        UsageError: the target is the picture, or no file.
        ModelError: there is no usable model.
    """
    if not files.is_replaceable(target):
        raise UsageError(f"{target} is no file that can be replaced", hint="Name another file.")
    if target.exists() and target.samefile(picture):
        raise UsageError(f"{target} is the picture itself", hint="Name another file for the explanation.")
    (content,) = _drawn(settings, [picture])
    files.make_dir(target.parent)
    files.atomic_write(target, content)


def write_explanations(settings: Settings, pictures: Sequence[Path], folder: Path) -> list[Path]:
    """Show how each of these pictures is read: STEM.png in a folder, `STEM~2.png` where other bytes have that name.

    Raises:
        ModelError: there is no usable model.
    """
    files.make_dir(folder)
    written = []
    for picture, content in zip(pictures, _drawn(settings, pictures), strict=True):
        written.append(_published(folder, files.portable_name(f"{picture.stem}.png"), content))
    return written


def draw_explanation(name: str, data: bytes, limits: Limits, reader: PageReader, threshold: float) -> Picture:
    """How the bytes of a file are read, page by page: (h, w, 3) RGB.

    Args:
        name: of the file, for the title.
        data: its content.
        limits: of what is opened.
        reader: that reads it.
        threshold: the lowest confidence that is accepted.
    """
    parts = [visualize.text_block([name], size=0.7)]
    try:
        format_name, sheets = decode.decode_pages(data, limits)
        for sheet in islice(sheets, MAX_PAGES):
            steps = _in_detail(reader.trace(format_name, sheet), sheet)
            parts.append(visualize.draw_trace(steps, decision.decide(steps.page, threshold), threshold))
        if next(sheets, None) is not None:
            parts += [
                visualize.separator(),
                visualize.text_block([f"There are more pages: the first {MAX_PAGES} are shown."]),
            ]
    except RejectedImage as why:
        detail = f"{why.reason}: {why.detail or why.reason.description}"
        parts += [visualize.separator(), visualize.text_block(["No answer for this file: rejected", detail])]
    return visualize.add_border(visualize.vstack(parts))


def _in_detail(steps: RecognitionTrace, sheet: DecodedPage) -> RecognitionTrace:
    """With the page as people see it in more detail than a glance takes."""
    picture = sheet.at_least_px(MEDIUM_PX)
    if steps.decoded is None or isinstance(picture, RejectedImage):
        return steps
    return replace(steps, decoded=replace(steps.decoded, picture=picture)) if steps.took_fast_path else steps


def _drawn(settings: Settings, pictures: Sequence[Path]) -> Iterator[bytes]:
    bundle = composition.open_model(settings)
    reader, threshold = composition.load_page_reader(bundle), bundle.threshold(settings.max_error)
    for path in pictures:
        yield visualize.encode_png(draw_explanation(str(path), path.read_bytes(), settings.limits, reader, threshold))


def _published(folder: Path, name: str, content: bytes) -> Path:
    target, number = folder / name, 1
    while True:
        try:
            files.atomic_create(target, content)
        except FileExistsError:
            number += 1
            target = folder / files.numbered_name(name, number)
        else:
            return target
