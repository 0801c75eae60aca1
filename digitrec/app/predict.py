"""Read the files that a person names to `digitrec predict`; nothing is moved or written."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from digitrec.app import composition
from digitrec.errors import EnvironmentFailure
from digitrec.pipeline import read_files
from digitrec.pipeline.chunk_queue import ChunkTimeout, LostChunk
from digitrec.pipeline.read_files import FileResult
from digitrec.recognition.reader import PageReader
from digitrec.settings import Settings
from digitrec.text import format_utc
from digitrec.training.datasets.image_folder import LabelledPicture
from digitrec.types import OutputFormat, TableRow

_CHUNK_FILES = 16
"""As in the pipeline: what `read_timeout_s` is for."""
_TOO_SLOW = "Raise read_timeout_s in digitrec.toml, or use --engine serial: here, one by one, as long as it takes."


@dataclass(frozen=True, slots=True)
class Predictions:
    """The rows of the files that were read, and why the others were not."""

    rows: list[TableRow]
    output_format: OutputFormat
    unreadable: list[str]
    """Why a path could not be read, a sentence each."""


def predict(settings: Settings, paths: Sequence[Path]) -> Predictions:
    """Read these files now, touching no folder.

    Raises:
        ModelError: there is no usable model.
    """
    bundle = composition.open_model(settings)
    reader = composition.load_page_reader(bundle)
    threshold = bundle.threshold(settings.max_error)
    now = format_utc(time.time())
    rows: list[TableRow] = []
    unreadable: list[str] = []
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError as why:
            unreadable.append(f"{path} cannot be read: {why.strerror}")
            continue
        content = read_files.read_bytes(data, settings.limits, reader)
        for one in read_files.decide_readings([content], threshold)[0]:
            rows.append(TableRow("", len(rows) + 1, str(path), content.sha256, len(data), now, "", "", one))
    return Predictions(rows, composition.make_output_format(settings, bundle, threshold, now), unreadable)


def read_labelled(
    settings: Settings,
    reader: PageReader,
    pictures: Sequence[LabelledPicture],
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[LabelledPicture, FileResult]]:
    """Each picture and what was found in its file, in order.

    Args:
        settings: name the engine and the limits.
        reader: reads pages.
        pictures: what to read.
        progress: told how many files are done, and how many there are.

    Raises:
        EnvironmentFailure: a page took longer than `read_timeout_s`, or ended the process that read it.
        OSError: a file cannot be read.
    """
    chunks = [pictures[start : start + _CHUNK_FILES] for start in range(0, len(pictures), _CHUNK_FILES)]
    paths = [[one.path for one in chunk] for chunk in chunks]
    read_paths = partial(read_files.read_paths, limits=settings.limits, reader=reader)
    done = 0
    with closing(composition.EXECUTORS[settings.engine](settings)) as engine:
        read = engine.map(read_paths, paths, lambda: False)
        for chunk in chunks:
            try:
                contents = next(read)
            except ChunkTimeout as why:
                contents = LostChunk(str(why))
            if isinstance(contents, LostChunk):
                files = f"{chunk[0].path} to {chunk[-1].path.name}"
                raise EnvironmentFailure(f"{files} cannot be read: {contents.why}", hint=_TOO_SLOW)
            yield from zip(chunk, contents, strict=True)
            done += len(chunk)
            if progress is not None:
                progress(done, len(pictures))


def folder_name(data: str) -> str:
    """The name of the folder that `--data` names.

    >>> name_of("folder:/home/me/scans")
    'scans'
    """
    return Path(data.partition(":")[2] or data).expanduser().resolve().name
