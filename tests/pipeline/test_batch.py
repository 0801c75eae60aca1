"""Process batches step by step: every rule for files, without a sleep."""

import errno
import json
import os
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from digitrec import files
from digitrec.errors import BusyError, EnvironmentFailure
from digitrec.pipeline import read_files
from digitrec.pipeline.archive import FolderOutbox
from digitrec.pipeline.batch_reader import make_chunks
from digitrec.pipeline.chunk_queue import ChunkTimeout
from digitrec.pipeline.inbox import Inbox
from digitrec.pipeline.labels import LabelLookup
from digitrec.pipeline.read_files import FileResult, ReadJob
from digitrec.pipeline.worker_process import WorkerCrashed, WorkerProcess
from digitrec.storage.claims import Claim, FileOutcome, OutcomeCounts
from digitrec.storage.ledger import Ledger
from digitrec.types import Reason
from tests.conftest import ServiceHarness, draw, read_csv


def test_a_picture_gets_a_row_and_its_original_is_archived(harness: ServiceHarness) -> None:
    harness.drop("monday/desk/7.png", draw(7))

    harness.run()

    (row,) = harness.rows()
    assert (row["file"], row["group"], row["page"], row["digit"]) == ("monday/desk/7.png", "monday", "1", "7")
    assert (row["width"], row["height"], row["format"]) == ("60", "80", "png")
    assert harness.originals() == {"monday/desk/7.png": draw(7)}
    assert (harness.inbox / "monday" / "desk").is_dir(), "folders in the inbox are never removed"
    assert (harness.outbox / "latest.csv").read_bytes() == harness.tables()[0].read_bytes()
    (digit,) = read_csv(harness.outbox / f"{row['batch_id']}.digits.csv")
    assert digit["row"] == row["row"]
    assert sum(float(digit[f"p{value}"]) for value in range(10)) == pytest.approx(1, abs=1e-5)
    assert (harness.root / "reports" / row["batch_id"] / "index.html").exists()
    assert harness.account().discrepancies == ()


def test_an_empty_inbox_makes_no_batch(harness: ServiceHarness) -> None:
    harness.run()

    assert harness.tables() == []
    assert harness.account().batches == 0


def test_more_files_than_a_batch_holds_make_several(harness: ServiceHarness) -> None:
    harness.set(batch_files=3)
    for number in range(7):
        harness.drop(f"{number}.png", draw(number))

    harness.run()

    assert sorted(len(read_csv(path)) for path in harness.tables()) == [1, 3, 3]
    assert sorted(row["digit"] for row in harness.rows()) == list("0123456")


def test_a_bad_file_costs_a_row_and_gets_a_reason_file(harness: ServiceHarness) -> None:
    harness.drop("good.png", draw(3))
    harness.drop("bad.png", b"this is no picture")
    harness.drop("empty.png", b"")

    harness.run()

    reasons = {row["file"]: (row["status"], row["reason_code"]) for row in harness.rows()}
    assert reasons["bad.png"] == ("rejected", "not_an_image")
    assert reasons["empty.png"] == ("rejected", "empty_file")
    assert reasons["good.png"][0] != "rejected"
    (reason,) = harness.outbox.glob("rejected/*/bad.png.reason.json")
    assert json.loads(reason.read_text())["reason_code"] == "not_an_image"
    assert harness.originals("rejected") == {"bad.png": b"this is no picture", "empty.png": b""}


def test_a_rejected_row_has_no_answer(harness: ServiceHarness) -> None:
    harness.drop("bad.png", b"this is no picture")

    harness.run()

    (row,) = harness.rows()
    answer = ("text", "digit", "confidence", "runner_up", "runner_up_confidence", "digit_count")
    assert [row[name] for name in answer] == [""] * 6


def test_an_undecodable_fresh_file_is_deferred_then_rejected(harness: ServiceHarness) -> None:
    harness.drop("half.png", draw(7)[:200])

    harness.run(is_old=False)
    assert harness.rows() == []
    assert (harness.inbox / "half.png").exists()
    harness.now_s += 20
    harness.run(is_old=False)
    assert (harness.inbox / "half.png").exists()
    harness.now_s += 11
    harness.run(is_old=False)

    (row,) = harness.rows()
    assert row["reason_code"] == "truncated"
    account = harness.account()
    assert (account.count.deferred, account.count.rejected, account.discrepancies) == (1, 1, ())


def test_a_file_that_is_completed_within_its_grace_is_read(harness: ServiceHarness) -> None:
    path = harness.drop("slow.png", draw(7)[:200])
    harness.run(is_old=False)

    path.write_bytes(draw(7))
    harness.run(is_old=False)

    (row,) = harness.rows()
    assert row["digit"] == "7"


def test_a_file_that_changed_since_the_scan_is_deferred(harness: ServiceHarness) -> None:
    harness.drop("7.png")

    with harness.at_work() as pipeline:
        files = [file._replace(size=file.size - 1) for file in harness.look()]
        pipeline.process_group(files)

    assert (harness.inbox / "7.png").read_bytes() == draw(7)
    assert harness.rows() == []
    assert harness.account().count.deferred == 1


def test_a_writer_that_still_holds_the_file_is_noticed(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = harness.drop("7.png")
    holder = path.open("ab")
    real = os.fstat
    looks = 0

    def fstat(descriptor: int) -> os.stat_result:
        nonlocal looks
        looks += 1
        if looks == 2:
            holder.write(b"more")
            holder.flush()
        return real(descriptor)

    monkeypatch.setattr(read_files.os, "fstat", fstat)
    with holder:
        harness.run()

    assert harness.rows() == []
    assert path.read_bytes() == draw(7) + b"more"


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() == 0 and not hasattr(os, "setresuid"), reason="needs a user without all rights")
@pytest.mark.parametrize(("number", "rejects"), [(errno.EACCES, False), (errno.EIO, True)], ids=["EACCES", "EIO"])
def test_an_unreadable_file_is_retried_and_rejected_only_for_a_broken_disk(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, number: int, rejects: bool
) -> None:
    harness.drop("7.png")
    harness.drop("8.png", draw(8))
    real = os.open

    def failing(path: Any, *rest: Any, **named: Any) -> int:
        if str(path).endswith("7.png") and ".claimed" in str(path):
            raise OSError(number, os.strerror(number))
        return real(path, *rest, **named)

    monkeypatch.setattr(read_files.os, "open", failing)
    for _ in range(5):
        harness.run()
        harness.now_s += 20

    reasons = {row["file"]: row["reason_code"] for row in harness.rows()}
    assert "8.png" in reasons
    assert reasons.get("7.png") == ("io_error" if rejects else None)
    assert (harness.inbox / "7.png").exists() is not rejects
    assert harness.account().discrepancies == ()


def test_a_file_that_may_not_be_moved_waits_and_the_others_are_read(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.drop("locked/7.png")
    harness.drop("8.png", draw(8))
    real = Inbox.claim

    def refused(self: Inbox, batch_id: str, path: str) -> bool:
        if path.startswith("locked/"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(self, batch_id, path)

    with monkeypatch.context() as patch:
        patch.setattr(Inbox, "claim", refused)
        harness.run()
        harness.now_s += 5
        harness.run()
    assert [row["file"] for row in harness.rows()] == ["8.png"]
    harness.run()
    assert len(harness.rows()) == 1, "it is held back"
    harness.now_s += 5
    harness.run()

    assert sorted(row["file"] for row in harness.rows()) == ["8.png", "locked/7.png"]
    assert harness.account().discrepancies == ()


def test_a_link_swapped_in_after_the_scan_is_not_followed(harness: ServiceHarness, tmp_path: Path) -> None:
    harness.drop("7.png")
    secret = tmp_path / "secret.png"
    secret.write_bytes(draw(7))
    with harness.at_work() as pipeline:
        files = harness.look()
        (harness.inbox / "7.png").unlink()
        (harness.inbox / "7.png").symlink_to(secret)
        pipeline.process_group(files)

    assert harness.rows() == []
    assert (harness.inbox / "7.png").is_symlink()
    assert secret.read_bytes() == draw(7)


def test_the_same_bytes_again_are_a_duplicate_of_the_first(harness: ServiceHarness) -> None:
    harness.drop("a.png", draw(7))
    harness.drop("b.png", draw(7))
    harness.run()
    harness.drop("c.png", draw(7))
    harness.run()

    rows = {row["file"]: row for row in harness.rows()}
    first = f"{rows['a.png']['batch_id']}/{rows['a.png']['row']}"
    assert [rows[name]["duplicate_of"] for name in ("a.png", "b.png", "c.png")] == ["", first, first]
    assert {row["text"] for row in rows.values()} == {"7"}


def test_the_same_name_with_other_bytes_is_two_files(harness: ServiceHarness) -> None:
    harness.drop("scan.png", draw(7))
    harness.run()
    harness.drop("scan.png", draw(8))
    harness.run()

    assert sorted(row["digit"] for row in harness.rows()) == ["7", "8"]
    assert sorted(path.read_bytes() for path in harness.outbox.glob("done/*/scan.png")) == sorted([draw(7), draw(8)])


def test_a_deferred_file_with_a_taken_name_gets_a_new_name(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.drop("scan.png", draw(7)[:200])
    real = Inbox.claim

    def claim(self: Inbox, batch_id: str, path: str) -> bool:
        result = real(self, batch_id, path)
        harness.drop("scan.png", draw(8))
        return result

    monkeypatch.setattr(Inbox, "claim", claim)
    harness.run(is_old=False)

    assert (harness.inbox / "scan.png").read_bytes() == draw(8)
    assert (harness.inbox / "scan~2.png").read_bytes() == draw(7)[:200]


def test_a_reason_file_with_a_taken_or_long_name_is_named_by_its_digest(harness: ServiceHarness) -> None:
    harness.drop("bad.png", b"one")
    harness.drop("bad.png.reason.json", b"two")
    harness.drop("x" * 251 + ".png", b"three")

    harness.run()

    assert len(harness.rows()) == 3
    assert harness.originals("rejected").keys() == {"bad.png", "x" * 251 + ".png"}
    assert len(list(harness.outbox.glob("rejected/*/*.reason.json"))) == 4
    assert harness.account().discrepancies == ()


def test_names_are_data(harness: ServiceHarness) -> None:
    hostile = ["=HYPERLINK(1).png", "new\nline.png", "<script>.png", "b\udcff.png", "\u202egnp.7", "100%.png", "'q.png"]
    for number, name in enumerate(hostile):
        harness.drop(name, draw(number))

    harness.run()

    assert sorted(row["file"] for row in harness.rows()) == sorted(
        [
            "'=HYPERLINK(1).png",
            "new%0Aline.png",
            "<script>.png",
            "b%FF.png",
            "%E2%80%AEgnp.7",
            "100%25.png",
            "''q.png",
        ]
    )
    assert [row["file"] for row in harness.rows()] == sorted(row["file"] for row in harness.rows())
    assert harness.originals().keys() == set(hostile)
    page = (harness.root / "reports" / harness.rows()[0]["batch_id"] / "index.html").read_text()
    assert "<script>" not in page


def test_labels_reach_the_row_and_are_filed_away_with_the_last_picture(harness: ServiceHarness) -> None:
    harness.set(batch_files=1)
    harness.drop("set/1.png", draw(1))
    harness.drop("set/2.png", draw(2))
    harness.drop("set/labels.csv", b"file,label\n1.png,1\n2.png,none\n")

    with harness.at_work() as pipeline:
        first, second = sorted(harness.look())
        pipeline.process_group([first])
        assert (harness.inbox / "set" / "labels.csv").exists()
        pipeline.process_group([second])

    assert {row["file"]: row["label"] for row in harness.rows()} == {"set/1.png": "1", "set/2.png": "none"}
    assert not (harness.inbox / "set" / "labels.csv").exists()
    assert len(list(harness.outbox.glob("done/*/set/labels.csv"))) == 1
    account = harness.account()
    assert (account.count.claimed, account.discrepancies) == (2, ())


def test_labels_are_not_looked_up_while_a_picture_waits(harness: ServiceHarness) -> None:
    """Every batch checks its labels; with 100,000 labels that would cost more than reading the pictures."""
    asked: list[str] = []

    class Asked:
        def has_read(self, path: str) -> bool:
            asked.append(path)
            return True

    claims = [Claim("b", f"{number}.png", 1, 1, 1, False, "", outcome=FileOutcome.ACCEPTED) for number in range(8)]
    harness.drop("labels.csv", b"file,label\n" + b"".join(b"%d.png,1\n" % number for number in range(10)))
    outbox = FolderOutbox(harness.outbox, Inbox(harness.inbox, "main"))
    harness.outbox.mkdir()

    harness.drop("9.png")
    outbox.clean_up("b", claims, LabelLookup(harness.inbox), Asked())
    assert ((harness.inbox / "labels.csv").exists(), asked) == (True, [])

    (harness.inbox / "9.png").unlink()
    outbox.clean_up("b", claims, LabelLookup(harness.inbox), Asked())
    assert ((harness.inbox / "labels.csv").exists(), len(asked)) == (False, 10)


def test_a_csv_that_is_no_labels_file_is_a_file_like_any_other(harness: ServiceHarness) -> None:
    harness.drop("labels.csv", b"name;value\n")

    harness.run()

    (row,) = harness.rows()
    assert (row["file"], row["status"]) == ("labels.csv", "rejected")


def test_a_table_that_exists_with_other_bytes_stops_the_batch(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.drop("7.png")
    monkeypatch.setattr("digitrec.text.new_batch_id", lambda _: "20260102T030405Z-00000000")
    (harness.outbox).mkdir()
    strange = harness.outbox / "20260102T030405Z-00000000.csv"
    harness.run()
    strange.write_bytes(b"mine")
    (harness.outbox / "20260102T030405Z-00000000.digits.csv").unlink()
    harness.drop("8.png", draw(8))
    monkeypatch.setattr("digitrec.text.new_batch_id", lambda _: "20260102T030405Z-00000001")
    (harness.outbox / "20260102T030405Z-00000001.csv").write_bytes(b"mine")

    with pytest.raises(FileExistsError):
        harness.run()

    assert (harness.outbox / "20260102T030405Z-00000001.csv").read_bytes() == b"mine"
    (harness.outbox / "20260102T030405Z-00000001.csv").unlink()
    harness.run()
    assert [row["file"] for row in read_csv(harness.outbox / "20260102T030405Z-00000001.csv")] == ["8.png"]


def test_two_processes_cannot_work_as_the_same_worker(harness: ServiceHarness) -> None:
    with harness.at_work(), pytest.raises(BusyError), harness.at_work():
        pass


def test_claims_of_another_worker_are_left_alone(harness: ServiceHarness) -> None:
    theirs = harness.inbox / ".claimed" / "other" / "20260102T030405Z-00000000" / "7.png"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(draw(7))
    harness.drop("8.png", draw(8))

    harness.run()

    assert theirs.exists()
    assert [row["file"] for row in harness.rows()] == ["8.png"]


def test_a_stop_in_the_middle_releases_claims_that_were_not_read(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        harness.drop(f"{number:02}.png", draw(number % 10))
    real = read_files.read_chunk

    def read_chunk(jobs: Sequence[ReadJob], **options: Any) -> list[FileResult]:
        contents = [content for job in jobs[:10] for content in real([job], **options)]
        harness.stopped = True
        return contents + real(jobs[10:], **options)

    with monkeypatch.context() as patch:
        patch.setattr(read_files, "read_chunk", read_chunk)
        harness.run()
    assert len(harness.rows()) == 10
    assert len(harness.look()) == 30
    harness.stopped = False
    harness.run()

    assert sorted(row["file"] for row in harness.rows()) == [f"{number:02}.png" for number in range(40)]
    assert harness.account().count.deferred == 30
    assert harness.account().discrepancies == ()


def test_larger_files_are_read_by_the_half_as_many_at_a_time() -> None:
    claims = [
        Claim("batch", str(number), number, size, 0, True, "")
        for number, size in enumerate([500] * 20 + [2_000_000] * 10 + [500] * 3)
    ]

    chunks = [*make_chunks(claims)]

    assert [claim for chunk in chunks for claim in chunk] == claims
    assert [len(chunk) for chunk in chunks] == [16, 10, 7]


class Mortal:
    """Worker process that dies of one file."""

    def __init__(self, poison: str) -> None:
        self.poison = poison
        self.deaths = 0

    def call(self, function: Any, argument: list[ReadJob], stopped: Any) -> Any:
        if Path(str(argument[0].path)).name == self.poison:
            self.deaths += 1
            raise WorkerCrashed
        return function(argument)

    def stop(self) -> None:
        pass


def test_a_file_that_kills_the_reader_three_times_is_rejected_alone(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.drop("good.png", draw(3))
    harness.drop("poison.png", draw(4))
    harness.child = Mortal("poison.png")

    def overrun(*_: object) -> Any:
        raise ChunkTimeout
        yield  # a generator, as an executor returns it

    with harness.at_work() as pipeline:
        monkeypatch.setattr(type(pipeline.reader.executor), "map", overrun)
        counts = list(pipeline.process_groups([sorted(harness.look())]))

    assert {row["file"]: row["reason_code"] == "crashes_reader" for row in harness.rows()} == {
        "good.png": False,
        "poison.png": True,
    }
    assert harness.child.deaths == 3
    assert sum(counts, OutcomeCounts()) == OutcomeCounts(accepted=1, rejected=1)


def _die(_: object) -> None:
    os._exit(3)


def _sleep(_: object) -> None:
    time.sleep(60)


@pytest.mark.slow
@pytest.mark.parametrize("function", [_die, _sleep], ids=["dies", "hangs"])
def test_a_child_that_dies_or_hangs_is_noticed_and_followed_by_another(function: Any) -> None:
    child = WorkerProcess(timeout_s=2.0 if function is _sleep else 20.0)
    try:
        with pytest.raises(WorkerCrashed):
            child.call(function, None, running)
        child = WorkerProcess(timeout_s=20.0)
        assert child.call(abs, -3, running) == 3
        with pytest.raises(ZeroDivisionError):
            child.call(_divide, 0, running)
        assert child.call(abs, -4, running) == 4
    finally:
        child.stop()


def running() -> bool:
    return False


def _divide(number: int) -> float:
    return 1 / number


def test_a_missing_or_emptied_folder_is_an_unmounted_share(harness: ServiceHarness) -> None:
    harness.drop("7.png")
    harness.run()
    (harness.outbox / ".digitrec-folder").rename(harness.root / "kept")
    harness.outbox.rename(harness.root / "away")

    with pytest.raises(EnvironmentFailure, match="missing"):
        harness.run()
    harness.outbox.mkdir()
    with pytest.raises(EnvironmentFailure, match="empty"):
        harness.run()
    assert list(harness.outbox.iterdir()) == []


def test_a_folder_that_lost_only_its_marker_gets_it_again(harness: ServiceHarness) -> None:
    harness.drop("7.png")
    harness.run()
    marker = harness.outbox / ".digitrec-folder"
    before = marker.read_bytes()
    marker.unlink()

    harness.run()

    assert marker.read_bytes() == before


def test_another_folder_in_the_place_of_the_inbox_is_refused(harness: ServiceHarness) -> None:
    harness.drop("7.png")
    harness.run()
    (harness.inbox / ".digitrec-folder").write_text("0" * 32)

    with pytest.raises(EnvironmentFailure, match="another"):
        harness.run()


def test_rejection_reasons_are_in_words(harness: ServiceHarness) -> None:
    harness.drop("bad.png", b"no picture")

    harness.run()

    assert harness.rows()[0]["reason"]
    assert {reason.description for reason in Reason} != {""}


def test_an_outbox_removed_during_a_batch_is_not_recreated(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.drop("7.png")
    real = FolderOutbox.publish

    def unmounted(*args: Any) -> None:
        real(*args)
        harness.outbox.rename(harness.root / "away")

    with monkeypatch.context() as patch:
        patch.setattr(FolderOutbox, "publish", unmounted)
        with pytest.raises(EnvironmentFailure, match="missing"):
            harness.run()
    assert not harness.outbox.exists()
    (harness.root / "away").rename(harness.outbox)

    harness.run()

    assert harness.originals() == {"7.png": draw(7)}
    assert harness.account().discrepancies == ()


def test_the_age_before_the_first_claim_counts_also_after_a_stop(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.drop("junk.png", draw(7)[:200])
    harness.stopped = True
    harness.run()
    assert (harness.inbox / "junk.png").exists()
    harness.stopped = False

    harness.run(is_old=False)

    assert [row["reason_code"] for row in harness.rows()] == ["truncated"]


def test_a_disk_that_reads_nothing_rejects_nothing(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness.drop("7.png")
    harness.drop("8.png", draw(8))
    real = os.open

    def failing(path: Any, *rest: Any, **named: Any) -> int:
        if ".claimed" in str(path) and str(path).endswith(".png"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(read_files.os, "open", failing)
        for _ in range(6):
            harness.run()
            harness.now_s += 60
    assert harness.rows() == []

    harness.now_s += 600
    harness.run()

    assert [row["status"] for row in harness.rows()].count("rejected") == 0
    assert len(harness.rows()) == 2


def test_a_path_too_long_to_claim_waits_and_the_others_are_read(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.drop("a/7.png")
    harness.drop("z.png", draw(8))
    real = Inbox.claim

    def refused(self: Inbox, batch_id: str, path: str) -> None:
        if path.startswith("a/"):
            raise OSError(errno.ENAMETOOLONG, "File name too long")
        real(self, batch_id, path)

    monkeypatch.setattr(Inbox, "claim", refused)
    harness.run()

    assert [row["file"] for row in harness.rows()] == ["z.png"]
    assert (harness.inbox / "a" / "7.png").exists()


@pytest.mark.parametrize(("name", "plain"), [("a:b.png", "a_b~2.png"), ("scan 1.5 10:30", "scan 1~2.5 10_30")])
def test_a_name_that_the_outbox_refuses_is_made_plain(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, name: str, plain: str
) -> None:
    harness.drop(name)
    real = files.rename_exclusive

    def refuses_colons(source: Path | str, target: Path | str) -> None:
        if ":" in Path(target).name and "done" in Path(target).parts:
            raise OSError(errno.EINVAL, "Invalid argument")
        real(source, target)

    monkeypatch.setattr(files, "rename_exclusive", refuses_colons)
    harness.run()

    assert harness.originals() == {plain: draw(7)}
    assert harness.account().discrepancies == ()


def test_a_labels_file_that_breaks_off_costs_no_picture(harness: ServiceHarness) -> None:
    harness.drop("7.png")
    harness.drop("labels.csv", b'file,label\n7.png,7\n,\n"' + b"x" * 200_000)

    harness.run()

    (row,) = harness.rows()
    assert (row["file"], row["label"]) == ("7.png", "7")


def test_what_another_worker_answered_is_a_duplicate_and_counts_for_labels(harness: ServiceHarness) -> None:
    harness.drop("set/1.png", draw(1))
    harness.drop("set/2.png", draw(2))
    harness.drop("set/labels.csv", b"file,label\n1.png,1\n2.png,2\n")
    with harness.at_work() as pipeline:
        pipeline.process_group(sorted(harness.look())[:1])
    first_row = harness.rows()[0]
    harness.set(worker="right")
    harness.drop("again.png", draw(1))

    path = harness.root / ".digitrec/main/ledger.sqlite3"
    with harness.at_work() as pipeline, closing(Ledger.open_readonly(path)) as other:
        pipeline.outcome_builder.others.append(other)
        pipeline.process_group(sorted(harness.look()))

    rows = {row["file"]: row for row in harness.rows()}
    assert rows["again.png"]["duplicate_of"] == f"{first_row['batch_id']}/{first_row['row']}"
    assert not (harness.inbox / "set" / "labels.csv").exists()
    assert harness.account().discrepancies == ()


def test_a_damaged_ledger_of_another_worker_is_ignored(
    harness: ServiceHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.drop("7.png")
    broken = harness.root / "broken.sqlite3"
    broken.write_bytes(b"SQLite format 3\0" + b"\xff" * 4000)

    with harness.at_work() as pipeline, closing(Ledger.open_readonly(broken)) as other:
        pipeline.outcome_builder.others.append(other)
        pipeline.process_group(harness.look())

    assert [row["file"] for row in harness.rows()] == ["7.png"]
    assert "another worker's ledger cannot be read" in caplog.messages
