"""Read, review, retrain and roll back, with small data sets."""

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from digitrec.app import composition
from digitrec.app.retrain import retrain
from digitrec.app.run import run_once
from digitrec.pipeline import workspace
from digitrec.settings import Settings
from digitrec.storage.corrections import ReviewMethod
from digitrec.storage.judgements import Judgement, record_judgements
from digitrec.storage.ledger import Ledger
from digitrec.text import format_utc
from digitrec.training import correction_examples
from digitrec.training.classifier import no_progress
from digitrec.training.synthetic.generate import LineExamples
from tests.conftest import draw
from tests.training.test_finetune import SMALL

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("quick_training"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


def test_confirmed_answers_train_a_promoted_model_that_can_be_rolled_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The sequence recognizer is trained in test_finetune only: it takes half of the time.
    monkeypatch.setattr(correction_examples, "line_examples", lambda _: LineExamples([], []))
    settings = Settings(workspace=tmp_path, max_error=0.5, settle_s=0.0)
    workspace.init_folders(settings)
    for number in range(20):
        (settings.inbox / f"{number}.png").write_bytes(draw(number % 10, shift=number // 10))
    assert run_once(settings).count.claimed == 20
    before = composition.open_model(settings).card.id
    with closing(Ledger.open_shared(settings.ledger)) as ledger:
        (batch,) = ledger.batches()
        judgements = [
            Judgement(batch.id, row.row, str(int(Path(row.path).stem) % 10), seen_id=0) for row in ledger.rows(batch.id)
        ]
        record_judgements(
            ledger, judgements, reviewer="ann", method=ReviewMethod.ONE, reviewed_at=format_utc(time.time())
        )

    result = retrain(settings, "mnist-5k", no_progress, replace(SMALL, evaluation_pages=30))

    trained, held_out = len(result.pages.train), len(result.pages.held_out)
    assert (trained + held_out, result.pages.missing) == (20, 0)
    assert {page.sha256 for page in result.pages.train}.isdisjoint(page.sha256 for page in result.pages.held_out)
    assert [test.items for test in result.comparisons] == [
        "pictures",
        "synthetic scans",
        "held-out corrected pages",
        "held-out corrected pages, accepted and",
        "synthetic scans, accepted and",
    ]
    assert result.is_promoted, [test.words for test in result.comparisons]
    assert composition.open_model(settings).card.id == result.model_id != before
    assert result.report is not None
    assert result.report.is_file()
    facts = composition.open_model(settings).card.training["corrections"]
    assert (facts["learned"], facts["held_out"]) == (trained, held_out)

    composition.open_model_registry(settings).rollback()

    assert composition.open_model(settings).card.id == before
