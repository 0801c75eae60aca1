"""Labelled pictures, read as the service reads them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from digitrec import app, reading
from digitrec.reading import Content, Given
from digitrec.recognition.page_reader import PageReader
from digitrec.settings import Settings
from digitrec.training.folders import LabelledPicture

_CHUNK_FILES = 64


def read(
    settings: Settings,
    reader: PageReader,
    pictures: Sequence[LabelledPicture],
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[LabelledPicture, Content]]:
    """Each picture and what was found in its file, in order.

    Args:
        settings: name the engine and the limits.
        reader: reads pages.
        pictures: what to read.
        progress: told how many files are done, and how many there are.

    Raises:
        OSError: a file cannot be read.
    """
    engine = app.ENGINES[settings.engine](settings)
    chunks = [pictures[start : start + _CHUNK_FILES] for start in range(0, len(pictures), _CHUNK_FILES)]
    works = [Given(tuple(one.path for one in chunk), settings.limits, reader) for chunk in chunks]
    done = 0
    for chunk, contents in zip(chunks, engine.map(reading.read_given, works, lambda: False), strict=True):
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
