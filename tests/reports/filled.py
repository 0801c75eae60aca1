"""A workspace whose ledger is filled without reading anything: a batch of thousands, and a season of small ones."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from digitrec.reports.batch import RowFacts
from digitrec.settings import Settings
from digitrec.storage.claims import Claim, FileOutcome
from digitrec.storage.corrected_tables import write_corrected_table
from digitrec.storage.corrections import ReviewMethod
from digitrec.storage.judgements import Judgement, record_judgements
from digitrec.storage.ledger import Ledger
from digitrec.types import Batch, BatchStage, OutputFormat, PageReading, PageStatus, Reason, TableRow, Thresholds

HOSTILE = "<img src=x onerror=alert(1)>.png"
MODEL_ID = "paper-c0916754ec"
THRESHOLD = 0.956905
_RNG = np.random.default_rng(7)
_FATES = {
    PageStatus.ACCEPTED: FileOutcome.ACCEPTED,
    PageStatus.REVIEW: FileOutcome.REVIEW,
    PageStatus.REJECTED: FileOutcome.REJECTED,
}
_REJECTING = (Reason.BLANK, Reason.TRUNCATED, Reason.NOT_AN_IMAGE)


def make_row(row: int, file: str, page: int, status: PageStatus, *reading: Any, **facts: Any) -> RowFacts:
    """Return the facts of a row; `reading` are text, confidence and so on, as in `PageReading`."""
    return RowFacts(page, status, *reading, row=row, file=file, **facts)


def preview(text: str) -> bytes:
    """A page as people see it: pencil on grained paper, the largest size there is."""
    paper = np.full((96, 96), 225.0)
    paper += np.linspace(-20, 10, 96)[:, None] + _RNG.normal(0, 6, (96, 96))
    ink = np.zeros((96, 96), np.uint8)
    cv2.putText(ink, text, (24, 76), cv2.FONT_HERSHEY_SIMPLEX, 2.4, 200, 4, cv2.LINE_AA)
    picture = np.clip(paper - ink * 0.8, 0, 255).astype(np.uint8)
    return bytes(cv2.imencode(".png", picture)[1])


def fill(ledger: Ledger, batch_id: str, at: datetime, pages: int, *, doubtful: float = 0.06, ones: float = 0.1) -> None:
    """Record one closed batch: `doubtful` of it in review, one in a hundred rejected."""
    confidence = np.round(1 - 10 ** -_RNG.uniform(1.37, 5.5, pages), 6)
    kinds = _RNG.random(pages)
    rows = [
        _row(batch_id, number + 1, kinds[number], float(confidence[number]), doubtful, ones) for number in range(pages)
    ]
    rows[0] = replace(rows[0], path=HOSTILE)
    opened = at - timedelta(seconds=1 + pages / 90)
    claims = [
        Claim(batch_id, row.path, row.row, row.size, 7, False, _utc(opened), _FATES[row.reading.status]) for row in rows
    ]
    how = OutputFormat(
        ("file",), ("file",), ("file",), 2, "plain", MODEL_ID, "1.0", _utc(at), Thresholds(THRESHOLD, THRESHOLD), 0.005
    )
    ledger.open_batch(Batch(batch_id, _utc(opened), BatchStage.PLANNED), claims)
    ledger.record(batch_id, rows, claims, how, [])
    ledger.set_stage(batch_id, BatchStage.CLOSED)


def season(ledger: Ledger, days: int, start: datetime) -> list[str]:
    """A batch a day, each with an audit and its review; at the end more ones are written."""
    made = []
    for day in range(days):
        at = start + timedelta(days=day)
        batch_id = f"{at:%Y%m%dT%H%M%SZ}-{day:08x}"
        fill(ledger, batch_id, at, 300, doubtful=0.04 + day / 1000, ones=0.1 + (day > 0.7 * days) * 0.3)
        people_look(ledger, batch_id, at + timedelta(hours=3))
        made.append(batch_id)
    return made


def people_look(ledger: Ledger, batch_id: str, at: datetime, *, share: float = 1.0, drawn: int = 20) -> None:
    """Somebody settles a share of what is in review, and audits some of what was accepted."""
    rows = ledger.rows(batch_id)
    review = [row for row in rows if row.reading.status is PageStatus.REVIEW]
    accepted = [row for row in rows if row.reading.status is PageStatus.ACCEPTED]
    looked = review[: round(share * len(review))]
    _judge(ledger, looked, "ann", ReviewMethod.ONE, at, wrong=0.25)
    picked = [accepted[i] for i in _RNG.choice(len(accepted), drawn, replace=False)]
    _judge(ledger, picked, "bob <b>", ReviewMethod.AUDIT, at, wrong=0.01)


def filled(root: Path, *, pages: int = 5000, days: int = 60) -> tuple[Settings, str]:
    """A workspace with one large batch, partly reviewed, after a season; gives its settings and that batch."""
    settings = Settings(workspace=root, engine="serial")
    settings.outbox.mkdir(parents=True, exist_ok=True)
    ledger = Ledger.open(settings.ledger)
    now = datetime.now(UTC).replace(microsecond=0)
    finished = season(ledger, days, now - timedelta(days=days + 1))
    batch_id = f"{now:%Y%m%dT%H%M%SZ}-00000001"
    fill(ledger, batch_id, now, pages, ones=0.4)
    people_look(ledger, batch_id, now, share=0.4, drawn=50)
    for finished_id in finished:
        write_corrected_table(settings.outbox, ledger, finished_id)
    ledger.close()
    return settings, batch_id


def _row(batch_id: str, number: int, kind: float, confidence: float, doubtful: float, ones: float) -> TableRow:
    text = "1" if _RNG.random() < ones else str(_RNG.integers(0, 10))
    path = f"desk/scan-{number:05}.png"
    base = TableRow(
        batch_id,
        number,
        path,
        f"{number:064x}",
        9000,
        "2026-01-01T00:00:00.000Z",
        "",
        "",
        PageReading(1, PageStatus.ACCEPTED),
    )
    if kind < 0.01:
        reason = _REJECTING[number % 3]
        return replace(base, reading=PageReading(1, PageStatus.REJECTED, reason=reason, detail=reason.description))
    if kind < 0.01 + doubtful:
        reason = Reason.NOT_A_DIGIT if number % 9 == 0 else Reason.LOW_CONFIDENCE
        other = str((int(text) + 3) % 10)
        sure = round(float(_RNG.uniform(0.2, THRESHOLD)), 6)
        read = PageReading(
            1, PageStatus.REVIEW, text, sure, other, round((1 - sure) / 2, 6), reason, reason.description
        )
        return replace(base, reading=read, preview=preview(text))
    return replace(base, reading=PageReading(1, PageStatus.ACCEPTED, text, max(confidence, THRESHOLD)))


def _judge(
    ledger: Ledger, rows: Sequence[TableRow], who: str, how: ReviewMethod, at: datetime, *, wrong: float
) -> None:
    judgements = [
        Judgement(
            row.batch_id, row.row, "none" if _RNG.random() < wrong / 4 else _maybe_wrong(row.reading.text, wrong), 0
        )
        for row in rows
    ]
    record_judgements(ledger, judgements, reviewer=who, method=how, reviewed_at=_utc(at))


def _maybe_wrong(text: str, wrong: float) -> str:
    return str((int(text) + 3) % 10) if _RNG.random() < wrong else text


def _utc(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
