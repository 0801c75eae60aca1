"""Files that crash the reader or make it raise: they cost no other file its answer."""

import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from digitrec.errors import ReadFailed
from digitrec.pipeline import read_files, scanner
from digitrec.pipeline.executor import LocalExecutor
from digitrec.pipeline.read_files import FileResult, ReadJob
from digitrec.pipeline.worker_process import WorkerCrashed
from digitrec.storage.claims import OutcomeCounts
from digitrec.storage.ledger import Ledger
from tests.conftest import InlineChild, ServiceHarness, draw
from tests.readers import Poisoned, name_of


def poison(harness: ServiceHarness, *names: str) -> Poisoned:
    reader = Poisoned({*names})
    harness.child = harness.engine = reader
    return reader


def answers(harness: ServiceHarness) -> dict[str, str]:
    return {row["file"]: row["text"] or row["reason_code"] for row in harness.rows()}


def test_a_suspect_is_taken_out_and_the_others_are_published_first(harness: ServiceHarness) -> None:
    poisoned = poison(harness, "3.png")
    for digit in range(5):
        harness.drop(f"{digit}.png", draw(digit))
    with harness.at_work() as pipeline:
        counts = pipeline.process_groups([sorted(harness.look())])

        first = next(counts)

        assert (first.accepted + first.review, first.rejected, first.deferred) == (4, 0, 0)
        assert set(answers(harness)) == {"0.png", "1.png", "2.png", "4.png"}
        assert (harness.inbox / "3.png").read_bytes() == draw(3)
        assert poisoned.deaths == ["3.png"]
        assert list(counts) == [OutcomeCounts(), OutcomeCounts(rejected=1)]

    assert poisoned.deaths == ["3.png"] * 3
    assert poisoned.alone == ["3.png"] * 2
    assert answers(harness)["3.png"] == "crashes_reader"
    assert harness.originals("rejected") == {"3.png": draw(3)}
    assert harness.account().discrepancies == ()


def test_several_suspects_of_a_chunk_are_identified_at_once(harness: ServiceHarness) -> None:
    poisoned = poison(harness, "1.png", "2.png", "7.png")
    for digit in range(10):
        harness.drop(f"{digit}.png", draw(digit))

    harness.run()

    assert sorted(poisoned.deaths) == sorted(["1.png", "2.png", "7.png"] * 3)
    assert [name for name, text in sorted(answers(harness).items()) if text == "crashes_reader"] == [
        "1.png",
        "2.png",
        "7.png",
    ]
    assert len(harness.tables()) == 4, "the seven others in one, each suspect in its own"
    assert harness.account().discrepancies == ()


def test_a_suspect_that_is_seen_again_while_it_waits_waits_once(harness: ServiceHarness) -> None:
    poison(harness, "1.png", "2.png")
    for digit in range(1, 4):
        harness.drop(f"{digit}.png", draw(digit))
    with harness.at_work() as pipeline:
        next(pipeline.process_groups([sorted(harness.look())]))

        pipeline.process_group(sorted(harness.look()))

        assert sorted(file.path for file in pipeline.claim_alone) == ["1.png", "2.png"], "one failed again"


def test_a_suspect_that_is_read_alone_is_answered_like_any_file(harness: ServiceHarness) -> None:
    poisoned = poison(harness, "3.png")
    harness.drop("3.png", draw(3))
    harness.drop("4.png", draw(4))
    with harness.at_work() as pipeline:
        counts = pipeline.process_groups([sorted(harness.look())])
        next(counts)
        poisoned.names.clear()
        list(counts)

    assert answers(harness) == {"3.png": "3", "4.png": "4"}
    with harness.at_work() as pipeline:
        assert not pipeline.suspects.has_any(), "it is no suspect any more"


def test_failures_are_counted_across_runs_and_a_suspect_stays_alone(harness: ServiceHarness) -> None:
    poisoned = poison(harness, "3.png")
    harness.drop("3.png", draw(3))
    for failures in (1, 2):
        with harness.at_work() as pipeline:
            pipeline.recover()
            next(pipeline.process_groups([sorted(harness.look())]))  # the process ends here
        assert len(poisoned.deaths) == failures
        assert harness.rows() == []
    harness.drop("1.png", draw(1))
    harness.drop("2.png", draw(2))

    harness.run()

    assert poisoned.deaths == ["3.png"] * 3
    assert answers(harness) == {"1.png": "1", "2.png": "2", "3.png": "crashes_reader"}
    assert {row["file"]: row["batch_id"] for row in harness.rows()}["3.png"] not in {
        row["batch_id"] for row in harness.rows() if row["file"] != "3.png"
    }
    assert harness.account().discrepancies == ()


def test_a_stop_while_a_suspect_is_read_alone_forgets_nothing(harness: ServiceHarness) -> None:
    harness.drop("3.png", draw(3))

    class Stopped(Poisoned):
        def call(self, *_: Any) -> None:
            harness.stopped = True

    harness.child = harness.engine = Stopped({"3.png"})
    harness.run()
    assert harness.rows() == []
    assert harness.account().count.deferred == 2
    harness.stopped = False
    poisoned = poison(harness, "3.png")

    harness.run()

    assert poisoned.deaths == ["3.png"] * 2, "the first one was before the stop"
    assert poisoned.alone == ["3.png"] * 2
    assert answers(harness) == {"3.png": "crashes_reader"}


def test_a_kill_of_the_service_never_counts_as_a_crash(harness: ServiceHarness) -> None:
    class Killed(BaseException):
        pass

    class Engine(Poisoned):
        def map(self, *_: Any) -> Iterator[Any]:
            raise Killed
            yield

        def call(self, *_: Any) -> Any:
            raise Killed

    harness.drop("3.png", draw(3))
    for _ in range(5):
        harness.child = harness.engine = Engine(set())
        with pytest.raises(Killed):
            harness.run()

    poison(harness)
    harness.run()

    assert answers(harness) == {"3.png": "3"}


def test_watch_reads_a_suspect_after_every_batch(harness: ServiceHarness) -> None:
    poisoned = poison(harness, "1.png", "2.png", "3.png")
    for digit in range(1, 6):
        harness.drop(f"{digit}.png", draw(digit))
    with harness.at_work() as pipeline:
        pipeline.process_group(sorted(harness.look()))
        assert poisoned.alone == ["1.png"]
        harness.drop("new.png", draw(9))
        pipeline.process_group([file for file in harness.look() if file.path == "new.png"])

        assert answers(harness)["new.png"] == "9"
        assert poisoned.alone == ["1.png", "2.png"]
        while pipeline.claim_alone:
            pipeline.process_group([])

    assert len(harness.rows()) == 6
    assert harness.account().discrepancies == ()


@pytest.mark.slow
def test_five_pictures_do_not_wait_long_behind_five_that_hang(harness: ServiceHarness) -> None:
    real = read_files.read_chunk
    limit_s = 0.5

    def hangs(jobs: Sequence[ReadJob], **options: Any) -> list[FileResult]:
        from digitrec.pipeline import worker_main

        contents = []
        for file, job in enumerate(jobs):
            worker_main.begin_page(file)
            if name_of(job).startswith("slow"):
                time.sleep(20 * limit_s)
            contents += real([job], **options)
        return contents

    class Child(InlineChild):
        def call(self, function: Any, argument: Any, stopped: Any) -> Any:
            if name_of(argument[0]).startswith("slow"):
                time.sleep(limit_s)
                raise WorkerCrashed("not done after the time", 0)
            return function(argument)

    for number in range(5):
        harness.drop(f"slow {number}.png", draw(number, shift=1))
        harness.drop(f"z{number}.png", draw(number))
    harness.engine, harness.child = LocalExecutor(2, limit_s), Child()
    began_s = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_files, "read_chunk", hangs)
        with harness.at_work() as pipeline:
            counts = pipeline.process_groups([sorted(harness.look())])
            next(counts)
            published_s = time.monotonic() - began_s
            list(counts)

    assert {row["file"] for row in harness.rows() if row["status"] != "rejected"} == {
        f"z{number}.png" for number in range(5)
    }
    assert published_s < 8 * limit_s, "before: 16 waits, 1 for the chunk and 3 for each of the five"
    assert sum(row["reason_code"] == "crashes_reader" for row in harness.rows()) == 5


# Unexpected exceptions.


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """Names of files whose reading raises; "*" stands for all."""
    names: set[str] = set()
    real = read_files.read_chunk

    def read_chunk(jobs: Sequence[ReadJob], **options: Any) -> list[FileResult]:
        for job in jobs:
            if names & {name_of(job), "*"}:
                raise ZeroDivisionError(name_of(job))
        return real(jobs, **options)

    monkeypatch.setattr(read_files, "read_chunk", read_chunk)
    return names


def test_a_batch_that_raises_is_read_file_by_file_the_third_time(
    harness: ServiceHarness, raising: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    raising.add("3.png")
    for digit in range(5):
        harness.drop(f"{digit}.png", draw(digit))

    for _ in range(2):
        with pytest.raises(ReadFailed, match=r"3\.png|0\.png.*ZeroDivisionError") as failed:
            harness.run()
        assert failed.value.exit_code == 74
        assert harness.rows() == []
    harness.run()

    assert set(answers(harness)) == {"0.png", "1.png", "2.png", "4.png"}
    assert (harness.inbox / "3.png").read_bytes() == draw(3)
    assert harness.account().discrepancies == ()
    traces = [record for record in caplog.records if getattr(record, "trace", "")]
    assert traces, "logged with its traceback"
    assert len({record.trace for record in traces}) == len(traces), "once"  # type: ignore[attr-defined]
    assert "a file cannot be read, it is claimed alone from now on" in caplog.messages


def test_a_file_that_raised_is_claimed_alone_with_growing_backoff(harness: ServiceHarness, raising: set[str]) -> None:
    raising.add("3.png")
    harness.drop("3.png", draw(3))
    harness.drop("4.png", draw(4))
    for _ in range(2):
        with pytest.raises(ReadFailed):
            harness.run()
    harness.run()
    harness.drop("5.png", draw(5))
    harness.now_s += 2

    harness.run()

    assert set(answers(harness)) == {"4.png", "5.png"}
    with harness.at_work() as pipeline:
        (held,) = pipeline.ledger.deferred_files()
        assert (held.tries, held.next_at_s) == (2, harness.now_s + 2)
        assert "ZeroDivisionError" in held.why
    raising.clear()
    harness.now_s += 10
    harness.run()
    assert answers(harness)["3.png"] == "3"


def test_if_every_file_raises_it_is_an_environment_failure(harness: ServiceHarness, raising: set[str]) -> None:
    raising.add("*")
    harness.drop("3.png", draw(3))
    harness.drop("4.png", draw(4))

    for _ in range(4):
        with pytest.raises(ReadFailed):
            harness.run()
    assert harness.look() == [], "the claims are kept"
    raising.clear()
    harness.run()

    assert answers(harness) == {"3.png": "3", "4.png": "4"}
    assert harness.account().count.deferred == 0


def test_a_file_that_raises_never_keeps_others_from_being_read(harness: ServiceHarness, raising: set[str]) -> None:
    raising.add("3.png")
    harness.drop("3.png", draw(3))
    with pytest.raises(ReadFailed):
        harness.run()
    harness.drop("4.png", draw(4))
    with harness.at_work() as pipeline, pytest.raises(ReadFailed):
        pipeline.recover()
    with harness.at_work() as pipeline:
        list(pipeline.process_groups([sorted(harness.look())]))
    assert answers(harness) == {"4.png": "4"}

    harness.run()

    assert (harness.inbox / "3.png").exists(), "others can be read, so the fault is its own"
    assert harness.account().discrepancies == ()


def test_an_exception_in_a_batch_does_not_stop_the_next(harness: ServiceHarness, raising: set[str]) -> None:
    raising.add("0.png")
    harness.set(batch_files=2)
    for digit in range(4):
        harness.drop(f"{digit}.png", draw(digit))

    with pytest.raises(ReadFailed):
        harness.run()

    assert set(answers(harness)) == {"2.png", "3.png"}


@pytest.mark.slow
@pytest.mark.parametrize("step", ["was_fresh", "claim"])
def test_an_exception_while_a_file_is_claimed_skips_only_it(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    harness.drop("3.png", draw(3))
    harness.drop("4.png", draw(4))
    from digitrec.pipeline.inbox import Inbox

    home: Any = Ledger if step == "was_fresh" else Inbox
    real = getattr(home, step)

    def raises(own: Any, *args: Any) -> Any:
        if "3.png" in args:
            raise OverflowError("Python int too large to convert to SQLite INTEGER")
        return real(own, *args)

    with monkeypatch.context() as patch:
        patch.setattr(home, step, raises)
        harness.run()
    assert answers(harness) == {"4.png": "4"}
    assert (harness.inbox / "3.png").exists()

    harness.now_s += 5
    harness.run()

    assert set(answers(harness)) == {"3.png", "4.png"}
    assert harness.account().discrepancies == ()


def test_a_file_that_cannot_be_noted_is_not_tried_again_at_once(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.drop("3.png", draw(3))
    harness.drop("4.png", draw(4))
    files = sorted(harness.look())
    tries: list[str] = []

    def raises(_: Ledger, path: str, *__: object) -> None:
        tries.append(path)
        raise OverflowError("Python int too large to convert to SQLite INTEGER")

    monkeypatch.setattr(Ledger, "was_fresh", raises)
    with harness.at_work() as pipeline:
        pipeline.process_group(files[:1])
        pipeline.process_group(files)

    assert tries == ["3.png", "4.png"], "3.png waits for its backoff"


def test_an_exception_while_a_file_is_scanned_skips_only_it(harness: ServiceHarness) -> None:
    harness.drop("3.png", draw(3))
    harness.drop("odd/4.png", draw(4))
    harness.drop("5.png", draw(5))
    skipped: dict[str, str] = {}

    def stat_of(entry: os.DirEntry[str]) -> os.stat_result:
        if entry.name in {"5.png", "odd"}:
            raise ArithmeticError("no such time")
        return entry.stat(follow_symlinks=False)

    paths = [file.path for file in scanner.scan(harness.inbox, skipped.__setitem__, stat_of=stat_of)]

    assert paths == ["3.png"]
    assert skipped.keys() == {"5.png", "odd"}
    assert "ArithmeticError: no such time" in skipped["5.png"]


def test_an_exception_in_the_report_is_noted_and_the_batch_is_finished(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    harness.drop("3.png", draw(3))

    def fails(*_: object) -> None:
        raise KeyError("colour")

    monkeypatch.setattr("digitrec.app.reports.report_batch", fails)
    harness.run()

    assert answers(harness) == {"3.png": "3"}
    assert harness.account().open_batches == ()
    assert "the report of a batch cannot be made" in caplog.messages
