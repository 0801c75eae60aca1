"""What could keep the service from its work, one line each, with the cure."""

import errno
import os
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from digitrec.images import threads
from digitrec.monitoring import folder_checks
from digitrec.monitoring.doctor import check_clock, check_events, run_checks
from digitrec.monitoring.folder_checks import Check, Severity
from digitrec.monitoring.heartbeat import HeartbeatWriter
from digitrec.monitoring.status import ModelStatus
from digitrec.pipeline.ledgers import open_readable_ledgers
from digitrec.storage import folder_id
from digitrec.storage.migrations import get_backup_path
from tests.conftest import RunCommand, ServiceHarness
from tests.older_ledgers import make_older

pytestmark = pytest.mark.slow


def look(harness: ServiceHarness, model: ModelStatus | None = None, now_s: float | None = None) -> list[Check]:
    with open_readable_ledgers(harness.settings) as ledgers:
        return list(run_checks(harness.settings, ledgers, model or ModelStatus("test"), now_s or time.time()))


def bad(findings: list[Check]) -> list[tuple[str, str]]:
    """What is no `ok`, with the grade; every one has a detail, every fault a cure."""
    assert all(one.detail for one in findings)
    assert all(one.fix for one in findings if one.severity is Severity.FAILED)
    return [
        (one.severity, one.subject)
        for one in findings
        if one.severity is not Severity.PASSED and not one.subject.endswith(" room")
    ]


@pytest.fixture
def used(harness: ServiceHarness) -> ServiceHarness:
    """A workspace with a batch, read without file system events: their limits differ between machines."""
    harness.now_s = time.time()
    harness.drop("7.png")
    harness.run()
    harness.set(watch_mode="scan")
    return harness


def test_a_sound_workspace_has_no_fault_and_is_not_changed(used: ServiceHarness) -> None:
    def files() -> list[str]:
        return sorted(str(path) for path in used.root.rglob("*") if "sqlite3-" not in path.name)

    before = files()

    assert bad(look(used)) == []
    assert files() == before


def test_before_the_first_use_there_is_nothing_to_complain_of(harness: ServiceHarness, run_command: RunCommand) -> None:
    harness.inbox.rmdir()

    assert {grade for grade, _ in bad(look(harness))} == {Severity.WARNING}
    assert run_command("doctor").code == 0


@pytest.mark.parametrize("name", ["inbox", "outbox"])
def test_a_folder_that_is_gone_is_a_fault(used: ServiceHarness, name: str) -> None:
    (used.root / name).rename(used.root / "away")

    assert (Severity.FAILED, name) in bad(look(used))


def test_an_empty_or_replaced_folder_is_a_fault_and_a_lost_marker_a_note(used: ServiceHarness) -> None:
    marker = used.outbox / ".digitrec-folder"
    known = marker.read_text()

    marker.write_text("0" * 32)
    assert bad(look(used)) == [(Severity.FAILED, "outbox")]
    marker.unlink()
    assert bad(look(used)) == [(Severity.WARNING, "outbox")]
    used.outbox.rename(used.root / "away")
    used.outbox.mkdir()
    assert bad(look(used)) == [(Severity.FAILED, "outbox")]
    assert list(used.outbox.iterdir()) == []
    assert known


def test_a_full_disk_is_reported_with_the_advice_to_free_space(
    used: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_rest: Any, **_named: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(folder_checks.tempfile, "NamedTemporaryFile", refused)

    cures = [one.fix for one in look(used) if "No space left on device" in one.detail]
    assert len(cures) == 4
    assert all("Make room" in cure and "chmod" not in cure for cure in cures)


def test_a_limit_on_memory_too_low_to_read_is_a_fault(used: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads.resource, "getrlimit", lambda _: (256_000_000, 256_000_000))

    (one,) = [each for each in look(used) if each.severity is Severity.FAILED]

    assert one.subject == "memory"
    assert "256 MB" in one.detail
    assert "ulimit -v" in one.fix


@pytest.mark.parametrize("name", ["inbox", "outbox", "reports", ".digitrec"])
def test_rights_are_really_tried(used: ServiceHarness, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real = tempfile.NamedTemporaryFile

    def refused(*rest: Any, dir: Path, **named: Any) -> Any:
        if Path(dir).name == name:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(*rest, dir=dir, **named)

    monkeypatch.setattr(folder_checks.tempfile, "NamedTemporaryFile", refused)

    (one,) = [each for each in look(used) if each.severity is Severity.FAILED]
    assert one.subject == name.replace(".digitrec", "state")
    assert "Read-only file system" in one.detail


def test_a_folder_that_takes_no_fsync_is_noted_with_its_meaning(
    used: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def refused(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(descriptor)

    monkeypatch.setattr(folder_checks.files.os, "fsync", refused)

    found = look(used)

    assert bad(found) == [(Severity.WARNING, "inbox"), (Severity.WARNING, "outbox"), (Severity.WARNING, "state")]
    assert f"{used.inbox} takes no fsync (Invalid argument): a power cut can undo the newest renames" in [
        one.detail for one in found
    ]


@pytest.mark.parametrize("name", ["inbox", "outbox", "reports", ".digitrec"])
def test_a_file_where_a_folder_should_be_is_a_fault(used: ServiceHarness, name: str) -> None:
    (used.root / name).rename(used.root / "away")
    (used.root / name).write_text("no folder")

    (found,) = [one for one in look(used) if one.severity is Severity.FAILED]

    assert found.detail == f"{used.root / name} is not a folder"


def test_a_folder_whose_clock_differs_is_noted(used: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr(folder_checks.time, "time", lambda: real() + 60)

    assert (Severity.WARNING, "inbox") in bad(look(used, now_s=real()))


def test_a_full_disk_is_a_fault_and_a_disk_that_fills_is_noted(
    used: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Room:
        f_frsize, f_files, f_favail = 4096, 1_000_000, 500_000
        f_bavail = 10

    def grades() -> set[Severity]:
        return {one.severity for one in look(used) if one.subject.endswith(" room")}

    monkeypatch.setattr(folder_checks.os, "statvfs", lambda _: Room)
    assert grades() == {Severity.FAILED}
    Room.f_bavail = 500_000_000 // 4096
    assert grades() == {Severity.WARNING}
    Room.f_bavail = 10**9
    assert grades() == {Severity.PASSED}
    Room.f_favail = 10
    assert grades() == {Severity.FAILED}
    Room.f_files = 0
    assert grades() == {Severity.PASSED}


def test_claims_on_another_filesystem_are_a_fault(used: ServiceHarness) -> None:
    (used.inbox / ".claimed").rename(used.root / "claimed")
    (used.inbox / ".claimed").symlink_to(used.root / "claimed")

    assert (Severity.FAILED, "claiming") in bad(look(used))


def test_an_inbox_that_forbids_renames_is_a_fault(used: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "rename", refused)

    assert (Severity.FAILED, "claiming") in bad(look(used))


def test_a_file_and_a_folder_that_this_user_cannot_take_are_named(
    used: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    used.drop("mine.png")
    used.drop("theirs\n.png")
    used.drop("shut/7.png")
    used.drop("theirs.png.part")
    real = os.access
    forbidden = {str(used.inbox / "theirs\n.png"), str(used.inbox / "shut")}
    monkeypatch.setattr(folder_checks.os, "access", lambda path, mode: str(path) not in forbidden and real(path, mode))

    found = [one.detail for one in look(used) if one.severity is Severity.FAILED]

    assert len(found) == 2
    assert f"a file cannot be read: {used.inbox}/theirs%0A.png" in found
    assert any(one.endswith(f": {used.inbox}/shut") for one in found)


def test_a_filesystem_mounted_inside_the_inbox_is_a_fault(
    used: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    used.drop("share/7.png")
    real = Path.lstat

    def lstat(self: Path) -> os.stat_result:
        found = real(self)
        if self.name != "share":
            return found
        return os.stat_result([*found[:2], found.st_dev + 1, *found[3:10]])

    monkeypatch.setattr(Path, "lstat", lstat)

    assert [one.detail for one in look(used) if one.severity is Severity.FAILED] == [
        f"another filesystem is mounted inside the inbox; nothing there can be claimed: {used.inbox}/share"
    ]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("nfs4", [(Severity.FAILED, "state"), (Severity.WARNING, "events")]),
        ("fuse.sshfs", [(Severity.WARNING, "state"), (Severity.WARNING, "events")]),
    ],
)
def test_a_network_filesystem_is_scanned_only_and_refused_for_the_ledger(
    used: ServiceHarness, monkeypatch: pytest.MonkeyPatch, kind: str, expected: list[tuple[str, str]]
) -> None:
    monkeypatch.setattr(folder_id, "get_filesystem", lambda _: kind)
    used.set(watch_mode="events")

    assert bad(look(used)) == expected


def limits_of(folder: Path, **limits: int) -> Path:
    folder.mkdir()
    for name, number in limits.items():
        (folder / name).write_text(f"{number}\n")
    return folder


def test_few_inotify_limits_are_noted_with_the_sysctl_that_raises_them(tmp_path: Path) -> None:
    limits = limits_of(tmp_path / "limits", max_user_watches=100, max_user_instances=128, max_queued_events=16384)

    (found,) = check_events(tmp_path, "events", limits)

    assert (found.severity, found.fix) == (Severity.WARNING, "sysctl fs.inotify.max_user_watches=8192")


def test_events_are_really_tried(tmp_path: Path) -> None:
    limits = limits_of(tmp_path / "limits", max_user_watches=9000, max_user_instances=128, max_queued_events=16384)
    assert next(check_events(tmp_path, "events", limits)).severity is Severity.PASSED

    (tmp_path / "file").touch()
    found = next(check_events(tmp_path / "file" / "inbox", "events", limits))

    assert found.severity is Severity.WARNING
    assert "scan only" in found.detail
    assert "max_user_watches" in found.fix


def test_a_missing_folder_is_not_watched_and_events_can_be_disabled(tmp_path: Path) -> None:
    (finding,) = check_events(tmp_path / "none", "events")
    assert finding.severity is Severity.WARNING
    assert "no inbox yet" in finding.detail
    assert next(check_events(tmp_path, "scan")).severity is Severity.PASSED


@pytest.mark.parametrize(
    ("now_s", "newest_s", "grade"),
    [
        (86_400.0, None, Severity.FAILED),
        (1_767_323_045.0, None, Severity.PASSED),
        (1_767_323_045.0, 1_767_323_000.0, Severity.PASSED),
        (1_767_323_045.0, 1_767_323_145.0, Severity.FAILED),
    ],
)
def test_a_clock_that_is_unset_or_behind_the_newest_batch_is_a_fault(
    now_s: float, newest_s: float | None, grade: Severity
) -> None:
    assert next(check_clock(now_s, newest_s)).severity is grade


def test_a_model_that_was_altered_is_a_fault(used: ServiceHarness) -> None:
    assert bad(look(used, ModelStatus("cnn-1", "model.tflite was altered"))) == [(Severity.FAILED, "model")]


def test_a_damaged_ledger_is_a_fault_an_older_one_a_note(used: ServiceHarness) -> None:
    for name in ("torn", "shut"):
        (used.settings.state / name).mkdir()
    (used.settings.state / "torn" / "ledger.sqlite3").write_bytes(b"no database" * 1000)
    (used.settings.state / "shut" / "ledger.sqlite3").mkdir()
    with closing(sqlite3.connect(used.settings.ledger)) as db:
        db.execute("PRAGMA user_version = 1")

    assert sorted(bad(look(used))) == [
        (Severity.FAILED, "ledger shut"),
        (Severity.FAILED, "ledger torn"),
        (Severity.WARNING, "ledger main"),
    ]


def test_claims_that_nobody_here_will_finish_are_noted_with_the_command(used: ServiceHarness) -> None:
    (used.inbox / ".claimed" / "gone" / "20260102T030405Z-00000000").mkdir(parents=True)

    (found,) = [one for one in look(used) if one.subject == "claims"]

    assert found.severity is Severity.WARNING
    assert "digitrec requeue --worker gone" in found.fix


def test_doctor_prints_a_line_a_finding_and_ends_with_1_on_a_fault(
    used: ServiceHarness, run_command: RunCommand
) -> None:
    found = run_command("doctor")
    assert found.code == 0
    assert all(line.split()[0] in {"ok", "note"} for line in found.out.splitlines())

    used.outbox.rename(used.root / "away")
    found = run_command("doctor", "--json")

    assert found.code == 1
    (fault,) = [one for one in found.json if one["grade"] == "FAULT"]
    assert (fault["what"], bool(fault["cure"])) == ("outbox", True)
    assert any(line.startswith("FAULT  outbox: ") for line in run_command("doctor").out.splitlines())


def test_a_backup_before_an_upgrade_is_named_and_outlives_its_ledger(used: ServiceHarness) -> None:
    make_older(used.settings.ledger, 2)
    used.run()

    assert bad(look(used)) == [(Severity.WARNING, "ledger main")]
    used.settings.ledger.write_bytes(b"this is no database")
    for log in used.settings.ledger.parent.glob("ledger.sqlite3-*"):
        log.unlink()
    used.run()
    assert get_backup_path(used.settings.ledger, 2).exists()
    assert bad(look(used)) == [(Severity.WARNING, "ledger main")]
    assert used.account().discrepancies == ()


def test_an_unexpected_exception_is_a_fault_until_the_next_scan(used: ServiceHarness) -> None:
    now_s = time.time()
    heart = HeartbeatWriter(used.settings, now_s=lambda: now_s)
    heart.note_unexpected("metrics cannot be gathered: KeyError: 'colour'")

    (before,) = [one for one in look(used, now_s=now_s + 7) if one.subject == "worker main"]
    now_s += 20
    heart.set_scanned()
    (after,) = [one for one in look(used) if one.subject == "worker main"]

    assert (before.severity, before.detail) == (
        Severity.FAILED,
        "7 s ago: metrics cannot be gathered: KeyError: 'colour'",
    )
    assert after.severity is Severity.WARNING
