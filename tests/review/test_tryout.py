"""Try it: read, shown, and kept nowhere."""

from collections.abc import Callable
from pathlib import Path

import pytest

from digitrec.app import review
from digitrec.errors import ModelError
from digitrec.review.tryout import TryOut
from digitrec.types import Limits, Thresholds
from tests.conftest import draw, reader
from tests.review.conftest import ORIGIN, Answer, Opens, Pages


def trying(pages: Pages, load: Callable[[], object]) -> Pages:
    from dataclasses import replace

    return replace(pages, site=replace(pages.site, tryout=TryOut(load, Limits())))  # type: ignore[arg-type]


def test_a_picture_is_read_with_all_its_probabilities(opened: Opens) -> None:
    loaded = []
    pages = trying(opened([Answer()]), lambda: loaded.append(1) or (reader(), Thresholds(0.5, 0.5)))
    client = pages.person().client

    results = [client.post("/api/try", content=draw(digit), headers=ORIGIN).json() for digit in (7, 3)]

    assert [result["pages"][0]["text"] for result in results] == ["7", "3"]
    (page,) = results[0]["pages"]
    (digit,) = page["digits"]
    assert page["is_accepted"]
    assert len(digit["probabilities"]) == 11
    assert sum(digit["probabilities"]) == pytest.approx(1)
    assert digit["ink"].startswith("data:image/png;base64,")
    assert loaded == [1], "loaded once, at the first picture"


def test_nothing_is_stored(opened: Opens, tmp_path: Path) -> None:
    pages = trying(opened([Answer()]), lambda: (reader(), Thresholds(0.5, 0.5)))
    person = pages.person()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if "sqlite3-" not in path.name}

    person.client.post("/api/try", content=draw(7), headers=ORIGIN)

    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if "sqlite3-" not in path.name} == before


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x01\xfe" * 99, b"\x89PNG\r\n\x1a\n", b"<svg onload=alert(1)>"])
def test_what_is_no_picture_says_why(opened: Opens, data: bytes) -> None:
    client = trying(opened([Answer()]), lambda: (reader(), Thresholds(0.5, 0.5))).person().client

    results = client.post("/api/try", content=data, headers=ORIGIN).json()

    assert results["pages"] == []
    assert results["why"]


def test_a_model_that_cannot_be_loaded_is_reported(opened: Opens) -> None:
    def load() -> object:
        raise ModelError("no model", hint="Train one.")

    answer = trying(opened([Answer()]), load).person().client.post("/api/try", content=draw(7), headers=ORIGIN)

    assert (answer.status_code, answer.json()) == (503, {"problem": "no model", "hint": "Train one."})


@pytest.mark.slow
def test_the_shipped_model_reads_what_is_tried(opened: Opens) -> None:
    client = opened([Answer()]).person().client

    results = client.post("/api/try", content=draw(7), headers=ORIGIN).json()

    assert results["pages"][0]["text"] == "7"
    assert review.get_login_name()
