"""What `doctor` finds out about the folders: rights, identity, filesystems, room. It writes a file and removes it."""

import errno
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from digitrec import files, text
from digitrec.pipeline import scanner
from digitrec.pipeline.inbox import CLAIMED
from digitrec.settings import Settings
from digitrec.storage import folder_id
from digitrec.text import pluralize

_FEW_BYTES, _LOW_BYTES = 100_000_000, 1_000_000_000
_FEW_INODES, _LOW_INODES = 1_000, 10_000
_MAKE_ROOM = "Make room: `digitrec prune --older-than 90d` removes old originals."
_SKEW_S = 5.0
_PREFIX = ".digitrec-doctor-"


class Severity(StrEnum):
    """How bad it is."""

    PASSED = "ok"
    WARNING = "note"
    FAILED = "FAULT"


@dataclass(frozen=True, slots=True)
class Check:
    """One line."""

    severity: Severity
    subject: str
    """What was looked at."""
    detail: str
    fix: str = ""
    """What to do about it; "" if nothing needs doing."""

    def to_json(self) -> dict[str, str]:
        """Return the check with the keys of `doctor --json`."""
        return {"grade": self.severity, "what": self.subject, "detail": self.detail, "cure": self.fix}


def passed(what: str, detail: str) -> Check:
    """All is well."""
    return Check(Severity.PASSED, what, detail)


def warning(what: str, detail: str, cure: str = "") -> Check:
    """It works, but not as one might think."""
    return Check(Severity.WARNING, what, detail, cure)


def failed(what: str, detail: str, cure: str) -> Check:
    """It does not work, or soon will not."""
    return Check(Severity.FAILED, what, detail, cure)


def check_folders(settings: Settings, known_ids: dict[str, str], devices: dict[str, str]) -> Iterator[Check]:
    """Look at every folder of a workspace.

    Args:
        settings: say where they are.
        known_ids: the ids of inbox and outbox, from the ledger; empty before first use.
        devices: those that they lay on, from the ledger, as far as it knows them.
    """
    places = {
        "inbox": settings.inbox,
        "outbox": settings.outbox,
        "reports": settings.reports,
        "state": settings.state,
    }
    for name, folder in places.items():
        if not folder.is_dir():
            yield _missing(name, folder, is_known=name in known_ids)
            continue
        rights = _rights(name, folder)
        yield rights
        if name in known_ids:
            yield from _identity(name, folder, known_ids[name], devices.get(name))
        yield _room(name, folder)
        if name != "reports" and rights.severity is not Severity.FAILED:
            yield from _durability(name, folder)
    if settings.inbox.is_dir():
        yield _claiming(settings.inbox)
        yield from _inside(settings.inbox, settings.worker)
    if settings.state.is_dir():
        yield _state_disk(settings.state)


def _missing(name: str, folder: Path, *, is_known: bool) -> Check:
    if os.path.lexists(folder):
        return failed(name, f"{folder} is not a folder", "Move it away; `digitrec init` makes the folder.")
    if is_known:
        cure = "If a share is not mounted, mount it. If it is meant to be new, run `digitrec init`."
        return failed(name, f"{folder} is missing", cure)
    return warning(name, f"{folder} is not there yet", "It is made at first use, or by `digitrec init`.")


def _rights(name: str, folder: Path) -> Check:
    """Really try: the mode does not know of read-only mounts, quotas and access lists."""
    try:
        os.listdir(folder)
        with tempfile.NamedTemporaryFile(prefix=_PREFIX, dir=folder) as file:
            file.write(b"digitrec doctor")
            file.flush()
            skew_s = os.fstat(file.fileno()).st_mtime - time.time()
    except OSError as why:
        cure = f"Give the user {_user()} rights to read and write it: chown, chmod, or mount it writable."
        is_full = why.errno in (errno.ENOSPC, errno.EDQUOT)
        return failed(name, f"{folder} cannot be used: {why.strerror}", _MAKE_ROOM if is_full else cure)
    if abs(skew_s) > _SKEW_S:
        cure = "Set both clocks by NTP. The ages that `status` tells are wrong by as much; what is read when is not."
        return warning(name, f"the clock of {folder} differs from this machine's by {skew_s:.0f} s", cure)
    return passed(name, f"{folder} can be read and written")


def _durability(name: str, folder: Path) -> Iterator[Check]:
    """Try what the service does after it wrote or moved a file: some file servers cannot fsync a folder."""
    try:
        why = files.try_fsync_folder(folder)
    except OSError as refused:
        yield failed(name, f"{folder} cannot be written through to its disk: {refused.strerror}", "Look at the disk.")
        return
    if why is not None:
        cure = "Keep it on a disk that can. Until then, run `digitrec verify` after a power cut of the file server."
        yield warning(
            name,
            f"{folder} takes no fsync ({os.strerror(why.errno or 0)}): a power cut can undo the newest renames",
            cure,
        )


def _identity(name: str, folder: Path, known_id: str, device: str | None) -> Iterator[Check]:
    try:
        found = (folder / folder_id.MARKER).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        found = ""
    if found == known_id:
        return
    cure = f"If a share is not mounted, mount it. If {folder.name}/ is meant to be new, run `digitrec init`."
    if found:
        yield failed(name, f"{folder} is another folder than before", cure)
    elif not any(folder.iterdir()):
        yield failed(name, f"{folder} is empty and has lost its marker", cure)
    elif device not in (None, folder_id.get_device(folder)):
        yield failed(name, f"{folder} has no marker and lies on another device than before", cure)
    else:
        yield warning(name, f"{folder} has lost its marker", "Nothing: the next run gives it again.")


def _room(name: str, folder: Path) -> Check:
    try:
        found = os.statvfs(folder)
    except OSError as why:
        return failed(f"{name} room", f"{folder}: {why.strerror}", "Look at the disk.")
    free, inodes = found.f_bavail * found.f_frsize, found.f_favail
    counts = found.f_files > 0  # some filesystems, btrfs among them, have no fixed number
    told = f"{free / 1e9:.1f} GB free" + (f", {inodes:,} inodes" if counts else "")
    if free < _FEW_BYTES or (counts and inodes < _FEW_INODES):
        return failed(f"{name} room", told, _MAKE_ROOM)
    if free < _LOW_BYTES or (counts and inodes < _LOW_INODES):
        return warning(f"{name} room", told, _MAKE_ROOM)
    return passed(f"{name} room", f"{told} ({folder_id.get_filesystem(folder) or 'unknown filesystem'})")


def _claiming(inbox: Path) -> Check:
    """A claim is a rename, which cannot leave a filesystem."""
    claims = inbox / CLAIMED
    cure = f"{claims} must be an ordinary folder of the inbox: remove the mount or link there."
    if claims.is_symlink() or (claims.exists() and claims.stat().st_dev != inbox.stat().st_dev):
        return failed("claiming", f"{claims} lies on another filesystem than the inbox", cure)
    try:
        with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=inbox) as folder:
            one = Path(folder) / "one"
            one.touch()
            one.rename(Path(folder) / "two")
    except OSError as why:
        return failed("claiming", f"files in {inbox} cannot be renamed: {why.strerror}", "Look at the rights there.")
    return passed("claiming", f"inbox and {CLAIMED} are one filesystem")


def _inside(inbox: Path, worker: str) -> Iterator[Check]:
    """Subfolders and files that cannot be claimed or read by this user."""
    if not os.access(inbox, os.R_OK | os.X_OK):  # `_rights` says so
        return
    device, points = inbox.stat().st_dev, folder_id.find_mounts_below(inbox)
    stuck: dict[str, list[str]] = {}
    unclaimable = scanner.SkippedCounts()

    def put(kind: str, path: str) -> None:
        stuck.setdefault(kind, []).append(f"{inbox}/{path}")

    def skipped(path: str, why: str) -> None:
        if why == scanner.PATH_TOO_LONG:
            put("long", path)

    def enters(path: str, entry: "os.DirEntry[str]") -> bool:
        if not scanner.is_scanned_folder(entry.name):
            return False
        try:
            is_mounted = (inbox / path).lstat().st_dev != device or path in points
        except OSError:  # gone, or too deep to be claimed from
            return False
        if is_mounted:
            put("other", path)
        elif not os.access(inbox / path, os.W_OK | os.X_OK):
            put("folder", path)
        return not is_mounted

    for seen in scanner.scan(inbox, skipped, worker, unclaimable):
        if not os.access(inbox / seen.path, os.R_OK):
            put("file", seen.path)
        elif _is_sticky(inbox / seen.path):
            put("sticky", seen.path)
    for _ in folder_id.walk(inbox, enters=enters, failed=lambda path, _: put("folder", path)):
        pass
    for kind, found in stuck.items():
        detail, cure = _INSIDE[kind]
        count = {"other": unclaimable.elsewhere, "long": unclaimable.too_long}.get(kind, 0)
        named = ", ".join(map(text.escape, found)) if kind == "other" else f"{text.escape(found[0])}{_others(found)}"
        told = f" ({pluralize(count, 'file')})" if count else ""
        yield failed("inbox", f"{detail}: {named}{told}", cure.format(user=_user()))


def _is_sticky(file: Path) -> bool:
    """Whether only others may move a file, because of the sticky bit of its folder."""
    try:
        folder, its = file.parent.lstat(), file.lstat()
    except OSError:  # gone since it was listed
        return False
    is_sticky = folder.st_mode & stat.S_ISVTX and folder.st_uid != os.geteuid()
    return bool(is_sticky and os.geteuid() not in {0, its.st_uid})


_INSIDE = {
    "other": (
        "another filesystem is mounted inside the inbox; nothing there can be claimed",
        "Move its files into the inbox, or mount it elsewhere and name it as a workspace's inbox of its own.",
    ),
    "long": (
        "a path is too long to be claimed",
        "Move the files into a folder that lies less deep, or give the folders shorter names.",
    ),
    "folder": ("a folder does not let its files be claimed", "Give the user {user} rights to read and write it."),
    "file": ("a file cannot be read", "Give the user {user} the right to read it; it is tried again by itself."),
    "sticky": (
        "a sticky folder keeps others' files from being claimed",
        "chmod -t the folder, or let their owner run digitrec.",
    ),
}


def _state_disk(state: Path) -> Check:
    kind = folder_id.get_filesystem(state)
    if folder_id.is_remote_filesystem(kind):
        cure = "Name a folder on a local disk with state_dir (digitrec.toml or DIGITREC_STATE_DIR)."
        # What runs in user space is often a local disk all the same.
        grade = warning if kind.startswith("fuse") else failed
        return grade("state", f"{state} lies on {kind}; the ledger needs a disk whose locks hold", cure)
    return passed("state", f"{state} lies on a local disk ({kind or 'unknown filesystem'})")


def _others(found: list[str]) -> str:
    return f" and {len(found) - 1} more" if len(found) > 1 else ""


def _user() -> str:
    return str(os.geteuid())
