"""Doctor: one line per check, with the fix."""

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
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.storage import folder_id
from digitrec.storage.migrations import get_backup_path
from tests.conftest import RunCommand, ServiceHarness, in_folder
from tests.older_ledgers import make_older

pytestmark = pytest.mark.slow


def run_doctor(harness: ServiceHarness, model: ModelStatus | None = None, now_s: float | None = None) -> list[Check]:
    with open_ledgers(harness.settings, skip_unreadable=True) as ledgers:
        return list(run_checks(harness.settings, ledgers, model or ModelStatus("test"), now_s or time.time()))


def problems(checks: list[Check]) -> list[tuple[str, str]]:
    """Return severity and subject of the checks that did not pass; all have a detail, failures a fix."""
    assert all(check.detail for check in checks)
    assert all(check.fix for check in checks if check.severity is Severity.FAILED)
    return [
        (check.severity, check.subject)
        for check in checks
        if check.severity is not Severity.PASSED and not check.subject.endswith(" room")
    ]


@pytest.fixture
def used(harness: ServiceHarness) -> ServiceHarness:
    """Workspace with a batch, without file system events: their limits differ between machines."""
    harness.now_s = time.time()
    harness.drop("7.png")
    harness.run()
    harness.set(watch_mode="scan")
    return harness


def test_a_sound_workspace_passes_all_checks_and_is_not_changed(used: ServiceHarness) -> None:
    def files() -> list[str]:
        return sorted(str(path) for path in used.root.rglob("*") if "sqlite3-" not in path.name)

    before = files()

    assert problems(run_doctor(used)) == []
    assert files() == before


def test_a_new_workspace_has_warnings_only(harness: ServiceHarness, run_command: RunCommand) -> None:
    harness.inbox.rmdir()

    assert {severity for severity, _ in problems(run_doctor(harness))} == {Severity.WARNING}
    assert run_command("doctor").code == 0


@pytest.mark.parametrize("name", ["inbox", "outbox"])
def test_a_missing_folder_fails_the_check(used: ServiceHarness, name: str) -> None:
    (used.root / name).rename(used.root / "away")

    assert (Severity.FAILED, name) in problems(run_doctor(used))


def test_an_empty_or_replaced_folder_fails_and_a_lost_marker_warns(used: ServiceHarness) -> None:
    marker = used.outbox / ".digitrec-folder"
    marker_id = marker.read_text()

    marker.write_text("0" * 32)
    assert problems(run_doctor(used)) == [(Severity.FAILED, "outbox")]
    marker.unlink()
    assert problems(run_doctor(used)) == [(Severity.WARNING, "outbox")]
    used.outbox.rename(used.root / "away")
    used.outbox.mkdir()
    assert problems(run_doctor(used)) == [(Severity.FAILED, "outbox")]
    assert list(used.outbox.iterdir()) == []
    assert marker_id


def test_a_full_disk_is_reported_with_the_advice_to_free_space(
    used: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_rest: Any, **_named: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(folder_checks.tempfile, "NamedTemporaryFile", refused)

    fixes = [check.fix for check in run_doctor(used) if "No space left on device" in check.detail]
    assert len(fixes) == 4
    assert all("Make room" in fix and "chmod" not in fix for fix in fixes)


def test_a_memory_limit_too_low_to_read_fails_the_check(used: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads.resource, "getrlimit", lambda _: (256_000_000, 256_000_000))

    (check,) = [check for check in run_doctor(used) if check.severity is Severity.FAILED]

    assert check.subject == "memory"
    assert "256 MB" in check.detail
    assert "ulimit -v" in check.fix


@pytest.mark.parametrize("name", ["inbox", "outbox", "reports", ".digitrec"])
def test_permissions_are_checked_by_writing_a_file(
    used: ServiceHarness, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    real = tempfile.NamedTemporaryFile

    def refused(*rest: Any, dir: Path, **named: Any) -> Any:
        if Path(dir).name == name:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(*rest, dir=dir, **named)

    monkeypatch.setattr(folder_checks.tempfile, "NamedTemporaryFile", refused)

    (check,) = [check for check in run_doctor(used) if check.severity is Severity.FAILED]
    assert check.subject == name.replace(".digitrec", "state")
    assert "Read-only file system" in check.detail


def test_a_folder_that_takes_no_fsync_is_noted_with_its_meaning(
    used: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def refused(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(descriptor)

    monkeypatch.setattr(folder_checks.files.os, "fsync", refused)

    checks = run_doctor(used)

    assert problems(checks) == [(Severity.WARNING, "inbox"), (Severity.WARNING, "outbox"), (Severity.WARNING, "state")]
    assert f"{used.inbox} takes no fsync (Invalid argument): a power cut can undo the newest renames" in [
        check.detail for check in checks
    ]


@pytest.mark.parametrize("name", ["inbox", "outbox", "reports", ".digitrec"])
def test_a_file_in_place_of_a_folder_fails_the_check(used: ServiceHarness, name: str) -> None:
    (used.root / name).rename(used.root / "away")
    (used.root / name).write_text("no folder")

    (failure,) = [check for check in run_doctor(used) if check.severity is Severity.FAILED]

    assert failure.detail == f"{used.root / name} is not a folder"


def test_a_folder_with_another_clock_warns(used: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr(folder_checks.time, "time", lambda: real() + 60)

    assert (Severity.WARNING, "inbox") in problems(run_doctor(used, now_s=real()))


def test_a_full_disk_fails_and_a_nearly_full_disk_warns(used: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    class Room:
        f_frsize, f_files, f_favail = 4096, 1_000_000, 500_000
        f_bavail = 10

    def severities() -> set[Severity]:
        return {check.severity for check in run_doctor(used) if check.subject.endswith(" room")}

    monkeypatch.setattr(folder_checks.os, "statvfs", lambda _: Room)
    assert severities() == {Severity.FAILED}
    Room.f_bavail = 500_000_000 // 4096
    assert severities() == {Severity.WARNING}
    Room.f_bavail = 10**9
    assert severities() == {Severity.PASSED}
    Room.f_favail = 10
    assert severities() == {Severity.FAILED}
    Room.f_files = 0
    assert severities() == {Severity.PASSED}


def test_a_missing_workspace_fails_the_check_and_is_not_created(tmp_path: Path, run_command: RunCommand) -> None:
    result = run_command("doctor", workspace=tmp_path / "none")

    assert result.code == 1
    assert f"FAULT  workspace: {tmp_path / 'none'} does not exist" in result.out
    assert not (tmp_path / "none").exists()


def test_claims_on_another_filesystem_fail_the_check(used: ServiceHarness) -> None:
    (used.inbox / ".claimed").rename(used.root / "claimed")
    (used.inbox / ".claimed").symlink_to(used.root / "claimed")

    assert (Severity.FAILED, "claiming") in problems(run_doctor(used))


def test_an_inbox_that_forbids_renames_fails_the_check(used: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "rename", refused)

    assert (Severity.FAILED, "claiming") in problems(run_doctor(used))


@pytest.mark.parametrize("name", ["inbox", "outbox", "reports"])
def test_a_folder_that_cannot_be_entered_is_one_fault_among_all_checks(used: ServiceHarness, name: str) -> None:
    (used.root / name).chmod(0)
    try:
        result = in_folder(used.root, "doctor", can_read_all=False)
    finally:
        (used.root / name).chmod(0o755)

    assert result.returncode == 1
    assert f"{used.root / name} cannot be used: Permission denied" in result.stdout
    assert "ledger main: every page is sound" in result.stdout


def test_files_and_folders_that_this_user_cannot_claim_are_named(
    used: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    used.drop("mine.png")
    used.drop("theirs\n.png")
    used.drop("shut/7.png")
    used.drop("theirs.png.part")
    real = os.access
    forbidden = {str(used.inbox / "theirs\n.png"), str(used.inbox / "shut")}
    monkeypatch.setattr(folder_checks.os, "access", lambda path, mode: str(path) not in forbidden and real(path, mode))

    details = [check.detail for check in run_doctor(used) if check.severity is Severity.FAILED]

    assert len(details) == 2
    assert f"a file cannot be read: {used.inbox}/theirs%0A.png" in details
    assert any(check.endswith(f": {used.inbox}/shut") for check in details)


def test_a_filesystem_mounted_inside_the_inbox_fails_the_check(
    used: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    used.drop("share/7.png")
    real = Path.lstat

    def lstat(self: Path) -> os.stat_result:
        state = real(self)
        if self.name != "share":
            return state
        return os.stat_result([*state[:2], state.st_dev + 1, *state[3:10]])

    monkeypatch.setattr(Path, "lstat", lstat)

    assert [check.detail for check in run_doctor(used) if check.severity is Severity.FAILED] == [
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

    assert problems(run_doctor(used)) == expected


def limits_of(folder: Path, **limits: int) -> Path:
    folder.mkdir()
    for name, number in limits.items():
        (folder / name).write_text(f"{number}\n")
    return folder


def test_low_inotify_limits_warn_with_the_sysctl_that_raises_them(tmp_path: Path) -> None:
    limits = limits_of(tmp_path / "limits", max_user_watches=100, max_user_instances=128, max_queued_events=16384)

    (result,) = check_events(tmp_path, "events", limits)

    assert (result.severity, result.fix) == (Severity.WARNING, "sysctl fs.inotify.max_user_watches=8192")


def test_events_are_checked_by_watching_the_inbox(tmp_path: Path) -> None:
    limits = limits_of(tmp_path / "limits", max_user_watches=9000, max_user_instances=128, max_queued_events=16384)
    assert next(check_events(tmp_path, "events", limits)).severity is Severity.PASSED

    (tmp_path / "file").touch()
    result = next(check_events(tmp_path / "file" / "inbox", "events", limits))

    assert result.severity is Severity.WARNING
    assert "scan only" in result.detail
    assert "max_user_watches" in result.fix


def test_a_missing_folder_is_not_watched_and_events_can_be_disabled(tmp_path: Path) -> None:
    (check,) = check_events(tmp_path / "none", "events")
    assert check.severity is Severity.WARNING
    assert "no inbox yet" in check.detail
    assert next(check_events(tmp_path, "scan")).severity is Severity.PASSED


@pytest.mark.parametrize(
    ("now_s", "newest_s", "severity"),
    [
        (86_400.0, None, Severity.FAILED),
        (1_767_323_045.0, None, Severity.PASSED),
        (1_767_323_045.0, 1_767_323_000.0, Severity.PASSED),
        (1_767_323_045.0, 1_767_323_145.0, Severity.FAILED),
    ],
)
def test_a_clock_that_is_unset_or_behind_the_newest_batch_fails(
    now_s: float, newest_s: float | None, severity: Severity
) -> None:
    assert next(check_clock(now_s, newest_s)).severity is severity


def test_an_altered_model_fails_the_check(used: ServiceHarness) -> None:
    assert problems(run_doctor(used, ModelStatus("cnn-1", "model.tflite was altered"))) == [(Severity.FAILED, "model")]


def test_a_damaged_ledger_fails_and_an_older_ledger_warns(used: ServiceHarness) -> None:
    for name in ("torn", "shut"):
        (used.settings.state / name).mkdir()
    (used.settings.state / "torn" / "ledger.sqlite3").write_bytes(b"no database" * 1000)
    (used.settings.state / "shut" / "ledger.sqlite3").mkdir()
    with closing(sqlite3.connect(used.settings.ledger)) as db:
        db.execute("PRAGMA user_version = 1")

    assert sorted(problems(run_doctor(used))) == [
        (Severity.FAILED, "ledger shut"),
        (Severity.FAILED, "ledger torn"),
        (Severity.WARNING, "ledger main"),
    ]


def test_claims_of_a_worker_without_a_ledger_warn_with_the_command(used: ServiceHarness) -> None:
    (used.inbox / ".claimed" / "gone" / "20260102T030405Z-00000000").mkdir(parents=True)

    (result,) = [check for check in run_doctor(used) if check.subject == "claims"]

    assert result.severity is Severity.WARNING
    assert "digitrec requeue --worker gone" in result.fix


def test_doctor_prints_a_line_per_check_and_exits_1_on_a_failure(used: ServiceHarness, run_command: RunCommand) -> None:
    result = run_command("doctor")
    assert result.code == 0
    assert all(line.split()[0] in {"ok", "note"} for line in result.out.splitlines())

    used.outbox.rename(used.root / "away")
    result = run_command("doctor", "--json")

    assert result.code == 1
    (failure,) = [check for check in result.json if check["grade"] == "FAULT"]
    assert (failure["what"], bool(failure["cure"])) == ("outbox", True)
    assert any(line.startswith("FAULT  outbox: ") for line in run_command("doctor").out.splitlines())


def test_an_upgrade_backup_is_named_and_outlives_its_ledger(used: ServiceHarness) -> None:
    make_older(used.settings.ledger, 2)
    used.run()

    assert problems(run_doctor(used)) == [(Severity.WARNING, "ledger main")]
    used.settings.ledger.write_bytes(b"this is no database")
    for log in used.settings.ledger.parent.glob("ledger.sqlite3-*"):
        log.unlink()
    used.run()
    assert get_backup_path(used.settings.ledger, 2).exists()
    assert problems(run_doctor(used)) == [(Severity.WARNING, "ledger main")]
    assert used.account().discrepancies == ()


def test_an_unexpected_exception_fails_until_the_next_scan(used: ServiceHarness) -> None:
    now_s = time.time()
    writer = HeartbeatWriter(used.settings, now_s=lambda: now_s)
    writer.note_unexpected("metrics cannot be gathered: KeyError: 'colour'")

    (before,) = [check for check in run_doctor(used, now_s=now_s + 7) if check.subject == "worker main"]
    now_s += 20
    writer.set_scanned()
    (after,) = [check for check in run_doctor(used) if check.subject == "worker main"]

    assert (before.severity, before.detail) == (
        Severity.FAILED,
        "7 s ago: metrics cannot be gathered: KeyError: 'colour'",
    )
    assert after.severity is Severity.WARNING
