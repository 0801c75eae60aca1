"""Labelled pictures, read as the service reads them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from digitrec.app import composition
from digitrec.errors import EnvironmentFailure
from digitrec.pipeline import read_files
from digitrec.pipeline.chunk_queue import ChunkTimeout, LostChunk
from digitrec.pipeline.read_files import FileResult
from digitrec.recognition.reader import PageReader
from digitrec.settings import Settings
from digitrec.training.datasets.image_folder import LabelledPicture

_CHUNK_FILES = 16
"""As in the pipeline: what `read_timeout_s` is for."""
_TOO_SLOW = "Raise read_timeout_s in digitrec.toml, or use --engine serial: here, one by one, as long as it takes."


def read(
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
    with closing(composition.ENGINES[settings.engine](settings)) as engine:
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


def name_of(data: str) -> str:
    """The name of the folder that `--data` names.

    >>> name_of("folder:/home/me/scans")
    'scans'
    """
    return Path(data.partition(":")[2] or data).expanduser().resolve().name
