"""Read the labelled pictures of a data set with an executor, for evaluation and calibration."""

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
"""Files per chunk, as in the pipeline: `read_timeout_s` applies to a chunk."""
_TIMEOUT_HINT = "Raise read_timeout_s in digitrec.toml, or use --engine serial, which has no time limit."


def read_labelled(
    settings: Settings,
    reader: PageReader,
    pictures: Sequence[LabelledPicture],
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[LabelledPicture, FileResult]]:
    """Yield each picture with the result of its file, in order.

    Args:
        settings: name the executor and the limits.
        reader: reader of the pages.
        pictures: labelled files.
        progress: called with the number of files done and the number of all files.

    Raises:
        EnvironmentFailure: a page took longer than `read_timeout_s`, or ended the process that read it.
        OSError: a file cannot be read.
    """
    chunks = [pictures[start : start + _CHUNK_FILES] for start in range(0, len(pictures), _CHUNK_FILES)]
    paths = [[picture.path for picture in chunk] for chunk in chunks]
    read_paths = partial(read_files.read_paths, limits=settings.limits, reader=reader)
    done = 0
    with closing(composition.EXECUTORS[settings.engine](settings)) as executor:
        outcomes = executor.map(read_paths, paths, lambda: False)
        for chunk in chunks:
            try:
                results = next(outcomes)
            except ChunkTimeout as why:
                results = LostChunk(str(why))
            if isinstance(results, LostChunk):
                files = f"{chunk[0].path} to {chunk[-1].path.name}"
                raise EnvironmentFailure(f"{files} cannot be read: {results.why}", hint=_TIMEOUT_HINT)
            yield from zip(chunk, results, strict=True)
            done += len(chunk)
            if progress is not None:
                progress(done, len(pictures))


def folder_name(data: str) -> str:
    """Return the name of the folder in a `--data` value.

    >>> folder_name("folder:/home/me/scans")
    'scans'
    """
    return Path(data.partition(":")[2] or data).expanduser().resolve().name
