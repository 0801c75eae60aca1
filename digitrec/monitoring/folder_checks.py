"""Check the folders of a workspace: permissions, identity, filesystems, space. Writes a file and removes it."""

import errno
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from digitrec import files, text
from digitrec.pipeline import scanner
from digitrec.pipeline.inbox import CLAIMED
from digitrec.settings import Settings
from digitrec.storage import folder_id
from digitrec.text import pluralize


class FolderCheckParams(NamedTuple):
    """Limits of the folder checks; chosen by hand, not measured."""

    min_bytes: int = 100_000_000
    """Free space below which the check fails, bytes."""
    low_bytes: int = 1_000_000_000
    """Free space below which it warns, bytes; above `min_bytes`."""
    min_inodes: int = 1_000
    """Number of free inodes below which the check fails."""
    low_inodes: int = 10_000
    """Number of free inodes below which it warns; above `min_inodes`."""
    max_skew_s: float = 5.0
    """Largest difference between the clocks of folder and machine, seconds."""


PARAMS = FolderCheckParams()
_MAKE_ROOM = "Make room: `digitrec prune --older-than 90d` removes old originals."
_PREFIX = ".digitrec-doctor-"


class Severity(StrEnum):
    """Result of a check."""

    PASSED = "ok"
    WARNING = "note"
    FAILED = "FAULT"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `doctor`."""

    severity: Severity
    subject: str
    """Name of what was checked."""
    detail: str
    fix: str = ""
    """Next step; empty if none is needed."""

    def to_json(self) -> dict[str, str]:
        """Return the check with the keys of `doctor --json`."""
        return {"grade": self.severity, "what": self.subject, "detail": self.detail, "cure": self.fix}


def passed(subject: str, detail: str) -> Check:
    """Return a check without a problem."""
    return Check(Severity.PASSED, subject, detail)


def warning(subject: str, detail: str, fix: str = "") -> Check:
    """Return a check of something that works, but differently than expected."""
    return Check(Severity.WARNING, subject, detail, fix)


def failed(subject: str, detail: str, fix: str) -> Check:
    """Return a check of something that does not work, or soon will not."""
    return Check(Severity.FAILED, subject, detail, fix)


def check_folders(settings: Settings, expected_ids: dict[str, str], devices: dict[str, str]) -> Iterator[Check]:
    """Check every folder of a workspace.

    Args:
        settings: name the folders.
        expected_ids: ids of inbox and outbox in the ledger; empty before first use.
        devices: their devices in the ledger, as far as it has them.
    """
    folders = {
        "inbox": settings.inbox,
        "outbox": settings.outbox,
        "reports": settings.reports,
        "state": settings.state,
    }
    if not settings.workspace.is_dir():  # `run` makes folders in a workspace, and no workspace
        fix = f"Name yours with --workspace DIR, or make one: `digitrec init --workspace {settings.workspace}`."
        yield failed("workspace", f"{settings.workspace} does not exist", fix)
    for name, folder in folders.items():
        if not folder.is_dir():
            yield _describe_missing(name, folder, is_expected=name in expected_ids)
            continue
        access = _check_access(name, folder)
        yield access
        if name in expected_ids:
            yield from _check_identity(name, folder, expected_ids[name], devices.get(name))
        yield _check_space(name, folder)
        if name != "reports" and access.severity is not Severity.FAILED:
            yield from _check_fsync(name, folder)
    if settings.inbox.is_dir():
        yield _check_renames(settings.inbox)
        yield from _check_inbox_files(settings.inbox, settings.worker)
    if settings.state.is_dir():
        yield _check_state_disk(settings.state)


def _describe_missing(name: str, folder: Path, *, is_expected: bool) -> Check:
    if os.path.lexists(folder):
        return failed(name, f"{folder} is not a folder", "Move it away; `digitrec init` makes the folder.")
    if is_expected:
        fix = "If a share is not mounted, mount it. If it is meant to be new, run `digitrec init`."
        return failed(name, f"{folder} is missing", fix)
    return warning(name, f"{folder} is not there yet", "It is made at first use, or by `digitrec init`.")


def _check_access(name: str, folder: Path) -> Check:
    """List the folder and write a file: modes do not show read-only mounts, quotas and access lists."""
    try:
        os.listdir(folder)
        with tempfile.NamedTemporaryFile(prefix=_PREFIX, dir=folder) as file:
            file.write(b"digitrec doctor")
            file.flush()
            skew_s = os.fstat(file.fileno()).st_mtime - time.time()
    except OSError as error:
        fix = f"Give the user {_user()} rights to read and write it: chown, chmod, or mount it writable."
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return failed(name, f"{folder} cannot be used: {error.strerror}", _MAKE_ROOM if is_full else fix)
    if abs(skew_s) > PARAMS.max_skew_s:
        fix = "Set both clocks by NTP. Ages in `status` are wrong by as much; the times of reading are not."
        return warning(name, f"the clock of {folder} differs from this machine's by {skew_s:.0f} s", fix)
    return passed(name, f"{folder} can be read and written")


def _check_fsync(name: str, folder: Path) -> Iterator[Check]:
    """Call fsync on the folder, as the service does after a write or a move: some file servers refuse it."""
    try:
        refused = files.try_fsync_folder(folder)
    except OSError as error:
        yield failed(name, f"{folder} cannot be written through to its disk: {error.strerror}", "Check the disk.")
        return
    if refused is not None:
        fix = "Keep it on a disk that can. Until then, run `digitrec verify` after a power cut of the file server."
        yield warning(
            name,
            f"{folder} takes no fsync ({os.strerror(refused.errno or 0)}): a power cut can undo the newest renames",
            fix,
        )


def _check_identity(name: str, folder: Path, expected_id: str, device: str | None) -> Iterator[Check]:
    try:
        marker = (folder / folder_id.MARKER).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        marker = ""
    if marker == expected_id or not os.access(folder, os.R_OK | os.X_OK):  # the latter is reported by `_check_access`
        return
    fix = f"If a share is not mounted, mount it. If {folder.name}/ is meant to be new, run `digitrec init`."
    if marker:
        yield failed(name, f"{folder} is another folder than before", fix)
    elif not any(folder.iterdir()):
        yield failed(name, f"{folder} is empty and has lost its marker", fix)
    elif device not in (None, folder_id.get_device(folder)):
        yield failed(name, f"{folder} has no marker and is on another device than before", fix)
    else:
        yield warning(name, f"{folder} has lost its marker", "Nothing: the next run writes it again.")


def _check_space(name: str, folder: Path) -> Check:
    subject = f"{name} room"
    try:
        stats = os.statvfs(folder)
    except OSError as error:
        return failed(subject, f"{folder}: {error.strerror}", "Check the disk.")
    free, inodes = stats.f_bavail * stats.f_frsize, stats.f_favail
    has_inodes = stats.f_files > 0  # some filesystems, btrfs among them, have no fixed number
    detail = f"{free / 1e9:.1f} GB free" + (f", {inodes:,} inodes" if has_inodes else "")
    if free < PARAMS.min_bytes or (has_inodes and inodes < PARAMS.min_inodes):
        return failed(subject, detail, _MAKE_ROOM)
    if free < PARAMS.low_bytes or (has_inodes and inodes < PARAMS.low_inodes):
        return warning(subject, detail, _MAKE_ROOM)
    return passed(subject, f"{detail} ({folder_id.get_filesystem(folder) or 'unknown filesystem'})")


def _check_renames(inbox: Path) -> Check:
    """Check that files can be claimed: a claim is a rename, which cannot leave a filesystem."""
    claims = inbox / CLAIMED
    fix = f"{claims} must be an ordinary folder of the inbox: remove the mount or link there."
    try:
        if claims.is_symlink() or (claims.exists() and claims.stat().st_dev != inbox.stat().st_dev):
            return failed("claiming", f"{claims} is on another filesystem than the inbox", fix)
        with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=inbox) as folder:
            source = Path(folder) / "one"
            source.touch()
            source.rename(Path(folder) / "two")
    except OSError as error:
        return failed("claiming", f"files in {inbox} cannot be renamed: {error.strerror}", "Check its permissions.")
    return passed("claiming", f"inbox and {CLAIMED} are one filesystem")


def _check_inbox_files(inbox: Path, worker: str) -> Iterator[Check]:
    """Report subfolders and files that this user cannot claim or read."""
    if not os.access(inbox, os.R_OK | os.X_OK):  # reported by `_check_access`
        return
    device, mount_points = inbox.stat().st_dev, folder_id.find_mounts_below(inbox)
    stuck: dict[str, list[str]] = {}
    unclaimable = scanner.SkippedCounts()

    def report(kind: str, path: str) -> None:
        stuck.setdefault(kind, []).append(f"{inbox}/{path}")

    def report_skipped(path: str, why: str) -> None:
        if why == scanner.PATH_TOO_LONG:
            report("long", path)

    def enters(path: str, entry: "os.DirEntry[str]") -> bool:
        if not scanner.is_scanned_folder(entry.name):
            return False
        try:
            is_mounted = (inbox / path).lstat().st_dev != device or path in mount_points
        except OSError:  # gone, or too deep to be claimed from
            return False
        if is_mounted:
            report("other", path)
        elif not os.access(inbox / path, os.W_OK | os.X_OK):
            report("folder", path)
        return not is_mounted

    for file in scanner.scan(inbox, report_skipped, worker, unclaimable):
        if not os.access(inbox / file.path, os.R_OK):
            report("file", file.path)
        elif _is_blocked_by_sticky_bit(inbox / file.path):
            report("sticky", file.path)
    for _ in folder_id.walk(inbox, enters=enters, failed=lambda path, _: report("folder", path)):
        pass
    for kind, paths in stuck.items():
        problem, fix = _STUCK[kind]
        others = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        names = ", ".join(map(text.escape, paths)) if kind == "other" else f"{text.escape(paths[0])}{others}"
        count = {"other": unclaimable.elsewhere, "long": unclaimable.too_long}.get(kind, 0)
        total = f" ({pluralize(count, 'file')})" if count else ""
        yield failed("inbox", f"{problem}: {names}{total}", fix.format(user=_user()))


def _is_blocked_by_sticky_bit(path: Path) -> bool:
    """Return True if the sticky bit of the folder lets only another user move the file."""
    try:
        folder, file = path.parent.lstat(), path.lstat()
    except OSError:  # gone since it was listed
        return False
    is_sticky = folder.st_mode & stat.S_ISVTX and folder.st_uid != os.geteuid()
    return bool(is_sticky and os.geteuid() not in {0, file.st_uid})


_STUCK = {
    "other": (
        "another filesystem is mounted inside the inbox; nothing there can be claimed",
        "Move its files into the inbox, or mount it elsewhere as the inbox of a separate workspace.",
    ),
    "long": (
        "a path is too long to be claimed",
        "Move the files into a folder with a shorter path, or give the folders shorter names.",
    ),
    "folder": ("a folder does not let its files be claimed", "Give the user {user} rights to read and write it."),
    "file": (
        "a file cannot be read",
        "Give the user {user} the right to read it; the next scan tries it again.",
    ),
    "sticky": (
        "a sticky folder keeps others' files from being claimed",
        "chmod -t the folder, or let their owner run digitrec.",
    ),
}
"""Problem and fix of files that cannot be claimed or read, by kind."""


def _check_state_disk(state: Path) -> Check:
    kind = folder_id.get_filesystem(state)
    if folder_id.is_remote_filesystem(kind):
        fix = "Name a folder on a local disk with state_dir (digitrec.toml or DIGITREC_STATE_DIR)."
        # FUSE filesystems are often local all the same.
        result = warning if kind.startswith("fuse") else failed
        return result("state", f"{state} is on {kind}; the ledger needs a disk with reliable locks", fix)
    return passed("state", f"{state} is on a local disk ({kind or 'unknown filesystem'})")


def _user() -> str:
    return str(os.geteuid())
