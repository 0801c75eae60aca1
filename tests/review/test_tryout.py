"""Try it: read, shown, and kept nowhere."""

from collections.abc import Callable
from pathlib import Path

import pytest

from digitrec.app import review
from digitrec.app.composition import open_model_registry
from digitrec.errors import ModelError
from digitrec.review.tryout import TryOut
from digitrec.settings import Settings
from digitrec.types import Limits, Thresholds
from tests.conftest import draw, reader
from tests.review.conftest import BATCH, ORIGIN, Answer, Opens, Pages


def trying(pages: Pages, load: Callable[[], object]) -> Pages:
    from dataclasses import replace

    return replace(pages, site=replace(pages.site, tryout=TryOut(load, Limits())))  # type: ignore[arg-type]


def test_a_picture_is_read_with_all_its_probabilities(opened: Opens) -> None:
    pages = trying(opened([Answer()]), lambda: (reader(), Thresholds(0.5, 0.5)))
    client = pages.person().client

    results = [client.post("/api/try", content=draw(digit), headers=ORIGIN).json() for digit in (7, 3)]

    assert [result["pages"][0]["text"] for result in results] == ["7", "3"]
    (page,) = results[0]["pages"]
    (digit,) = page["digits"]
    assert page["is_accepted"]
    assert len(digit["probabilities"]) == 11
    assert sum(digit["probabilities"]) == pytest.approx(1)
    assert digit["ink"].startswith("data:image/png;base64,")


def test_a_model_is_loaded_once_and_again_after_another_was_promoted(tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path)
    loaded: list[str] = []
    settings.models.mkdir(parents=True)

    def load() -> int:
        loaded.append(open_model_registry(settings).current_name())
        return len(loaded)

    find = review._ModelInUse(settings, load)
    assert [find(), find()] == [1, 1]
    (settings.models / "current").write_text("m-2\n")
    assert [find(), find()] == [2, 2]

    assert loaded == ["shipped", "m-2"]


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


def test_the_page_of_an_answer_is_explained(opened: Opens) -> None:
    pages = trying(opened([Answer("7"), Answer("3")]), lambda: (reader(), Thresholds(0.5, 0.5)))
    person = pages.person()

    answer = person.get(f"/explain/{BATCH}/1")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.content == person.client.post("/api/explain", content=draw(7, shift=1), headers=ORIGIN).content
    assert f'href="/explain/{BATCH}/1"' in person.get(f"/answer/{BATCH}/1").text
    (pages.settings.outbox / "done" / BATCH / "scan-00002.png").unlink()
    for address in (f"{BATCH}/2", f"{BATCH}/3", f"{BATCH}/x", "nowhere/1", f"{BATCH}/{10**30}"):
        assert person.get(f"/explain/{address}").status_code == 404, address
    assert pages.stranger().get(f"/explain/{BATCH}/1").status_code == 403


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x01\xfe" * 99, b"\x89PNG\r\n\x1a\n", b"<svg onload=alert(1)>"])
def test_what_is_no_picture_cannot_be_explained(opened: Opens, data: bytes) -> None:
    client = trying(opened([Answer()]), lambda: (reader(), Thresholds(0.5, 0.5))).person().client

    answer = client.post("/api/explain", content=data, headers=ORIGIN)

    assert answer.status_code == 400
    assert answer.json()["problem"]


def test_an_explanation_is_for_people_who_signed_in(opened: Opens, tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path, engine="serial", max_bytes=1000)
    pages = trying(opened([Answer()], settings=settings), lambda: (reader(), Thresholds(0.5, 0.5)))
    stranger, client = pages.stranger(), pages.person().client
    token = {"Authorization": f"Bearer {pages.site.sessions.token}"}

    for headers in ({}, ORIGIN, token, {"Authorization": "Bearer x"}, {"Cookie": "x=y"}):
        assert stranger.post("/api/explain", content=draw(7), headers=headers).status_code in {401, 403}
    for headers in ({}, {"Origin": "https://evil.example"}, ORIGIN | {"Sec-Fetch-Site": "cross-site"}):
        assert client.post("/api/explain", content=draw(7), headers=headers).status_code == 403
    assert client.post("/api/explain", content=bytes(1001), headers=ORIGIN).status_code == 413
    assert client.get("/api/explain").status_code == 405


@pytest.mark.slow
def test_the_shipped_model_reads_what_is_tried(opened: Opens) -> None:
    client = opened([Answer()]).person().client

    results = client.post("/api/try", content=draw(7), headers=ORIGIN).json()

    assert results["pages"][0]["text"] == "7"
    assert review.get_login_name()
