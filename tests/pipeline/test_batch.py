"""From the inbox to the outbox, by hand: every rule for files, without a sleep."""

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
from digitrec.pipeline import archive, read_files
from digitrec.pipeline.archive import FolderOutbox
from digitrec.pipeline.batch_reader import make_chunks
from digitrec.pipeline.chunk_queue import ChunkTimeout
from digitrec.pipeline.inbox import Inbox
from digitrec.pipeline.labels import Truth
from digitrec.pipeline.read_files import Content, Job
from digitrec.pipeline.worker_process import WorkerCrashed, WorkerProcess
from digitrec.storage.ledger import Ledger
from digitrec.types import Claim, Count, Fate, Reason
from tests.conftest import Desk, draw, read_csv


def test_a_picture_gets_its_row_and_its_original_is_kept(desk: Desk) -> None:
    desk.drop("monday/desk/7.png", draw(7))

    desk.run()

    (row,) = desk.rows()
    assert (row["file"], row["group"], row["page"], row["digit"]) == ("monday/desk/7.png", "monday", "1", "7")
    assert (row["width"], row["height"], row["format"]) == ("60", "80", "png")
    assert desk.originals() == {"monday/desk/7.png": draw(7)}
    assert (desk.inbox / "monday" / "desk").is_dir(), "folders in the inbox are never removed"
    assert (desk.outbox / "latest.csv").read_bytes() == desk.tables()[0].read_bytes()
    (digit,) = read_csv(desk.outbox / f"{row['batch_id']}.digits.csv")
    assert digit["row"] == row["row"]
    assert sum(float(digit[f"p{each}"]) for each in range(10)) == pytest.approx(1, abs=1e-5)
    assert (desk.root / "reports" / row["batch_id"] / "index.html").exists()
    assert desk.account().differences == ()


def test_an_empty_inbox_makes_no_batch(desk: Desk) -> None:
    desk.run()

    assert desk.tables() == []
    assert desk.account().batches == 0


def test_more_files_than_a_batch_holds_make_several(desk: Desk) -> None:
    desk.set(batch_files=3)
    for number in range(7):
        desk.drop(f"{number}.png", draw(number))

    desk.run()

    assert sorted(len(read_csv(path)) for path in desk.tables()) == [1, 3, 3]
    assert sorted(row["digit"] for row in desk.rows()) == list("0123456")


def test_a_bad_file_costs_one_row_and_gets_a_reason_file(desk: Desk) -> None:
    desk.drop("good.png", draw(3))
    desk.drop("bad.png", b"this is no picture")
    desk.drop("empty.png", b"")

    desk.run()

    found = {row["file"]: (row["status"], row["reason_code"]) for row in desk.rows()}
    assert found["bad.png"] == ("rejected", "not_an_image")
    assert found["empty.png"] == ("rejected", "empty_file")
    assert found["good.png"][0] != "rejected"
    (reason,) = desk.outbox.glob("rejected/*/bad.png.reason.json")
    assert json.loads(reason.read_text())["reason_code"] == "not_an_image"
    assert desk.originals("rejected") == {"bad.png": b"this is no picture", "empty.png": b""}


def test_a_rejected_row_has_no_answer(desk: Desk) -> None:
    desk.drop("bad.png", b"this is no picture")

    desk.run()

    (row,) = desk.rows()
    answer = ("text", "digit", "confidence", "runner_up", "runner_up_confidence", "digit_count")
    assert [row[name] for name in answer] == [""] * 6


def test_an_undecodable_fresh_file_is_deferred_then_rejected(desk: Desk) -> None:
    desk.drop("half.png", draw(7)[:200])

    desk.run(is_old=False)
    assert desk.rows() == []
    assert (desk.inbox / "half.png").exists()
    desk.now_s += 20
    desk.run(is_old=False)
    assert (desk.inbox / "half.png").exists()
    desk.now_s += 11
    desk.run(is_old=False)

    (row,) = desk.rows()
    assert row["reason_code"] == "truncated"
    account = desk.account()
    assert (account.count.deferred, account.count.rejected, account.differences) == (1, 1, ())


def test_a_file_that_is_completed_within_its_grace_is_read(desk: Desk) -> None:
    path = desk.drop("slow.png", draw(7)[:200])
    desk.run(is_old=False)

    path.write_bytes(draw(7))
    desk.run(is_old=False)

    (row,) = desk.rows()
    assert row["digit"] == "7"


def test_a_file_that_changed_since_the_scan_is_deferred(desk: Desk) -> None:
    desk.drop("7.png")

    with desk.at_work() as line:
        seen = [one._replace(size=one.size - 1) for one in desk.look()]
        line.process(seen)

    assert (desk.inbox / "7.png").read_bytes() == draw(7)
    assert desk.rows() == []
    assert desk.account().count.deferred == 1


def test_a_writer_that_still_holds_the_file_is_noticed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    path = desk.drop("7.png")
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
        desk.run()

    assert desk.rows() == []
    assert path.read_bytes() == draw(7) + b"more"


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() == 0 and not hasattr(os, "setresuid"), reason="needs a user without all rights")
@pytest.mark.parametrize(("number", "rejects"), [(errno.EACCES, False), (errno.EIO, True)], ids=["EACCES", "EIO"])
def test_an_unreadable_file_is_retried_and_rejected_only_for_a_broken_disk(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, number: int, rejects: bool
) -> None:
    desk.drop("7.png")
    desk.drop("8.png", draw(8))
    real = os.open

    def failing(path: Any, *rest: Any, **named: Any) -> int:
        if str(path).endswith("7.png") and ".claimed" in str(path):
            raise OSError(number, os.strerror(number))
        return real(path, *rest, **named)

    monkeypatch.setattr(read_files.os, "open", failing)
    for _ in range(5):
        desk.run()
        desk.now_s += 20

    found = {row["file"]: row["reason_code"] for row in desk.rows()}
    assert "8.png" in found
    assert found.get("7.png") == ("io_error" if rejects else None)
    assert (desk.inbox / "7.png").exists() is not rejects
    assert desk.account().differences == ()


def test_a_file_that_may_not_be_moved_waits_and_the_others_are_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.drop("locked/7.png")
    desk.drop("8.png", draw(8))
    real = Inbox.claim

    def refused(self: Inbox, batch_id: str, path: str) -> bool:
        if path.startswith("locked/"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(self, batch_id, path)

    with monkeypatch.context() as patch:
        patch.setattr(Inbox, "claim", refused)
        desk.run()
        desk.now_s += 5
        desk.run()
    assert [row["file"] for row in desk.rows()] == ["8.png"]
    desk.run()
    assert len(desk.rows()) == 1, "it is held back"
    desk.now_s += 5
    desk.run()

    assert sorted(row["file"] for row in desk.rows()) == ["8.png", "locked/7.png"]
    assert desk.account().differences == ()


def test_a_link_swapped_in_after_the_scan_is_not_followed(desk: Desk, tmp_path: Path) -> None:
    desk.drop("7.png")
    secret = tmp_path / "secret.png"
    secret.write_bytes(draw(7))
    with desk.at_work() as line:
        seen = desk.look()
        (desk.inbox / "7.png").unlink()
        (desk.inbox / "7.png").symlink_to(secret)
        line.process(seen)

    assert desk.rows() == []
    assert (desk.inbox / "7.png").is_symlink()
    assert secret.read_bytes() == draw(7)


def test_the_same_bytes_again_are_a_duplicate_of_the_first(desk: Desk) -> None:
    desk.drop("a.png", draw(7))
    desk.drop("b.png", draw(7))
    desk.run()
    desk.drop("c.png", draw(7))
    desk.run()

    rows = {row["file"]: row for row in desk.rows()}
    first = f"{rows['a.png']['batch_id']}/{rows['a.png']['row']}"
    assert [rows[name]["duplicate_of"] for name in ("a.png", "b.png", "c.png")] == ["", first, first]
    assert {row["text"] for row in rows.values()} == {"7"}


def test_the_same_name_with_other_bytes_is_two_files(desk: Desk) -> None:
    desk.drop("scan.png", draw(7))
    desk.run()
    desk.drop("scan.png", draw(8))
    desk.run()

    assert sorted(row["digit"] for row in desk.rows()) == ["7", "8"]
    assert sorted(path.read_bytes() for path in desk.outbox.glob("done/*/scan.png")) == sorted([draw(7), draw(8)])


def test_a_deferred_file_with_a_taken_name_gets_a_new_name(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.drop("scan.png", draw(7)[:200])
    real = Inbox.claim

    def claim(self: Inbox, batch_id: str, path: str) -> bool:
        done = real(self, batch_id, path)
        desk.drop("scan.png", draw(8))
        return done

    monkeypatch.setattr(Inbox, "claim", claim)
    desk.run(is_old=False)

    assert (desk.inbox / "scan.png").read_bytes() == draw(8)
    assert (desk.inbox / "scan~2.png").read_bytes() == draw(7)[:200]


def test_a_reason_file_with_a_taken_or_long_name_is_named_by_its_digest(desk: Desk) -> None:
    desk.drop("bad.png", b"one")
    desk.drop("bad.png.reason.json", b"two")
    desk.drop("x" * 251 + ".png", b"three")

    desk.run()

    assert len(desk.rows()) == 3
    assert desk.originals("rejected").keys() == {"bad.png", "x" * 251 + ".png"}
    assert len(list(desk.outbox.glob("rejected/*/*.reason.json"))) == 4
    assert desk.account().differences == ()


def test_names_are_data(desk: Desk) -> None:
    hostile = ["=HYPERLINK(1).png", "new\nline.png", "<script>.png", "b\udcff.png", "\u202egnp.7", "100%.png", "'q.png"]
    for number, name in enumerate(hostile):
        desk.drop(name, draw(number))

    desk.run()

    assert sorted(row["file"] for row in desk.rows()) == sorted(
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
    assert [row["file"] for row in desk.rows()] == sorted(row["file"] for row in desk.rows())
    assert desk.originals().keys() == set(hostile)
    page = (desk.root / "reports" / desk.rows()[0]["batch_id"] / "index.html").read_text()
    assert "<script>" not in page


def test_labels_reach_the_row_and_are_filed_away_with_the_last_picture(desk: Desk) -> None:
    desk.set(batch_files=1)
    desk.drop("set/1.png", draw(1))
    desk.drop("set/2.png", draw(2))
    desk.drop("set/labels.csv", b"file,label\n1.png,1\n2.png,none\n")

    with desk.at_work() as line:
        first, second = sorted(desk.look())
        line.process([first])
        assert (desk.inbox / "set" / "labels.csv").exists()
        line.process([second])

    assert {row["file"]: row["label"] for row in desk.rows()} == {"set/1.png": "1", "set/2.png": "none"}
    assert not (desk.inbox / "set" / "labels.csv").exists()
    assert len(list(desk.outbox.glob("done/*/set/labels.csv"))) == 1
    account = desk.account()
    assert (account.count.claimed, account.differences) == (2, ())


def test_labels_are_not_asked_one_by_one_as_long_as_a_picture_waits(desk: Desk) -> None:
    """Each batch asks; with 100,000 labels that would cost more than to read the pictures."""
    asked: list[str] = []

    class Asked:
        def has_read(self, path: str) -> bool:
            asked.append(path)
            return True

    claims = [Claim("b", f"{number}.png", 1, 1, 1, False, "", fate=Fate.ACCEPTED) for number in range(8)]
    desk.drop("labels.csv", b"file,label\n" + b"".join(b"%d.png,1\n" % number for number in range(10)))
    inbox = Inbox(desk.inbox, "main")
    desk.outbox.mkdir()

    desk.drop("9.png")
    archive.file_labels("b", claims, Truth(desk.inbox), Asked(), inbox, desk.outbox)
    assert ((desk.inbox / "labels.csv").exists(), asked) == (True, [])

    (desk.inbox / "9.png").unlink()
    archive.file_labels("b", claims, Truth(desk.inbox), Asked(), inbox, desk.outbox)
    assert ((desk.inbox / "labels.csv").exists(), len(asked)) == (False, 10)


def test_a_csv_that_is_no_labels_file_is_a_file_like_any_other(desk: Desk) -> None:
    desk.drop("labels.csv", b"name;value\n")

    desk.run()

    (row,) = desk.rows()
    assert (row["file"], row["status"]) == ("labels.csv", "rejected")


def test_a_table_that_exists_with_other_bytes_stops_the_batch(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.drop("7.png")
    monkeypatch.setattr("digitrec.text.new_batch_id", lambda _: "20260102T030405Z-00000000")
    (desk.outbox).mkdir()
    strange = desk.outbox / "20260102T030405Z-00000000.csv"
    desk.run()
    strange.write_bytes(b"mine")
    (desk.outbox / "20260102T030405Z-00000000.digits.csv").unlink()
    desk.drop("8.png", draw(8))
    monkeypatch.setattr("digitrec.text.new_batch_id", lambda _: "20260102T030405Z-00000001")
    (desk.outbox / "20260102T030405Z-00000001.csv").write_bytes(b"mine")

    with pytest.raises(FileExistsError):
        desk.run()

    assert (desk.outbox / "20260102T030405Z-00000001.csv").read_bytes() == b"mine"
    (desk.outbox / "20260102T030405Z-00000001.csv").unlink()
    desk.run()
    assert [row["file"] for row in read_csv(desk.outbox / "20260102T030405Z-00000001.csv")] == ["8.png"]


def test_two_processes_cannot_work_as_the_same_worker(desk: Desk) -> None:
    with desk.at_work(), pytest.raises(BusyError), desk.at_work():
        pass


def test_claims_of_another_worker_are_left_alone(desk: Desk) -> None:
    theirs = desk.inbox / ".claimed" / "other" / "20260102T030405Z-00000000" / "7.png"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(draw(7))
    desk.drop("8.png", draw(8))

    desk.run()

    assert theirs.exists()
    assert [row["file"] for row in desk.rows()] == ["8.png"]


def test_a_stop_in_the_middle_releases_claims_that_were_not_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        desk.drop(f"{number:02}.png", draw(number % 10))
    real = read_files.read_chunk

    def read_chunk(jobs: Sequence[Job], **given: Any) -> list[Content]:
        contents = [content for job in jobs[:10] for content in real([job], **given)]
        desk.stopped = True
        return contents + real(jobs[10:], **given)

    with monkeypatch.context() as patch:
        patch.setattr(read_files, "read_chunk", read_chunk)
        desk.run()
    assert len(desk.rows()) == 10
    assert len(desk.look()) == 30
    desk.stopped = False
    desk.run()

    assert sorted(row["file"] for row in desk.rows()) == [f"{number:02}.png" for number in range(40)]
    assert desk.account().count.deferred == 30
    assert desk.account().differences == ()


def test_larger_files_are_read_by_the_half_as_many_at_a_time() -> None:
    claims = [
        Claim("batch", str(number), number, size, 0, True, "")
        for number, size in enumerate([500] * 20 + [2_000_000] * 10 + [500] * 3)
    ]

    found = [*make_chunks(claims)]

    assert [claim for chunk in found for claim in chunk] == claims
    assert [len(chunk) for chunk in found] == [16, 10, 7]


class Mortal:
    """A child that dies of one file."""

    def __init__(self, poison: str) -> None:
        self.poison = poison
        self.deaths = 0

    def call(self, function: Any, argument: list[Job], stopped: Any) -> Any:
        if Path(str(argument[0].path)).name == self.poison:
            self.deaths += 1
            raise WorkerCrashed
        return function(argument)

    def stop(self) -> None:
        pass


def test_a_file_that_kills_the_reader_three_times_is_rejected_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.drop("good.png", draw(3))
    desk.drop("poison.png", draw(4))
    desk.child = Mortal("poison.png")

    def overrun(*_: object) -> Any:
        raise ChunkTimeout
        yield  # as an engine's results do, once they are asked for

    with desk.at_work() as line:
        monkeypatch.setattr(type(line.engine), "map", overrun)
        counts = list(line.process_all([sorted(desk.look())]))

    assert {row["file"]: row["reason_code"] == "crashes_reader" for row in desk.rows()} == {
        "good.png": False,
        "poison.png": True,
    }
    assert desk.child.deaths == 3
    assert sum(counts, Count()) == Count(accepted=1, rejected=1)


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


def test_a_missing_or_emptied_folder_is_an_unmounted_share(desk: Desk) -> None:
    desk.drop("7.png")
    desk.run()
    (desk.outbox / ".digitrec-folder").rename(desk.root / "kept")
    desk.outbox.rename(desk.root / "away")

    with pytest.raises(EnvironmentFailure, match="missing"):
        desk.run()
    desk.outbox.mkdir()
    with pytest.raises(EnvironmentFailure, match="empty"):
        desk.run()
    assert list(desk.outbox.iterdir()) == []


def test_a_folder_that_lost_only_its_marker_gets_it_again(desk: Desk) -> None:
    desk.drop("7.png")
    desk.run()
    marker = desk.outbox / ".digitrec-folder"
    before = marker.read_bytes()
    marker.unlink()

    desk.run()

    assert marker.read_bytes() == before


def test_another_folder_in_the_place_of_the_inbox_is_refused(desk: Desk) -> None:
    desk.drop("7.png")
    desk.run()
    (desk.inbox / ".digitrec-folder").write_text("0" * 32)

    with pytest.raises(EnvironmentFailure, match="another"):
        desk.run()


def test_rejection_reasons_are_in_words(desk: Desk) -> None:
    desk.drop("bad.png", b"no picture")

    desk.run()

    assert desk.rows()[0]["reason"]
    assert {reason.words for reason in Reason} != {""}


def test_an_outbox_removed_during_a_batch_is_not_recreated(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.drop("7.png")
    real = FolderOutbox.publish

    def unmounted(*given: Any) -> None:
        real(*given)
        desk.outbox.rename(desk.root / "away")

    with monkeypatch.context() as patch:
        patch.setattr(FolderOutbox, "publish", unmounted)
        with pytest.raises(EnvironmentFailure, match="missing"):
            desk.run()
    assert not desk.outbox.exists()
    (desk.root / "away").rename(desk.outbox)

    desk.run()

    assert desk.originals() == {"7.png": draw(7)}
    assert desk.account().differences == ()


def test_the_age_before_the_first_claim_counts_also_after_a_stop(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.drop("junk.png", draw(7)[:200])
    desk.stopped = True
    desk.run()
    assert (desk.inbox / "junk.png").exists()
    desk.stopped = False

    desk.run(is_old=False)

    assert [row["reason_code"] for row in desk.rows()] == ["truncated"]


def test_a_disk_that_reads_nothing_rejects_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.drop("7.png")
    desk.drop("8.png", draw(8))
    real = os.open

    def failing(path: Any, *rest: Any, **named: Any) -> int:
        if ".claimed" in str(path) and str(path).endswith(".png"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(read_files.os, "open", failing)
        for _ in range(6):
            desk.run()
            desk.now_s += 60
    assert desk.rows() == []

    desk.now_s += 600
    desk.run()

    assert [row["status"] for row in desk.rows()].count("rejected") == 0
    assert len(desk.rows()) == 2


def test_a_path_too_long_to_claim_waits_and_the_others_are_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.drop("a/7.png")
    desk.drop("z.png", draw(8))
    real = Inbox.claim

    def refused(self: Inbox, batch_id: str, path: str) -> None:
        if path.startswith("a/"):
            raise OSError(errno.ENAMETOOLONG, "File name too long")
        real(self, batch_id, path)

    monkeypatch.setattr(Inbox, "claim", refused)
    desk.run()

    assert [row["file"] for row in desk.rows()] == ["z.png"]
    assert (desk.inbox / "a" / "7.png").exists()


def test_a_name_that_the_outbox_refuses_is_made_plain(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.drop("a:b.png")
    real = files.move_new

    def refuses_colons(source: Path | str, target: Path | str) -> None:
        if ":" in Path(target).name and "done" in Path(target).parts:
            raise OSError(errno.EINVAL, "Invalid argument")
        real(source, target)

    monkeypatch.setattr(files, "move_new", refuses_colons)
    desk.run()

    assert desk.originals() == {"a_b~2.png": draw(7)}
    assert desk.account().differences == ()


def test_a_labels_file_that_breaks_off_costs_no_picture(desk: Desk) -> None:
    desk.drop("7.png")
    desk.drop("labels.csv", b'file,label\n7.png,7\n,\n"' + b"x" * 200_000)

    desk.run()

    (row,) = desk.rows()
    assert (row["file"], row["label"]) == ("7.png", "7")


def test_what_another_worker_answered_is_a_duplicate_and_counts_for_labels(desk: Desk) -> None:
    desk.drop("set/1.png", draw(1))
    desk.drop("set/2.png", draw(2))
    desk.drop("set/labels.csv", b"file,label\n1.png,1\n2.png,2\n")
    with desk.at_work() as line:
        line.process(sorted(desk.look())[:1])
    left = desk.rows()[0]
    desk.set(worker="right")
    desk.drop("again.png", draw(1))

    with desk.at_work() as line, closing(Ledger.read_only(desk.root / ".digitrec/main/ledger.sqlite3")) as other:
        line.answering.others.append(other)
        line.process(sorted(desk.look()))

    rows = {row["file"]: row for row in desk.rows()}
    assert rows["again.png"]["duplicate_of"] == f"{left['batch_id']}/{left['row']}"
    assert not (desk.inbox / "set" / "labels.csv").exists()
    assert desk.account().differences == ()


def test_a_damaged_ledger_of_another_worker_disturbs_no_one(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.drop("7.png")
    broken = desk.root / "broken.sqlite3"
    broken.write_bytes(b"SQLite format 3\0" + b"\xff" * 4000)

    with desk.at_work() as line, closing(Ledger.read_only(broken)) as other:
        line.answering.others.append(other)
        line.process(desk.look())

    assert [row["file"] for row in desk.rows()] == ["7.png"]
    assert "another worker's ledger cannot be asked" in caplog.messages
