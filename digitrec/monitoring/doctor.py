"""What could keep the service from its work, looked at now: one line each, with the cure."""

import ctypes
import errno
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from digitrec import text
from digitrec.errors import NotEnoughMemory, UsageError
from digitrec.images.threads import check_memory
from digitrec.monitoring import backlog, folder_checks, heartbeat
from digitrec.monitoring.folder_checks import Check, failed, passed, warning
from digitrec.monitoring.status import ModelStatus
from digitrec.pipeline import labels, scanner
from digitrec.pipeline.inbox import CLAIMED
from digitrec.pipeline.labels import LABELS_FILE as LABELS
from digitrec.pipeline.labels import LabelLookup
from digitrec.pipeline.ledgers import find_ledgers
from digitrec.settings import FILE_NAME, Settings
from digitrec.storage import folder_id
from digitrec.storage.ledger import Ledger

INOTIFY = Path("/proc/sys/fs/inotify")
_FEW = {"max_user_watches": 8192, "max_user_instances": 128, "max_queued_events": 16384}
_FIRST_YEAR = 2025
_IN_CREATE = 0x100
_IN_CLOEXEC = os.O_CLOEXEC


def check_clock(now_s: float, newest_s: float | None) -> Iterator[Check]:
    """Whether the time can be true.

    Args:
        now_s: seconds since 1970.
        newest_s: when the newest batch was claimed; None if there is none.
    """
    year = time.gmtime(max(0.0, now_s)).tm_year
    cure = "Set the clock, best by NTP: `timedatectl set-ntp true`."
    if year < _FIRST_YEAR:
        yield failed("clock", f"it says {year}; batches and rows would be dated wrongly", cure)
    elif newest_s is not None and newest_s > now_s + 60:
        yield failed("clock", f"the newest batch was claimed {newest_s - now_s:.0f} s in the future", cure)
    else:
        yield passed("clock", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_s)))


def check_memory_limit() -> Iterator[Check]:
    """Whether this process may use as much memory as reading takes; says nothing if so."""
    try:
        check_memory()
    except NotEnoughMemory as why:
        yield failed("memory", str(why), why.hint)


def check_events(inbox: Path, wanted: str, limits: Path = INOTIFY) -> Iterator[Check]:
    """Whether the inbox can be watched; if not, the timer's scan finds everything, a little later.

    Args:
        inbox: the folder.
        wanted: the setting `watch_mode`.
        limits: where the kernel shows its limits.
    """
    if wanted == "scan":
        yield passed("events", "not wanted (watch_mode is scan)")
        return
    kind = folder_id.get_filesystem(inbox)
    if folder_id.is_remote_filesystem(kind):
        cure = "Nothing, or set watch_mode to scan to say so."
        yield warning("events", f"the inbox lies on {kind}: no events of what others do there; scan only", cure)
        return
    found = {name: _limit(limits / name) for name in _FEW}
    told = ", ".join(f"{name} {'unknown' if number is None else number}" for name, number in found.items())
    few = {name: _FEW[name] for name, number in found.items() if number is not None and number < _FEW[name]}
    raised = " ".join(f"fs.inotify.{name}={least}" for name, least in few.items())
    number = _try_to_watch(inbox)
    if number == errno.ENOENT:
        yield warning("events", f"{told}; not tried, there is no inbox yet")
    elif number:
        full = " ".join(f"fs.inotify.{name}={4 * least}" for name, least in _FEW.items() if name != "max_queued_events")
        yield warning(
            "events", f"the inbox cannot be watched: {os.strerror(number)}; scan only ({told})", f"sysctl {full}"
        )
    elif few:
        yield warning("events", f"few are allowed: {told}", f"sysctl {raised}")
    else:
        yield passed("events", told)


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


_FOLDERS = ("inbox", "outbox")


def run_checks(settings: Settings, ledgers: Mapping[str, Ledger], model: ModelStatus, now_s: float) -> Iterator[Check]:
    """Look at everything, as the user who runs this.

    Args:
        settings: checked already, or there would be none.
        ledgers: of all workers, by name, as far as they can be opened.
        model: the one in use.
        now_s: seconds since 1970.
    """
    given = sorted(f"{name} ({source})" for name, source in settings.sources.items() if name != "workspace")
    yield passed("settings", ", ".join(given) or f"all at their defaults; {FILE_NAME} and DIGITREC_X can change them")
    mine = ledgers.get(settings.worker)
    known = {name: identity for name in _FOLDERS if (identity := _fact(mine, f"{name}_id"))}
    devices = {name: device for name in known if (device := _fact(mine, f"{name}_device"))}
    yield from folder_checks.check_folders(settings, known, devices)
    yield from check_events(settings.inbox, settings.watch_mode)
    yield from check_memory_limit()
    yield from check_clock(now_s, max(map(_newest_s, ledgers.values()), default=None, key=lambda at: at or 0.0))
    yield _model(model)
    there: Mapping[str, Path] = {}
    with suppress(OSError):  # the rights on the state folder are told by then
        there = find_ledgers(settings)
    for worker, path in there.items():
        yield _ledger(worker, ledgers.get(worker))
        yield from _backups(worker, path)
        yield from _noticed(worker, path.parent, now_s)
    yield from _claims(settings, there)
    yield from _labels(settings)


def _model(model: ModelStatus) -> Check:
    if model.problem:
        cure = "`digitrec models rollback` goes back to the one before, `models promote shipped` to the shipped."
        return failed("model", model.problem, cure)
    return passed("model", f"{model.name}: whole and unaltered")


def _ledger(worker: str, ledger: Ledger | None) -> Check:
    what = f"ledger {worker}"
    start = f"`digitrec run --worker {worker}`"
    if ledger is None:
        return failed(what, "it cannot be opened", "Look at the rights on it.")
    try:
        if not ledger.is_intact():
            return failed(what, "it is damaged", f"{start} sets it aside and makes it again from the outbox.")
        if not ledger.is_up_to_date():
            return warning(what, "another version of digitrec wrote it", ledger.version_hint(worker))
    except sqlite3.OperationalError as why:
        return failed(what, f"it cannot be read: {why}", "Look at the rights on it, and at who holds it.")
    except sqlite3.DatabaseError as why:
        return failed(what, f"it is damaged: {why}", f"{start} sets it aside and makes it again from the outbox.")
    return passed(what, "every page is sound")


def _noticed(worker: str, folder: Path, now_s: float) -> Iterator[Check]:
    """The last exception that nobody expected: a fault of digitrec, or of its installation."""
    heart = heartbeat.read_heartbeat(folder)
    if heart is None or heart.unexpected_at_s is None:
        return
    ago_s = max(0.0, now_s - heart.unexpected_at_s)
    detail = f"{ago_s:.0f} s ago: {heart.unexpected}"
    cure = "Please report it with the traceback, which the log of that time has."
    is_over = heart.scanned_at_s is not None and heart.scanned_at_s > heart.unexpected_at_s
    yield (warning if is_over else failed)(f"worker {worker}", detail, cure)


def _backups(worker: str, path: Path) -> Iterator[Check]:
    """Copies that upgrades made before they changed the ledger."""
    found = sorted(one.name for one in path.parent.glob(f"{path.name}.backup-*"))
    if found:
        detail = f"{', '.join(found)} from before an upgrade, to go back with"
        yield warning(f"ledger {worker}", detail, "Remove it when you are sure of this version (docs/upgrading.md).")


def _claims(settings: Settings, there: Mapping[str, Path]) -> Iterator[Check]:
    """Claims whose worker has no ledger here: nobody is going to finish them by itself."""
    try:
        found = [
            name for name in backlog.list_claiming_workers(settings.inbox) if backlog.list_claims(settings.inbox, name)
        ]
    except OSError as why:
        yield failed("claims", f"{settings.inbox / CLAIMED} cannot be looked at: {why.strerror}", "Look at the rights.")
        return
    for name in found:
        if name not in there:
            cure = f"If that worker lives elsewhere, nothing. If it is gone: `digitrec requeue --worker {name}`."
            yield warning("claims", f"worker {name} holds files, and its ledger is not here", cure)


def _fact(ledger: Ledger | None, name: str) -> str | None:
    try:
        return ledger.get_meta(name) if ledger else None
    except sqlite3.DatabaseError:  # `_ledger` tells
        return None


def _newest_s(ledger: Ledger) -> float | None:
    try:
        batches = ledger.batches()
    except sqlite3.DatabaseError:  # `_ledger` tells
        return None
    return text.batch_opened_s(batches[-1].id) if batches else None


def _labels(settings: Settings) -> Iterator[Check]:
    """What `run` would warn of in labels files, and whether the one of the settings can be used."""
    given = settings.labels
    try:
        LabelLookup(settings.inbox, given)
    except UsageError as why:
        yield failed("labels", str(why), why.hint)
        given = None
    walked = folder_id.walk(
        settings.inbox, enters=lambda _, entry: scanner.is_scanned_folder(entry.name), failed=lambda *_: None
    )
    can_walk = os.access(settings.inbox, os.R_OK | os.X_OK)  # else `places` says so
    there = [path for path, entry in walked if entry.name == LABELS] if can_walk else []
    for path in [settings.inbox / path for path in there] + ([given] if given else []):
        table = labels.read_labels(path)
        shown = text.escape(str(path))
        if table.encoding == labels.UTF_16:
            yield failed("labels", f"{shown} is UTF-16; none of its labels is used", _SAVE)
        elif table.is_labels and table.encoding == labels.WINDOWS:
            yield warning("labels", f"{shown} is not UTF-8, and read as Windows-1252", _SAVE)
        if table.broken:
            yield warning("labels", f"{shown} is not understood from line {table.broken}", "Put that line right.")


_SAVE = "Save it as UTF-8; Excel calls that `CSV UTF-8`."
