"""Read, review, retrain, roll back: the whole loop, with very little of everything."""

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from digitrec.app import composition, models
from digitrec.app.retrain import retrain
from digitrec.app.run import run_once
from digitrec.pipeline import workspace
from digitrec.settings import Settings
from digitrec.storage.corrections import Judgement, ReviewMethod, record_judgements
from digitrec.storage.ledger import Ledger
from digitrec.text import format_utc
from digitrec.training.classifier import no_progress
from tests.conftest import draw
from tests.training.test_finetune import LITTLE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]


def test_what_people_confirm_becomes_a_model_in_use_that_can_be_taken_back(tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path, max_error=0.5, settle_s=0.0)
    workspace.init_folders(settings)
    for number in range(20):
        (settings.inbox / f"{number}.png").write_bytes(draw(number % 10, shift=number // 10))
    assert run_once(settings).count.claimed == 20
    before = composition.open_model(settings).card.id
    with closing(Ledger.open_shared(settings.ledger)) as ledger:
        (batch,) = ledger.batches()
        said = [
            Judgement(batch.id, row.row, str(int(Path(row.path).stem) % 10), seen_id=0) for row in ledger.rows(batch.id)
        ]
        record_judgements(ledger, said, reviewer="ann", method=ReviewMethod.ONE, reviewed_at=format_utc(time.time()))

    done = retrain(settings, "mnist-5k", no_progress, replace(LITTLE, pages_judged=200))

    learned, held_out = len(done.pages.train), len(done.pages.held_out)
    assert (learned + held_out, done.pages.missing) == (20, 0)
    assert {page.sha256 for page in done.pages.train}.isdisjoint(page.sha256 for page in done.pages.held_out)
    assert [one.things for one in done.comparisons] == [
        "pictures",
        "drawn scans",
        "held-out corrected pages",
        "held-out corrected pages, accepted and",
        "drawn scans, accepted and",
    ]
    assert done.is_promoted, [one.words for one in done.comparisons]
    assert composition.open_model(settings).card.id == done.model_id != before
    assert done.report is not None
    assert done.report.is_file()
    facts = composition.open_model(settings).card.training["corrections"]
    assert (facts["learned"], facts["held_out"]) == (learned, held_out)

    models.rollback_model(settings)

    assert composition.open_model(settings).card.id == before
