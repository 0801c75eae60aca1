"""Made-up batches, and a reader of pages that sees what a browser would."""

from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import cv2
import numpy as np
import pytest

from digitrec.reports.batch import BatchFacts, DeferredFacts, RowFacts
from digitrec.storage.claims import OutcomeCounts
from digitrec.types import PageStatus, Thresholds

BATCH_ID = "20260122T151305Z-1a2b3c4d"


@dataclass
class Page(HTMLParser):
    """What a page holds: its elements, its text, and the numbers marked with their place in report.json."""

    source: str
    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    numbers: dict[str, str] = field(default_factory=dict)
    styles: str = ""
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._inside: list[str] = []
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        if tag == "style":
            self._inside.append(tag)
        if tag in {"td", "th", "li"}:
            self.text += " "
        if "data-key" in attributes:
            self.numbers[attributes["data-key"]] = attributes["value"]

    def handle_endtag(self, tag: str) -> None:
        if tag == "style":
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.styles += data
        else:
            self.text += data

    def tags(self, name: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag == name]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


@pytest.fixture
def read_page() -> Callable[[str], Page]:
    return Page


@pytest.fixture
def thumbnail() -> Callable[[str], bytes]:
    def draw(text: str) -> bytes:
        paper = np.full((96, 72), 235, np.uint8)
        cv2.putText(paper, text, (10, 76), cv2.FONT_HERSHEY_SIMPLEX, 2.3, 40, 3, cv2.LINE_AA)
        return cv2.imencode(".png", paper)[1].tobytes()

    return draw


@pytest.fixture
def make_facts() -> Callable[..., BatchFacts]:
    """Facts of a batch whose rows are given; each row is another file."""

    def make(rows: list[RowFacts], deferred: list[DeferredFacts] | None = None, **changed: Any) -> BatchFacts:
        deferred = deferred or []
        of = {status: sum(row.status is status for row in rows) for status in PageStatus}
        content: dict[str, Any] = {
            "batch_id": BATCH_ID,
            "worker": "main",
            "model_id": "cnn-1",
            "app_version": "0.1.0",
            "opened_at": "2026-01-22T15:13:05Z",
            "processed_at": "2026-01-22T15:13:09Z",
            "files": OutcomeCounts(
                accepted=of[PageStatus.ACCEPTED],
                review=of[PageStatus.REVIEW],
                rejected=of[PageStatus.REJECTED],
                deferred=len(deferred),
            ),
            "thresholds": Thresholds(0.98, 0.99),
            "max_error": 0.005,
            "csv": f"../../outbox/{BATCH_ID}.csv",
            "rows": rows,
            "deferred": deferred,
        }
        return BatchFacts(**(content | changed))

    return make
