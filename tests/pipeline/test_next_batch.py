"""The next batch is claimed while one is being read; both finish in order in every case."""

import errno
from collections.abc import Iterable, Iterator, Sequence

import pytest

from digitrec.pipeline import batch
from digitrec.pipeline.inbox import Inbox
from digitrec.storage.claims import FileSnapshot, OutcomeCounts
from digitrec.storage.ledger import Ledger
from digitrec.types import BatchStage, TableRow
from tests.conftest import ServiceHarness, draw


def groups_of(harness: ServiceHarness, size: int) -> Iterator[list[FileSnapshot]]:
    files = sorted(harness.look())
    return iter([files[start : start + size] for start in range(0, len(files), size)])


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> list[list[BatchStage]]:
    """Return the stages of the open batches at each `record`."""
    stages: list[list[BatchStage]] = []
    record = Ledger.record

    def noted(ledger: Ledger, batch_id: str, rows: Sequence[TableRow], *others: object) -> None:
        stages.append([batch.stage for batch in ledger.batches(unfinished=True)])
        record(ledger, batch_id, rows, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(Ledger, "record", noted)
    return stages


def test_the_next_batch_is_claimed_before_the_current_is_recorded(
    harness: ServiceHarness, stages: list[list[BatchStage]]
) -> None:
    pictures = {f"{digit}.png": draw(digit) for digit in range(6)}
    for name, content in pictures.items():
        harness.drop(name, content)

    with harness.at_work() as pipeline:
        counts = list(pipeline.process_groups(groups_of(harness, 2)))

    assert [count.claimed for count in counts] == [2, 2, 2]
    assert stages == [[BatchStage.READING] * 2, [BatchStage.READING] * 2, [BatchStage.READING]]
    assert sorted(row["file"] for row in harness.rows()) == sorted(pictures)
    assert harness.originals() == pictures
    assert harness.account().discrepancies == ()


def test_a_large_batch_is_not_claimed_before_its_turn(
    harness: ServiceHarness, stages: list[list[BatchStage]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_MAX_PREFETCH_FILES", 1)
    for digit in range(4):
        harness.drop(f"{digit}.png", draw(digit))

    with harness.at_work() as pipeline:
        counts = list(pipeline.process_groups(groups_of(harness, 2)))

    assert [count.claimed for count in counts] == [2, 2]
    assert stages == [[BatchStage.READING], [BatchStage.READING]]


def test_a_read_batch_is_published_even_if_the_next_claim_fails(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for digit in range(4):
        harness.drop(f"{digit}.png", draw(digit))
    make_durable = Inbox.make_durable
    counts: list[OutcomeCounts] = []

    def fails_later(inbox: Inbox, batch_id: str, paths: Iterable[str]) -> None:
        if max(paths) > "1.png":
            raise OSError(errno.EIO, "Input/output error")
        make_durable(inbox, batch_id, paths)

    with monkeypatch.context() as patch:
        patch.setattr(Inbox, "make_durable", fails_later)
        with harness.at_work() as pipeline, pytest.raises(OSError, match="Input/output"):
            counts += pipeline.process_groups(groups_of(harness, 2))

    assert [count.claimed for count in counts] == [2], "and it is counted"
    assert [row["file"] for row in harness.rows()] == ["0.png", "1.png"]
    harness.run()
    assert sorted(row["file"] for row in harness.rows()) == ["0.png", "1.png", "2.png", "3.png"]
    assert harness.account().discrepancies == ()


def test_after_a_stop_both_batches_are_unclaimed(harness: ServiceHarness) -> None:
    pictures = {f"{digit}.png": draw(digit) for digit in range(4)}
    for name, content in pictures.items():
        harness.drop(name, content)

    with harness.at_work() as pipeline:
        groups = groups_of(harness, 2)

        def stopped_with_the_second() -> Iterator[list[FileSnapshot]]:
            yield next(groups)
            harness.stopped = True
            yield next(groups)

        counts = list(pipeline.process_groups(stopped_with_the_second()))

    assert [count.deferred for count in counts] == [2, 2]
    assert sorted(path.name for path in harness.inbox.glob("*.png")) == sorted(pictures)
    assert harness.tables() == []
    assert harness.account().discrepancies == ()


def test_the_same_bytes_in_the_next_batch_are_a_duplicate_of_the_first(harness: ServiceHarness) -> None:
    harness.drop("a.png", draw(7))
    harness.drop("b.png", draw(7))

    with harness.at_work() as pipeline:
        list(pipeline.process_groups(groups_of(harness, 1)))

    first, second = harness.rows() if harness.rows()[0]["file"] == "a.png" else reversed(harness.rows())
    assert (first["duplicate_of"], second["duplicate_of"]) == ("", f"{first['batch_id']}/1")
