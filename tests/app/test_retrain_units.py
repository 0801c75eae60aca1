"""Data set of corrections, model comparison and the retraining report."""

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
from digitrec.storage.corrections import ReviewedRow, Verdict
from digitrec.storage.ledger import Ledger
from digitrec.training.correction_examples import LabelledPage
from digitrec.training.datasets import mnist
from digitrec.types import Thresholds
from tests.conftest import draw
from tests.correction_helpers import add_batch, row, say

AT = "2026-01-03T10:00:00.000Z"


def make_reviewed_row(root: Path, name: str, text: str, content: bytes = b"", **change: Any) -> ReviewedRow:
    """Write an original and return its reviewed row."""
    path = root / "outbox/done/b" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content or name.encode())
    reviewed = ReviewedRow(
        batch_id="b",
        row=1,
        page=1,
        sha256=hash_file(path),
        location=f"outbox/done/b/{name}",
        text=text,
        verdict=Verdict.CONFIRMED if text == "7" else Verdict.CORRECTED,
        reviewed_at=AT,
    )
    return replace(reviewed, **change)


def test_a_file_in_five_is_held_out_and_always_the_same(tmp_path: Path) -> None:
    rows = [
        make_reviewed_row(tmp_path, f"{number}.png", "7", draw(7, shift=number % 9) + bytes([number]))
        for number in range(200)
    ]

    dataset, again = build_dataset(rows, tmp_path), build_dataset(rows[::-1], tmp_path)

    assert len(dataset.train) + len(dataset.held_out) == 200
    assert 25 <= len(dataset.held_out) <= 55
    assert (dataset.train, dataset.held_out) == (again.train, again.held_out)
    assert all(is_held_out(page.sha256) for page in dataset.held_out)
    assert not any(is_held_out(page.sha256) for page in dataset.train)


def test_for_equal_bytes_the_newest_verdict_holds(tmp_path: Path) -> None:
    first = make_reviewed_row(tmp_path, "one.png", "7", b"same")
    later = make_reviewed_row(tmp_path, "two.png", "1", b"same", reviewed_at="2026-01-04T10:00:00.000Z")

    dataset = build_dataset([later, first], tmp_path)

    assert [page.text for page in dataset.pages] == ["1"]
    assert (dataset.confirmed, dataset.corrected, dataset.repeated) == (0, 1, 1)


def test_pages_of_one_file_are_on_one_side_and_not_the_same_page(tmp_path: Path) -> None:
    pages = [
        make_reviewed_row(tmp_path, "two.tif", text, b"pages", page=number) for number, text in ((1, "3"), (2, "8"))
    ]

    dataset = build_dataset(pages, tmp_path)

    assert sorted(page.text for page in dataset.pages) == ["3", "8"]
    assert not (dataset.train and dataset.held_out)


def test_a_missing_or_altered_original_is_left_out_and_counted(tmp_path: Path) -> None:
    gone, altered, unaltered = (
        make_reviewed_row(tmp_path, name, "7") for name in ("gone.png", "altered.png", "unaltered.png")
    )
    (tmp_path / gone.location).unlink()
    (tmp_path / altered.location).write_bytes(b"something else")

    dataset = build_dataset([gone, altered, unaltered], tmp_path)

    assert [page.path.name for page in dataset.pages] == ["unaltered.png"]
    assert dataset.missing == 2


def test_an_equal_copy_replaces_a_missing_original(tmp_path: Path) -> None:
    copy = make_reviewed_row(tmp_path, "copy.png", "3", b"same")
    newest = make_reviewed_row(tmp_path, "newest.png", "7", b"same", reviewed_at="2026-01-05T10:00:00.000Z")
    (tmp_path / newest.location).unlink()

    dataset = build_dataset([copy, newest], tmp_path)

    assert [(page.path.name, page.text) for page in dataset.pages] == [("copy.png", "7")]
    assert dataset.missing == 0


def test_the_corrections_of_all_workers_count(tmp_path: Path) -> None:
    for worker in ("main", "night"):
        ledger = Ledger.open(tmp_path / ".digitrec" / worker / "ledger.sqlite3")
        add_batch(ledger, [row(1), row(2)])
        say(ledger, 1, "3")
        say(ledger, 2, None)  # unsure: no label to train on
        ledger.close()

    dataset = load_corrections(Settings(workspace=tmp_path))

    assert dataset.missing == 1  # equal bytes in both; the original does not exist
    assert dataset.repeated == 1


def test_without_corrected_pages_the_error_names_the_first_step() -> None:
    with pytest.raises(DataError, match="there is no corrected page to train on") as why:
        CorrectionsDataset((), (), 0, 0, 0, missing=3).require_training_pages()

    assert "digitrec review" in why.value.hint


def make_answer(text: str, confidence: float = 0.9, *, truth: str = "7", accepted: bool = True) -> PageAnswer:
    return PageAnswer(text, confidence, accepted, text == truth)


def make_page(name: str, before: PageAnswer, after: PageAnswer, text: str = "7") -> EvaluatedPage:
    return EvaluatedPage(LabelledPage(Path(name), "0" * 64, 1, text), before, after, b"")


def test_metrics_are_computed_on_held_out_pages_only() -> None:
    held_out = [
        make_page("a", make_answer("1"), make_answer("7")),
        make_page("b", make_answer("7", accepted=False), make_answer("7")),
        make_page("c", make_answer("7"), make_answer("7")),
    ]

    comparison = summarize_comparison(held_out, [make_page("d", make_answer("1"), make_answer("1"))])

    assert (comparison.before.accuracy.hits, comparison.after.accuracy.hits, comparison.after.accuracy.total) == (
        2,
        3,
        3,
    )
    assert (comparison.before.accepted.hits, comparison.after.accepted.hits) == (2, 3)
    assert (comparison.before.accepted_wrong.hits, comparison.before.accepted_wrong.total) == (1, 2)
    assert comparison.comparison is not None
    assert (comparison.comparison.only_current, comparison.comparison.only_candidate) == (0, 1)
    assert comparison.accepted is not None
    assert comparison.accepted.only_candidate == 2


def test_without_held_out_pages_nothing_is_compared() -> None:
    assert summarize_comparison([], [make_page("d", make_answer("7"), make_answer("7"))]).comparison is None


def test_a_correction_the_new_model_confidently_contradicts_is_suspected() -> None:
    agreed = [make_page(f"{number}", make_answer("7", 0.8), make_answer("7", 0.8)) for number in range(5)]
    stubborn = make_page("stubborn", make_answer("7", 0.95, truth="1"), make_answer("7", 0.85, truth="1"), "1")
    unsure = make_page("unsure", make_answer("7", 0.6, truth="1"), make_answer("7", 0.6, truth="1"), "1")
    persuaded = make_page("persuaded", make_answer("7", 0.95, truth="1"), make_answer("1", 0.9, truth="1"), "1")

    comparison = summarize_comparison(agreed[:2], [*agreed[2:], unsure, stubborn, persuaded])

    assert [item.page.path.name for item in comparison.suspected_errors] == ["stubborn"]
    assert comparison.fixed == 1


def test_the_threshold_of_a_contradiction_differs_by_class() -> None:
    agreed = [make_page(f"{number}", make_answer("7", 0.99), make_answer("7", 0.99)) for number in range(5)]
    agreed += [
        make_page(f"1{number}", make_answer("1", 0.6, truth="1"), make_answer("1", 0.6, truth="1"), "1")
        for number in range(5)
    ]
    of_7 = make_page("x", make_answer("7", 0.9, truth="2"), make_answer("7", 0.9, truth="2"), "2")
    of_1 = make_page("y", make_answer("1", 0.7, truth="2"), make_answer("1", 0.7, truth="2"), "2")

    comparison = summarize_comparison([], [*agreed, of_7, of_1])

    assert [item.page.path.name for item in comparison.suspected_errors] == ["y"]


def test_a_page_without_a_digit_is_right_if_it_is_not_accepted(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(draw(4))
    from tests.conftest import reader

    all_pages, none = Thresholds(0.0, 0.0), Thresholds(1.1, 1.1)
    models = model_comparison.ModelPair(reader(), reader(), all_pages, none, Settings().limits)
    (page,) = model_comparison.read_with_both(models, [LabelledPage(tmp_path / "a.png", "s", 1, "none")])

    assert (page.before.is_accepted, page.before.is_correct) == (True, False)
    assert (page.after.is_accepted, page.after.is_correct) == (False, True)
    assert page.preview_png.startswith(b"\x89PNG")


def card(**training: Any) -> Any:
    return SimpleNamespace(
        card=SimpleNamespace(id="cnn-0", network="cnn", seed=0, training=training, files={"model.keras": ""})
    )


@pytest.fixture
def small() -> str:
    """Return the digest of the data set that is shipped with the program."""
    return mnist.load_mnist_5k().digest


def test_a_model_is_fine_tuned_on_its_own_data_or_on_unseen_data(small: str) -> None:
    assert retrain.can_finetune(card(digest=small, left_out=[]), "mnist-5k")
    assert retrain.can_finetune(card(digest="another", left_out=["mnist-5k"]), "mnist-5k")
    assert not retrain.can_finetune(card(digest="another", left_out=[]), "mnist-5k")


def test_fine_tuning_on_unknown_data_is_refused(tmp_path: Path) -> None:
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
    comparison = summarize_comparison([EvaluatedPage(held_out, contradicts, contradicts, png)], [])
    models = [SimpleNamespace(card=SimpleNamespace(id=name)) for name in ("paper-1", "paper-2")]

    page = retrain.report_comparison(settings, models[0], models[1], pages, comparison)  # type: ignore[arg-type]

    report = json.loads((page.parent / "report.json").read_text(encoding="utf-8"))
    text = page.read_text(encoding="utf-8")
    assert page == settings.reports / "learning/paper-2/index.html"
    assert report["before"]["right"] == {
        "hits": 0,
        "of": 1,
        "share": 0.0,
        "low": 0.0,
        "high": pytest.approx(0.793, abs=1e-3),
    }
    assert report["suspects"][0]["file"].endswith("<img src=x onerror=alert(1)>.png")
    assert report["pages"]["missing"] == 2
    assert "<img src=x" not in text
    assert "&lt;img src=x" in text
    assert "digitrec models promote paper-2" in text
    assert text.count("data:image/png;base64") == 1
    assert [item.folder for item in read_index(settings.reports).trainings.entries] == ["learning/paper-2"]


def test_a_training_without_held_out_pages_is_listed(tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path)
    models: Any = [SimpleNamespace(card=SimpleNamespace(id=name)) for name in ("paper-1", "paper-2")]

    page = retrain.report_comparison(
        settings, *models, CorrectionsDataset((), (), 0, 0, 0, 0), summarize_comparison([], [])
    )

    assert "no corrected page is held out yet" in page.read_text(encoding="utf-8")
    assert [item.accuracy.share for item in read_index(settings.reports).trainings.entries] == [None]  # type: ignore[union-attr]
    assert "learning/paper-2" in (settings.reports / "index.html").read_text(encoding="utf-8")
