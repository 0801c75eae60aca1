"""Labelled pictures are read like files of the service, in chunks, with a message for a slow file."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from digitrec.app import composition, labelled
from digitrec.errors import EnvironmentFailure
from digitrec.pipeline.chunk_queue import ChunkTimeout
from digitrec.pipeline.executor import SerialExecutor
from digitrec.settings import Settings
from digitrec.training.datasets.image_folder import LabelledPicture
from tests.conftest import draw, reader

T = TypeVar("T")
R = TypeVar("R")


class SlowExecutor(SerialExecutor):
    """Executor whose second chunk times out."""

    def map(self, function: Callable[[T], R], chunks: Sequence[T], stopped: Callable[[], bool]) -> Iterator[R]:
        yield next(super().map(function, chunks, stopped))
        raise ChunkTimeout("not done after 60 s")


@pytest.fixture
def pictures(tmp_path: Path) -> list[LabelledPicture]:
    pictures = []
    for number in range(20):
        path = tmp_path / f"{number:02}.png"
        path.write_bytes(draw(7))
        pictures.append(LabelledPicture(path, str(number)))
    return pictures


def test_every_picture_is_returned_with_its_result_in_order(tmp_path: Path, pictures: list[LabelledPicture]) -> None:
    progress: list[tuple[int, int]] = []

    results = list(
        labelled.read_labelled(
            Settings(workspace=tmp_path, engine="serial"), reader(), pictures, lambda *counts: progress.append(counts)
        )
    )

    assert [picture for picture, _ in results] == pictures
    assert all(len(result.pages) == 1 for _, result in results)
    assert progress == [(16, 20), (20, 20)]


def test_files_that_take_too_long_are_named_with_a_fix(
    tmp_path: Path, pictures: list[LabelledPicture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(composition.EXECUTORS, "serial", lambda _: SlowExecutor())
    results = labelled.read_labelled(Settings(workspace=tmp_path, engine="serial"), reader(), pictures)

    assert [next(results)[0] for _ in range(16)] == pictures[:16]
    with pytest.raises(EnvironmentFailure, match=r"16\.png to 19\.png.*not done after 60 s") as caught:
        next(results)
    assert caught.value.exit_code == 74
    assert "read_timeout_s" in caught.value.hint
    assert "--engine serial" in caught.value.hint
