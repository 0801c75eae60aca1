"""From what people said to pages a model learns from, and what is told of it."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from digitrec.app import model_comparison, retrain
from digitrec.app.corrections_dataset import CorrectionsDataset, build_dataset, is_held_out, load_corrections
from digitrec.app.model_comparison import EvaluatedPage, PageAnswer, summarize_comparison
from digitrec.app.retrain import train_on_corrections
from digitrec.errors import DataError
from digitrec.files import hash_file
from digitrec.reports.index import read_index
from digitrec.settings import Settings
from digitrec.storage.corrections import ReviewedRow, ReviewMethod, Verdict
from digitrec.storage.ledger import Ledger
from digitrec.training.correction_examples import LabelledPage
from digitrec.training.datasets import mnist
from digitrec.types import PageStatus
from tests.conftest import draw
from tests.correction_helpers import add_batch, row, say

AT = "2026-01-03T10:00:00.000Z"


def said(root: Path, name: str, text: str, content: bytes = b"", **change: Any) -> ReviewedRow:
    """What a person said about an original that lies there."""
    path = root / "outbox/done/b" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content or name.encode())
    one = ReviewedRow(
        worker="main",
        batch_id="b",
        row=1,
        path=name,
        page=1,
        sha256=hash_file(path),
        location=f"outbox/done/b/{name}",
        text=text,
        read_text="7",
        status=PageStatus.REVIEW,
        confidence=0.6,
        verdict=Verdict.CONFIRMED if text == "7" else Verdict.CORRECTED,
        method=ReviewMethod.ONE,
        reviewed_at=AT,
    )
    return replace(one, **change)


def test_a_file_in_five_is_held_out_and_always_the_same(tmp_path: Path) -> None:
    everything = [
        said(tmp_path, f"{number}.png", "7", draw(7, shift=number % 9) + bytes([number])) for number in range(200)
    ]

    found, again = build_dataset(everything, tmp_path), build_dataset(everything[::-1], tmp_path)

    assert len(found.train) + len(found.held_out) == 200
    assert 25 <= len(found.held_out) <= 55
    assert (found.train, found.held_out) == (again.train, again.held_out)
    assert all(is_held_out(page.sha256) for page in found.held_out)
    assert not any(is_held_out(page.sha256) for page in found.train)


def test_for_equal_bytes_the_newest_verdict_of_any_worker_holds(tmp_path: Path) -> None:
    first = said(tmp_path, "one.png", "7", b"same")
    later = said(tmp_path, "two.png", "1", b"same", worker="night", reviewed_at="2026-01-04T10:00:00.000Z")

    found = build_dataset([later, first], tmp_path)

    assert [page.text for page in found.pages] == ["1"]
    assert (found.confirmed, found.corrected, found.repeated) == (0, 1, 1)


def test_pages_of_one_file_are_on_one_side_and_not_the_same_page(tmp_path: Path) -> None:
    pages = [said(tmp_path, "two.tif", text, b"pages", page=number) for number, text in ((1, "3"), (2, "8"))]

    found = build_dataset(pages, tmp_path)

    assert sorted(page.text for page in found.pages) == ["3", "8"]
    assert not (found.train and found.held_out)


def test_an_original_that_is_gone_or_altered_is_left_out_and_counted(tmp_path: Path) -> None:
    gone, altered, whole = (said(tmp_path, name, "7") for name in ("gone.png", "altered.png", "whole.png"))
    (tmp_path / gone.location).unlink()
    (tmp_path / altered.location).write_bytes(b"something else")

    found = build_dataset([gone, altered, whole], tmp_path)

    assert [page.path.name for page in found.pages] == ["whole.png"]
    assert found.missing == 2


def test_a_copy_elsewhere_stands_for_an_original_that_is_gone(tmp_path: Path) -> None:
    copy = said(tmp_path, "copy.png", "3", b"same")
    newest = said(tmp_path, "newest.png", "7", b"same", reviewed_at="2026-01-05T10:00:00.000Z")
    (tmp_path / newest.location).unlink()

    found = build_dataset([copy, newest], tmp_path)

    assert [(page.path.name, page.text) for page in found.pages] == [("copy.png", "7")]
    assert found.missing == 0


def test_the_corrections_of_all_workers_count(tmp_path: Path) -> None:
    for worker in ("main", "night"):
        ledger = Ledger.open(tmp_path / ".digitrec" / worker / "ledger.sqlite3")
        add_batch(ledger, [row(1), row(2)])
        say(ledger, 1, "3")
        say(ledger, 2, None)  # not sure: nothing to learn from
        ledger.close()

    found = load_corrections(Settings(workspace=tmp_path))

    assert found.missing == 1  # the same bytes in both; they lie nowhere
    assert found.repeated == 1


def test_without_corrected_pages_the_first_step_is_explained() -> None:
    with pytest.raises(DataError, match="nobody has corrected a page") as why:
        CorrectionsDataset((), (), 0, 0, 0, missing=3).require_training_pages()

    assert "digitrec review" in why.value.hint


def answer(text: str, confidence: float = 0.9, *, truth: str = "7", accepted: bool = True) -> PageAnswer:
    return PageAnswer(text, confidence, accepted, text == truth)


def judged(name: str, before: PageAnswer, after: PageAnswer, text: str = "7") -> EvaluatedPage:
    return EvaluatedPage(LabelledPage(Path(name), "0" * 64, 1, text), before, after, b"")


def test_what_learning_changed_is_counted_on_held_out_pages_only() -> None:
    held_out = [
        judged("a", answer("1"), answer("7")),
        judged("b", answer("7", accepted=False), answer("7")),
        judged("c", answer("7"), answer("7")),
    ]

    found = summarize_comparison(held_out, [judged("d", answer("1"), answer("1"))])

    assert (found.before.accuracy.hits, found.after.accuracy.hits, found.after.accuracy.total) == (2, 3, 3)
    assert (found.before.accepted.hits, found.after.accepted.hits) == (2, 3)
    assert (found.before.accepted_wrong.hits, found.before.accepted_wrong.total) == (1, 2)
    assert found.comparison is not None
    assert (found.comparison.only_current, found.comparison.only_candidate) == (0, 1)
    assert found.accepted is not None
    assert found.accepted.only_candidate == 2


def test_without_held_out_pages_nothing_is_compared() -> None:
    assert summarize_comparison([], [judged("d", answer("7"), answer("7"))]).comparison is None


def test_a_correction_the_new_model_confidently_contradicts_is_suspected() -> None:
    agreed = [judged(f"{number}", answer("7", 0.8), answer("7", 0.8)) for number in range(5)]
    stubborn = judged("stubborn", answer("7", 0.95, truth="1"), answer("7", 0.85, truth="1"), "1")
    unsure = judged("unsure", answer("7", 0.6, truth="1"), answer("7", 0.6, truth="1"), "1")
    persuaded = judged("persuaded", answer("7", 0.95, truth="1"), answer("1", 0.9, truth="1"), "1")

    found = summarize_comparison(agreed[:2], [*agreed[2:], unsure, stubborn, persuaded])

    assert [one.page.path.name for one in found.suspected_errors] == ["stubborn"]
    assert found.fixed == 1


def test_how_sure_is_sure_differs_by_what_is_read() -> None:
    agreed = [judged(f"{number}", answer("7", 0.99), answer("7", 0.99)) for number in range(5)]
    agreed += [
        judged(f"1{number}", answer("1", 0.6, truth="1"), answer("1", 0.6, truth="1"), "1") for number in range(5)
    ]
    of_seven = judged("x", answer("7", 0.9, truth="2"), answer("7", 0.9, truth="2"), "2")
    of_one = judged("y", answer("1", 0.7, truth="2"), answer("1", 0.7, truth="2"), "2")

    found = summarize_comparison([], [*agreed, of_seven, of_one])

    assert [one.page.path.name for one in found.suspected_errors] == ["y"]


def test_a_page_without_a_digit_is_right_if_it_is_not_accepted(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(draw(4))
    from tests.conftest import reader

    harness = model_comparison.ModelPair(reader(), reader(), 0.0, 1.1, Settings().limits)
    (found,) = model_comparison.read_with_both(harness, [LabelledPage(tmp_path / "a.png", "s", 1, "none")])

    assert (found.before.is_accepted, found.before.is_correct) == (True, False)
    assert (found.after.is_accepted, found.after.is_correct) == (False, True)
    assert found.preview_png.startswith(b"\x89PNG")


def card(**training: Any) -> Any:
    return SimpleNamespace(
        card=SimpleNamespace(id="cnn-0", network="cnn", seed=0, training=training, files={"model.keras": ""})
    )


@pytest.fixture
def small() -> str:
    """The digest of the data set that comes with the program."""
    return mnist.load_mnist_5k().digest


def test_a_model_is_fine_tuned_on_its_own_data_or_on_unseen_data(small: str) -> None:
    assert retrain.can_finetune(card(digest=small, left_out=[]), "mnist-5k")
    assert retrain.can_finetune(card(digest="another", left_out=["mnist-5k"]), "mnist-5k")
    assert not retrain.can_finetune(card(digest="another", left_out=[]), "mnist-5k")


def test_with_other_data_it_would_not_be_known_what_the_model_never_saw(tmp_path: Path) -> None:
    pages = CorrectionsDataset((LabelledPage(tmp_path, "s", 1, "7"),), (), 1, 0, 0, 0)

    with pytest.raises(retrain.DatasetMismatch, match="was trained on other digits than mnist-5k"):
        train_on_corrections(
            Settings(workspace=tmp_path), "mnist-5k", pages, base_model=card(digest="x", left_out=[]), progress=print
        )


def test_the_training_report_states_its_figures_and_escapes_names(tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path)
    bad = tmp_path / "outbox/done/b/<img src=x onerror=alert(1)>.png"
    held_out = LabelledPage(bad, "0" * 64, 1, "1")
    pages = CorrectionsDataset((), (held_out,), 0, 1, 0, 2)
    contradicts = PageAnswer("7", 0.99, is_accepted=True, is_correct=False)
    png = draw(7)
    found = summarize_comparison([EvaluatedPage(held_out, contradicts, contradicts, png)], [])
    models = [SimpleNamespace(card=SimpleNamespace(id=name)) for name in ("paper-1", "paper-2")]

    page = retrain.report_comparison(settings, models[0], models[1], pages, found)  # type: ignore[arg-type]

    told = json.loads((page.parent / "report.json").read_text(encoding="utf-8"))
    words = page.read_text(encoding="utf-8")
    assert page == settings.reports / "learning/paper-2/index.html"
    assert told["before"]["right"] == {
        "hits": 0,
        "of": 1,
        "share": 0.0,
        "low": 0.0,
        "high": pytest.approx(0.793, abs=1e-3),
    }
    assert told["suspects"][0]["file"].endswith("<img src=x onerror=alert(1)>.png")
    assert told["pages"]["missing"] == 2
    assert "<img src=x" not in words
    assert "&lt;img src=x" in words
    assert "digitrec models promote paper-2" in words
    assert words.count("data:image/png;base64") == 1
    assert [one.folder for one in read_index(settings.reports).trainings.entries] == ["learning/paper-2"]


def test_a_training_without_held_out_pages_is_listed(tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path)
    models: Any = [SimpleNamespace(card=SimpleNamespace(id=name)) for name in ("paper-1", "paper-2")]

    page = retrain.report_comparison(
        settings, *models, CorrectionsDataset((), (), 0, 0, 0, 0), summarize_comparison([], [])
    )

    assert "no corrected page is held out yet" in page.read_text(encoding="utf-8")
    assert [one.accuracy.share for one in read_index(settings.reports).trainings.entries] == [None]  # type: ignore[union-attr]
    assert "learning/paper-2" in (settings.reports / "index.html").read_text(encoding="utf-8")
