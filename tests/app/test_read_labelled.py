"""Labelled pictures are read as the service reads them, a few at a time, and a slow file is told of in words."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from digitrec.app import composition, predict
from digitrec.errors import EnvironmentFailure
from digitrec.pipeline.chunk_queue import ChunkTimeout
from digitrec.pipeline.executor import SerialExecutor
from digitrec.settings import Settings
from digitrec.training.datasets.image_folder import LabelledPicture
from tests.conftest import draw, reader

T = TypeVar("T")
R = TypeVar("R")


class Slow(SerialExecutor):
    """Needs too long for the second chunk."""

    def map(self, function: Callable[[T], R], chunks: Sequence[T], stopped: Callable[[], bool]) -> Iterator[R]:
        yield next(super().map(function, chunks, stopped))
        raise ChunkTimeout("not done after 60 s")


@pytest.fixture
def pictures(tmp_path: Path) -> list[LabelledPicture]:
    made = []
    for number in range(20):
        path = tmp_path / f"{number:02}.png"
        path.write_bytes(draw(7))
        made.append(LabelledPicture(path, str(number)))
    return made


def test_every_picture_comes_with_what_was_read_in_order(tmp_path: Path, pictures: list[LabelledPicture]) -> None:
    told: list[tuple[int, int]] = []

    found = list(
        predict.read_labelled(
            Settings(workspace=tmp_path, engine="serial"), reader(), pictures, lambda *done: told.append(done)
        )
    )

    assert [one for one, _ in found] == pictures
    assert all(len(content.pages) == 1 for _, content in found)
    assert told == [(16, 20), (20, 20)]


def test_files_that_take_too_long_are_named_with_the_way_out(
    tmp_path: Path, pictures: list[LabelledPicture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(composition.EXECUTORS, "serial", lambda _: Slow())
    found = predict.read_labelled(Settings(workspace=tmp_path, engine="serial"), reader(), pictures)

    assert [next(found)[0] for _ in range(16)] == pictures[:16]
    with pytest.raises(EnvironmentFailure, match=r"16\.png to 19\.png.*not done after 60 s") as caught:
        next(found)
    assert caught.value.exit_code == 74
    assert "read_timeout_s" in caught.value.hint
    assert "--engine serial" in caught.value.hint
