"""What `doctor` finds out about the machine: clock, memory, and whether the kernel tells of changes."""

import ctypes
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

from digitrec.errors import NotEnoughMemory
from digitrec.images.threads import check_memory
from digitrec.monitoring.findings import Finding, fault, note, ok
from digitrec.storage import mounts

INOTIFY = Path("/proc/sys/fs/inotify")
_FEW = {"max_user_watches": 8192, "max_user_instances": 128, "max_queued_events": 16384}
_FIRST_YEAR = 2025
_IN_CREATE = 0x100
_IN_CLOEXEC = os.O_CLOEXEC


def clock(now_s: float, newest_s: float | None) -> Iterator[Finding]:
    """Whether the time can be true.

    Args:
        now_s: seconds since 1970.
        newest_s: when the newest batch was claimed; None if there is none.
    """
    year = time.gmtime(max(0.0, now_s)).tm_year
    cure = "Set the clock, best by NTP: `timedatectl set-ntp true`."
    if year < _FIRST_YEAR:
        yield fault("clock", f"it says {year}; batches and rows would be dated wrongly", cure)
    elif newest_s is not None and newest_s > now_s + 60:
        yield fault("clock", f"the newest batch was claimed {newest_s - now_s:.0f} s in the future", cure)
    else:
        yield ok("clock", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_s)))


def memory() -> Iterator[Finding]:
    """Whether this process may use as much memory as reading takes; says nothing if so."""
    try:
        check_memory()
    except NotEnoughMemory as why:
        yield fault("memory", str(why), why.hint)


def events(inbox: Path, wanted: str, limits: Path = INOTIFY) -> Iterator[Finding]:
    """Whether the inbox can be watched; if not, the timer's scan finds everything, a little later.

    Args:
        inbox: the folder.
        wanted: the setting `watch_mode`.
        limits: where the kernel shows its limits.
    """
    if wanted == "scan":
        yield ok("events", "not wanted (watch_mode is scan)")
        return
    kind = mounts.kind_of(inbox)
    if mounts.is_remote(kind):
        cure = "Nothing, or set watch_mode to scan to say so."
        yield note("events", f"the inbox lies on {kind}: no events of what others do there; scan only", cure)
        return
    found = {name: _limit(limits / name) for name in _FEW}
    told = ", ".join(f"{name} {'unknown' if number is None else number}" for name, number in found.items())
    few = {name: _FEW[name] for name, number in found.items() if number is not None and number < _FEW[name]}
    raised = " ".join(f"fs.inotify.{name}={least}" for name, least in few.items())
    number = _try_to_watch(inbox)
    if number == errno.ENOENT:
        yield note("events", f"{told}; not tried, there is no inbox yet")
    elif number:
        full = " ".join(f"fs.inotify.{name}={4 * least}" for name, least in _FEW.items() if name != "max_queued_events")
        yield note(
            "events", f"the inbox cannot be watched: {os.strerror(number)}; scan only ({told})", f"sysctl {full}"
        )
    elif few:
        yield note("events", f"few are allowed: {told}", f"sysctl {raised}")
    else:
        yield ok("events", told)


def _limit(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _try_to_watch(folder: Path) -> int:
    """The errno of watching a folder; 0 if it can be watched."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(_IN_CLOEXEC)
    if descriptor < 0:
        return ctypes.get_errno()
    try:
        return 0 if libc.inotify_add_watch(descriptor, os.fsencode(folder), _IN_CREATE) >= 0 else ctypes.get_errno()
    finally:
        os.close(descriptor)
