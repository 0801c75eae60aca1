"""A workspace with answers that were not read by anything: originals, a ledger, and the pages over them."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from digitrec import files
from digitrec.app import review
from digitrec.review.auth import Sessions
from digitrec.review.server import Site
from digitrec.settings import Settings
from digitrec.storage import csv_tables
from digitrec.storage.claims import Claim, FileOutcome
from digitrec.storage.ledger import Ledger
from digitrec.storage.schema import join_digits
from digitrec.types import (
    Batch,
    BatchStage,
    Box,
    Digit,
    Number,
    OutputFormat,
    PageReading,
    PageStatus,
    Reason,
    TableRow,
    Thresholds,
)
from tests.conftest import draw

PORT = 8123
BASE = f"http://127.0.0.1:{PORT}"
ORIGIN = {"Origin": BASE}
BATCH = "20260102T030405Z-0a1b2c3d"
OTHER = "20260103T030405Z-0a1b2c3d"
OUTPUT_FORMAT = OutputFormat(
    csv_tables.COLUMNS,
    csv_tables.DIGIT_COLUMNS,
    csv_tables.NUMBER_COLUMNS,
    csv_tables.SCHEMA_VERSION,
    "plain",
    "m-1",
    "test",
    "2026-01-02T03:04:06.000Z",
    Thresholds(0.9, 0.9),
    0.005,
)


@dataclass(frozen=True)
class Answer:
    """What stands in a ledger for one file."""

    text: str = "7"
    confidence: float | None = 0.6
    name: str = ""
    reason: Reason | None = None
    content: bytes | None = None
    """Its original; None draws the text's first digit."""
    numbers: tuple[Number, ...] = ()
    """Of a page with several numbers; `text` is made of theirs."""
    size: tuple[int, int] = (60, 80)
    """Width and height of the page."""

    @property
    def status(self) -> PageStatus:
        if self.confidence is None:
            return (
                PageStatus.REVIEW if self.reason is not None and not self.reason.is_rejection else PageStatus.REJECTED
            )
        return PageStatus.ACCEPTED if self.confidence >= 0.9 and self.reason is None else PageStatus.REVIEW


def fill(
    settings: Settings, batch_id: str, answers: Sequence[Answer], *, stage: BatchStage = BatchStage.CLOSED
) -> None:
    """Put a batch into a worker's ledger, and its originals where they belong."""
    rows, claims = [], []
    for number, answer in enumerate(answers, start=1):
        path = answer.name or f"scan-{number:05d}.png"
        data = answer.content if answer.content is not None else draw(int(answer.text[:1] or 0), shift=number % 7)
        kind = "rejected" if answer.status is PageStatus.REJECTED else "done"
        place = settings.outbox / kind / batch_id / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        rows.append(_row(batch_id, number, path, data, answer))
        claims.append(
            Claim(
                batch_id, path, number, len(data), 1, False, "2026-01-02T03:04:05.000Z", FileOutcome(answer.status), "",
                rows[-1].sha256, place.relative_to(settings.workspace).as_posix(),
            )
        )  # fmt: skip
    with closing(Ledger.open(settings.ledger)) as ledger:
        ledger.restore_batch(Batch(batch_id, "2026-01-02T03:04:05.000Z", stage, OUTPUT_FORMAT), claims, rows)


def _row(batch_id: str, number: int, path: str, data: bytes, answer: Answer) -> TableRow:
    share = answer.confidence or 0.0
    reason = answer.reason or (None if answer.status is PageStatus.ACCEPTED else Reason.LOW_CONFIDENCE)
    digits = tuple(
        Digit(
            Box(10 + 3 * at, 15, 30, 50),
            tuple(share if digit == int(text_digit) else (1 - share) / 10 for digit in range(10)),
        )
        for at, text_digit in enumerate(filter(str.isdigit, answer.text))
    )
    reading = PageReading(
        1, answer.status, answer.text, answer.confidence, "1" if answer.text else "", 0.1 if answer.text else None,
        reason,
        reason.description if reason else "", "png", *answer.size,
    )  # fmt: skip
    if answer.numbers:
        reading = replace(reading, numbers=answer.numbers)
    elif digits:
        reading = replace(reading, numbers=(join_digits(reading, digits),))
    return TableRow(
        batch_id, number, path, hashlib.sha256(data).hexdigest(), len(data), "2026-01-02T03:04:05.000Z", "", "", reading
    )


class Client:
    """A browser without a window: keeps cookies, follows nothing."""

    def __init__(self, site: Site, base: str) -> None:
        transport = httpx.ASGITransport(app=site.app())
        self._client = httpx.AsyncClient(transport=transport, base_url=base)

    @property
    def cookies(self) -> httpx.Cookies:
        return self._client.cookies

    def request(self, method: str, address: str, **asked: Any) -> httpx.Response:
        return asyncio.run(self._client.request(method, address, **asked))

    def get(self, address: str, **asked: Any) -> httpx.Response:
        return self.request("GET", address, **asked)

    def head(self, address: str, **asked: Any) -> httpx.Response:
        return self.request("HEAD", address, **asked)

    def post(self, address: str, **asked: Any) -> httpx.Response:
        return self.request("POST", address, **asked)


@dataclass
class Pages:
    """The pages as a person uses them, without a browser."""

    settings: Settings
    site: Site

    def stranger(self, base: str = BASE) -> Client:
        return Client(self.site, base)

    def person(self, who: str = "Anna") -> "Person":
        client = self.stranger()
        answer = client.get("/enter", params={"token": self.site.sessions.invite(who)})
        assert answer.status_code == 303
        return Person(client)


@dataclass
class Person:
    """Somebody inside."""

    client: Client

    def get(self, address: str, **asked: Any) -> httpx.Response:
        return self.client.get(address, **asked)

    def post(self, address: str, body: object, **more: Any) -> httpx.Response:
        headers = ORIGIN | {"Content-Type": "application/json"}
        return self.client.post(address, content=json.dumps(body), headers=headers, **more)

    def listed(self, query: str = "") -> dict[str, Any]:
        answer = self.get(f"/api/list?{query}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def judge(
        self, *judgements: tuple[int, str | None], how: str = "one", seen: int = 0, batch: str = BATCH
    ) -> httpx.Response:
        given = [{"batch": batch, "row": row, "new": new, "seen": seen} for row, new in judgements]
        return self.post("/api/judge", {"how": how, "judgements": given})


Opens = Callable[..., Pages]


def opens(folder: Path) -> Opens:
    """Open the pages over the answers given; options as `site_of` takes them."""

    def open_pages(answers: Sequence[Answer] = (), *, settings: Settings | None = None, **options: int) -> Pages:
        settings = settings or Settings(workspace=folder, engine="serial")
        files.make_dir(settings.outbox)
        if answers:
            fill(settings, BATCH, answers)
            with closing(Ledger.open(settings.ledger)) as ledger:
                ledger.set_meta("outbox_id", "0" * 32)
            (settings.outbox / ".digitrec-folder").write_text("0" * 32 + "\n")
        return Pages(settings, review.build_site(settings, Sessions(), PORT, **options))

    return open_pages


@pytest.fixture
def opened(tmp_path: Path) -> Opens:
    """Pages over a separate workspace."""
    return opens(tmp_path)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    """Pages over one answer, for tests that change nothing."""
    return opens(tmp_path_factory.mktemp("pages"))([Answer(name="secret.png")])
