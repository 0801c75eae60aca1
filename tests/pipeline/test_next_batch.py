"""The next batch is claimed while one is being read; whatever happens, both come to their end, in order."""

import errno
from collections.abc import Iterable, Iterator, Sequence

import pytest

from digitrec.pipeline import batch as pipeline
from digitrec.pipeline.inbox import Inbox
from digitrec.storage.ledger import Ledger
from digitrec.types import Count, FileSnapshot, Row, Stage
from tests.conftest import Desk, draw


def groups_of(desk: Desk, size: int) -> Iterator[list[FileSnapshot]]:
    seen = sorted(desk.look())
    return iter([seen[start : start + size] for start in range(0, len(seen), size)])


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> list[list[Stage]]:
    """Of the batches that are open whenever one is put on record."""
    found: list[list[Stage]] = []
    record = Ledger.record

    def noted(ledger: Ledger, batch_id: str, rows: Sequence[Row], *others: object) -> None:
        found.append([batch.stage for batch in ledger.batches(unfinished=True)])
        record(ledger, batch_id, rows, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(Ledger, "record", noted)
    return found


def test_the_next_batch_is_claimed_before_one_is_put_on_record(desk: Desk, stages: list[list[Stage]]) -> None:
    pictures = {f"{digit}.png": draw(digit) for digit in range(6)}
    for name, content in pictures.items():
        desk.drop(name, content)

    with desk.at_work() as line:
        counts = list(line.process_all(groups_of(desk, 2)))

    assert [count.claimed for count in counts] == [2, 2, 2]
    assert stages == [[Stage.READING] * 2, [Stage.READING] * 2, [Stage.READING]]
    assert sorted(row["file"] for row in desk.rows()) == sorted(pictures)
    assert desk.originals() == pictures
    assert desk.account().differences == ()


def test_a_large_batch_is_not_claimed_before_its_turn(
    desk: Desk, stages: list[list[Stage]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "_MOST_AHEAD", 1)
    for digit in range(4):
        desk.drop(f"{digit}.png", draw(digit))

    with desk.at_work() as line:
        counts = list(line.process_all(groups_of(desk, 2)))

    assert [count.claimed for count in counts] == [2, 2]
    assert stages == [[Stage.READING], [Stage.READING]]


def test_a_read_batch_is_published_even_if_the_next_claim_fails(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for digit in range(4):
        desk.drop(f"{digit}.png", draw(digit))
    make_durable = Inbox.make_durable
    counts: list[Count] = []

    def fails_later(inbox: Inbox, batch_id: str, paths: Iterable[str]) -> None:
        if max(paths) > "1.png":
            raise OSError(errno.EIO, "Input/output error")
        make_durable(inbox, batch_id, paths)

    with monkeypatch.context() as patch:
        patch.setattr(Inbox, "make_durable", fails_later)
        with desk.at_work() as line, pytest.raises(OSError, match="Input/output"):
            counts += line.process_all(groups_of(desk, 2))

    assert [count.claimed for count in counts] == [2], "and it is counted"
    assert [row["file"] for row in desk.rows()] == ["0.png", "1.png"]
    desk.run()
    assert sorted(row["file"] for row in desk.rows()) == ["0.png", "1.png", "2.png", "3.png"]
    assert desk.account().differences == ()


def test_after_a_stop_both_batches_are_unclaimed(desk: Desk) -> None:
    pictures = {f"{digit}.png": draw(digit) for digit in range(4)}
    for name, content in pictures.items():
        desk.drop(name, content)

    with desk.at_work() as line:
        groups = groups_of(desk, 2)

        def stopped_with_the_second() -> Iterator[list[FileSnapshot]]:
            yield next(groups)
            desk.stopped = True
            yield next(groups)

        counts = list(line.process_all(stopped_with_the_second()))

    assert [count.deferred for count in counts] == [2, 2]
    assert sorted(path.name for path in desk.inbox.glob("*.png")) == sorted(pictures)
    assert desk.tables() == []
    assert desk.account().differences == ()


def test_the_same_bytes_in_the_next_batch_are_a_duplicate_of_the_first(desk: Desk) -> None:
    desk.drop("a.png", draw(7))
    desk.drop("b.png", draw(7))

    with desk.at_work() as line:
        list(line.process_all(groups_of(desk, 1)))

    first, second = desk.rows() if desk.rows()[0]["file"] == "a.png" else reversed(desk.rows())
    assert (first["duplicate_of"], second["duplicate_of"]) == ("", f"{first['batch_id']}/1")
