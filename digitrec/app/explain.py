"""Explanations: draw the processing steps of each page of a picture into one PNG."""

from collections.abc import Sequence
from pathlib import Path

from digitrec import files
from digitrec.app.reader import Page
from digitrec.arrays import Picture
from digitrec.errors import UsageError
from digitrec.images import formats
from digitrec.recognition import canvas

MAX_PAGES = 8
"""Pages of a file that are drawn."""


def write_explanation(pages: Sequence[Page], target: Path) -> None:
    """Draw how the pages of a file were read into `target`, replacing an earlier drawing.

    Raises:
        UsageError: the target is the picture, is another picture, or cannot be replaced.
    """
    if not files.is_replaceable(target):
        raise UsageError(f"{target} is no file that can be replaced", hint="Name another file.")
    if target.exists() and target.samefile(pages[0].file):
        raise UsageError(f"{target} is the picture itself", hint="Name another file for the explanation.")
    if target.exists() and formats.detect_format(start := target.read_bytes()) and not canvas.is_drawing(start):
        raise UsageError(f"{target} is a picture that --explain did not draw", hint="Name another file, or remove it.")
    content = canvas.encode_png(draw_explanation(pages))
    files.make_dir(target.parent)
    files.atomic_write(target, content)


def write_explanations(pages_by_file: Sequence[Sequence[Page]], folder: Path) -> list[Path]:
    """Draw how each file was read into STEM.png in a folder, or `STEM~2.png` if that name is taken."""
    files.make_dir(folder)
    return [
        _write_numbered(
            folder,
            files.portable_name(f"{Path(pages[0].file).stem}.png"),
            canvas.encode_png(draw_explanation(pages)),
        )
        for pages in pages_by_file
    ]


def draw_explanation(pages: Sequence[Page]) -> Picture:
    """Draw how the pages of a file were read, one below the other: (h, w, 3) RGB."""
    parts = [canvas.text_block([pages[0].file], size=0.7), *(page.draw_steps() for page in pages[:MAX_PAGES])]
    if len(pages) > MAX_PAGES:
        message = f"There are more pages: the first {MAX_PAGES} are shown."
        parts += [canvas.separator(), canvas.text_block([message])]
    return canvas.add_border(canvas.vstack(parts))


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
