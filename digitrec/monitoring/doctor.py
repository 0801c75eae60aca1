"""Check settings, folders, host, model, ledgers and labels for problems; one line each, with the fix."""

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
from digitrec.monitoring.folder_checks import Check, failed, passed
from digitrec.monitoring.status import ModelStatus
from digitrec.pipeline import labels, scanner
from digitrec.pipeline.inbox import CLAIMED
from digitrec.pipeline.labels import LABELS_FILE, LabelLookup
from digitrec.pipeline.ledgers import find_ledgers
from digitrec.settings import FILE_NAME, Settings
from digitrec.storage import folder_id
from digitrec.storage.ledger import Ledger

INOTIFY = Path("/proc/sys/fs/inotify")
_MIN_LIMITS = {"max_user_watches": 8192, "max_user_instances": 128, "max_queued_events": 16384}
"""Inotify limits below which `doctor` warns; the defaults of common distributions."""
_MIN_YEAR = 2025
_MAX_FUTURE_S = 60
_IN_CREATE = 0x100
_IN_CLOEXEC = os.O_CLOEXEC
_FOLDERS = ("inbox", "outbox")
_SAVE_AS_UTF8 = "Save it as UTF-8; Excel calls that `CSV UTF-8`."


def check_clock(now_s: float, newest_s: float | None) -> Iterator[Check]:
    """Check the clock for a plausible time.

    Args:
        now_s: seconds since 1970.
        newest_s: when the newest batch was claimed; None if there is none.
    """
    year = time.gmtime(max(0.0, now_s)).tm_year
    fix = "Set the clock, best by NTP: `timedatectl set-ntp true`."
    if year < _MIN_YEAR:
        yield failed("clock", f"it says {year}; batches and rows would be dated wrongly", fix)
    elif newest_s is not None and newest_s > now_s + _MAX_FUTURE_S:
        yield failed("clock", f"the newest batch was claimed {newest_s - now_s:.0f} s in the future", fix)
    else:
        yield passed("clock", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_s)))


def check_memory_limit() -> Iterator[Check]:
    """Check the memory limit of this process; yields nothing if it is high enough to read pictures."""
    try:
        check_memory()
    except NotEnoughMemory as error:
        yield failed("memory", str(error), error.hint)


def check_events(inbox: Path, watch_mode: str, limits: Path = INOTIFY) -> Iterator[Check]:
    """Check that the inbox can be watched; otherwise the periodic scan finds the files, a little later.

    Args:
        inbox: the folder.
        watch_mode: the setting.
        limits: folder of the kernel's limits.
    """
    if watch_mode == "scan":
        yield passed("events", "not wanted (watch_mode is scan)")
        return
    kind = folder_id.get_filesystem(inbox)
    if folder_id.is_remote_filesystem(kind):
        fix = "Nothing, or set watch_mode to scan to say so."
        yield folder_checks.warning(
            "events", f"the inbox is on {kind}: no events of changes by other machines; scan only", fix
        )
        return
    values = {name: _read_limit(limits / name) for name in _MIN_LIMITS}
    detail = ", ".join(f"{name} {'unknown' if value is None else value}" for name, value in values.items())
    low = {name: _MIN_LIMITS[name] for name, value in values.items() if value is not None and value < _MIN_LIMITS[name]}
    error_number = _try_to_watch(inbox)
    if error_number == errno.ENOENT:
        yield folder_checks.warning("events", f"{detail}; not tried, there is no inbox yet")
    elif error_number:
        raised = {name: 4 * least for name, least in _MIN_LIMITS.items() if name != "max_queued_events"}
        problem = f"the inbox cannot be watched: {os.strerror(error_number)}; scan only ({detail})"
        yield folder_checks.warning("events", problem, _sysctl(raised))
    elif low:
        yield folder_checks.warning("events", f"few are allowed: {detail}", _sysctl(low))
    else:
        yield passed("events", detail)


def _sysctl(limits: Mapping[str, int]) -> str:
    return "sysctl " + " ".join(f"fs.inotify.{name}={value}" for name, value in limits.items())


def _read_limit(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _try_to_watch(folder: Path) -> int:
    """Watch a folder and return the errno; 0 if it can be watched."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(_IN_CLOEXEC)
    if descriptor < 0:
        return ctypes.get_errno()
    try:
        return 0 if libc.inotify_add_watch(descriptor, os.fsencode(folder), _IN_CREATE) >= 0 else ctypes.get_errno()
    finally:
        os.close(descriptor)


def run_checks(settings: Settings, ledgers: Mapping[str, Ledger], model: ModelStatus, now_s: float) -> Iterator[Check]:
    """Run every check as the current user; `ledgers` are the readable ones, by worker."""
    sources = sorted(f"{name} ({source})" for name, source in settings.sources.items() if name != "workspace")
    yield passed("settings", ", ".join(sources) or f"all at their defaults; {FILE_NAME} and DIGITREC_X can change them")
    own = ledgers.get(settings.worker)
    ids = {name: identity for name in _FOLDERS if (identity := _read_meta(own, f"{name}_id"))}
    devices = {name: device for name in ids if (device := _read_meta(own, f"{name}_device"))}
    yield from folder_checks.check_folders(settings, ids, devices)
    yield from check_events(settings.inbox, settings.watch_mode)
    yield from check_memory_limit()
    yield from check_clock(now_s, max(map(_newest_s, ledgers.values()), default=None, key=lambda at_s: at_s or 0.0))
    yield _check_model(model)
    ledger_paths: Mapping[str, Path] = {}
    with suppress(OSError):  # `check_folders` has reported it
        ledger_paths = find_ledgers(settings)
    for worker, path in ledger_paths.items():
        yield _check_ledger(worker, ledgers.get(worker))
        yield from _check_backups(worker, path)
        yield from _check_exceptions(worker, path.parent, now_s)
    yield from _check_claims(settings, ledger_paths)
    yield from _check_labels(settings)


def _check_model(model: ModelStatus) -> Check:
    if model.problem:
        fix = "`digitrec models rollback` goes back to the one before, `models promote shipped` to the shipped."
        return failed("model", model.problem, fix)
    return passed("model", f"{model.name}: complete, digests match")


def _check_ledger(worker: str, ledger: Ledger | None) -> Check:
    subject = f"ledger {worker}"
    rebuild = f"`digitrec run --worker {worker}` sets it aside and rebuilds it from the outbox."
    if ledger is None:
        return failed(subject, "it cannot be opened", "Check its permissions.")
    try:
        if not ledger.is_intact():
            return failed(subject, "it is damaged", rebuild)
        if not ledger.is_up_to_date():
            return folder_checks.warning(subject, "another version of digitrec wrote it", ledger.version_hint(worker))
    except sqlite3.OperationalError as error:
        return failed(subject, f"it cannot be read: {error}", "Check its permissions, and which process holds it.")
    except sqlite3.DatabaseError as error:
        return failed(subject, f"it is damaged: {error}", rebuild)
    return passed(subject, "every page is sound")


def _check_exceptions(worker: str, folder: Path, now_s: float) -> Iterator[Check]:
    """Report the last unexpected exception: a bug of digitrec, or a problem of its installation."""
    beat = heartbeat.read_heartbeat(folder)
    if beat is None or beat.unexpected_at_s is None:
        return
    ago_s = max(0.0, now_s - beat.unexpected_at_s)
    is_over = beat.scanned_at_s is not None and beat.scanned_at_s > beat.unexpected_at_s
    yield (folder_checks.warning if is_over else failed)(
        f"worker {worker}",
        f"{ago_s:.0f} s ago: {beat.unexpected}",
        "Please report it with the traceback, which the log of that time has.",
    )


def _check_backups(worker: str, path: Path) -> Iterator[Check]:
    """Report the copies that upgrades made before they changed the ledger."""
    names = sorted(backup.name for backup in path.parent.glob(f"{path.name}.backup-*"))
    if names:
        detail = f"{', '.join(names)} from before an upgrade, to go back with"
        fix = "Remove it once this version has proved itself (docs/running.md)."
        yield folder_checks.warning(f"ledger {worker}", detail, fix)


def _check_claims(settings: Settings, ledger_paths: Mapping[str, Path]) -> Iterator[Check]:
    """Report claims of workers without a ledger here: no run of this workspace finishes them."""
    try:
        workers = [
            worker
            for worker in backlog.list_claiming_workers(settings.inbox)
            if backlog.list_claims(settings.inbox, worker)
        ]
    except OSError as error:
        problem = f"{settings.inbox / CLAIMED} cannot be listed: {error.strerror}"
        yield failed("claims", problem, "Check its permissions.")
        return
    for worker in workers:
        if worker not in ledger_paths:
            fix = f"If that worker runs elsewhere, nothing. If it is gone: `digitrec requeue --worker {worker}`."
            yield folder_checks.warning("claims", f"worker {worker} holds files, and its ledger is not here", fix)


def _read_meta(ledger: Ledger | None, name: str) -> str | None:
    try:
        return ledger.get_meta(name) if ledger else None
    except sqlite3.DatabaseError:  # reported by `_check_ledger`
        return None


def _newest_s(ledger: Ledger) -> float | None:
    try:
        batches = ledger.batches()
    except sqlite3.DatabaseError:  # reported by `_check_ledger`
        return None
    return text.batch_opened_s(batches[-1].id) if batches else None


def _check_labels(settings: Settings) -> Iterator[Check]:
    """Report the warnings that `run` would give about labels files, and whether that of the settings is usable."""
    labels_path = settings.labels
    try:
        LabelLookup(settings.inbox, labels_path)
    except UsageError as error:
        yield failed("labels", str(error), error.hint)
        labels_path = None
    entries = folder_id.walk(
        settings.inbox, enters=lambda _, entry: scanner.is_scanned_folder(entry.name), failed=lambda *_: None
    )
    can_list = os.access(settings.inbox, os.R_OK | os.X_OK)  # otherwise reported by `check_folders`
    files = [settings.inbox / path for path, entry in entries if entry.name == LABELS_FILE] if can_list else []
    for path in files + ([labels_path] if labels_path else []):
        table = labels.read_labels(path)
        name = text.escape(str(path))
        if table.encoding == labels.UTF_16:
            yield failed("labels", f"{name} is UTF-16; none of its labels is used", _SAVE_AS_UTF8)
        elif table.is_labels and table.encoding == labels.WINDOWS:
            yield folder_checks.warning("labels", f"{name} is not UTF-8, and read as Windows-1252", _SAVE_AS_UTF8)
        if table.broken:
            yield folder_checks.warning(
                "labels", f"{name} cannot be parsed from line {table.broken}", "Correct that line."
            )
