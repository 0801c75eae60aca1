"""Write and read the heartbeat file of a worker, and notify systemd.

The file is beside the ledger and replaced every few seconds. Only `status` and `metrics` read it: it is not fsynced,
and a failed write does not stop the work.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from digitrec import logs
from digitrec.errors import UnexpectedFailure
from digitrec.settings import Settings

FILE_NAME = "heartbeat.json"


class HeartbeatParams(NamedTuple):
    """Intervals of the heartbeat; chosen by hand, not measured."""

    write_interval_s: float = 2.0
    """Shortest time between two writes of an unchanged state, seconds."""
    notify_interval_s: float = 1.0
    """Shortest time between two watchdog notifications, and their timeout, seconds; far below WatchdogSec."""
    late_scans: int = 3
    """Number of scan intervals after which a worker is late."""
    late_reads: int = 5
    """Number of read timeouts after which a worker that reads is late."""


PARAMS = HeartbeatParams()


class Activity(StrEnum):
    """Current activity of a worker."""

    LOOKING = "looking"
    READING = "reading"
    FAILING = "failing"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """State of a worker. Times are seconds since 1970."""

    activity: Activity
    at_s: float
    pid: int
    host: str
    scan_interval_s: float
    read_timeout_s: float
    scanned_at_s: float | None = None
    observer: str = ""
    """'alive', 'scan only', or "" where there is none (`run`)."""
    model_id: str = ""
    failure: str = ""
    """Last failure of the environment; ongoing while `activity` is FAILING."""
    failed_at_s: float | None = None
    unexpected: str = ""
    """Last unexpected exception, in a line; the log has its traceback."""
    unexpected_at_s: float | None = None
    stages: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    """Count and total seconds of each stage of a batch since the first heartbeat."""

    def to_json(self) -> dict[str, object]:
        """Return the heartbeat with the keys of its file."""
        fields = asdict(self)
        return {"doing": fields.pop("activity"), **fields}

    def has_ended(self) -> bool:
        """Return True if the process is gone; unknown for one on another machine, or in another container."""
        is_here = self.host == socket.gethostname() and Path("/proc/self").exists()  # macOS has no /proc
        return self.activity is Activity.STOPPED or (is_here and not Path(f"/proc/{self.pid}").exists())

    def is_late(self, now_s: float) -> bool:
        """Return True if the next heartbeat is overdue.

        While a batch is read the inbox is not scanned, but every finished file counts as a heartbeat.
        """
        limit_s = PARAMS.late_scans * self.scan_interval_s
        if self.activity is Activity.READING:
            return now_s - self.at_s > max(limit_s, PARAMS.late_reads * self.read_timeout_s)
        return self.scanned_at_s is None or now_s - self.scanned_at_s > limit_s


def read_heartbeat(folder: Path) -> Heartbeat | None:
    """Return the last heartbeat in a worker's folder; None if it is missing or invalid."""
    try:
        fields = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        stages = {str(name): (int(count), float(s)) for name, (count, s) in fields.get("stages", {}).items()}
        activity = Activity(fields.pop("doing"))
        return Heartbeat(**fields | {"activity": activity, "stages": stages})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


class HeartbeatWriter:
    """Writes the heartbeat of this process, unless that of another running process is there."""

    def __init__(
        self,
        settings: Settings,
        observer: Callable[[], str] = str,
        *,
        now_s: Callable[[], float] = time.time,
        on_beat: Callable[[], None] = lambda: None,
    ) -> None:
        """Read the last heartbeat of the worker; write none.

        Args:
            settings: name the worker and its folder.
            observer: returns the state of the folder events, 'alive' or 'scan only'; "" if there is no observer.
            now_s: seconds since 1970.
            on_beat: called at each heartbeat, written or not.
        """
        self._on_beat = on_beat
        self._path = settings.ledger.with_name(FILE_NAME)
        self._observer = observer
        self._now_s = now_s
        own = Heartbeat(
            Activity.LOOKING,
            0.0,
            os.getpid(),
            socket.gethostname(),
            settings.scan_interval_s,
            settings.read_timeout_s,
        )
        last = read_heartbeat(self._path.parent)
        self._last = own if last is None else replace(own, **{name: getattr(last, name) for name in _INHERITED})
        self._has_lock = False
        self._is_reported = False

    def set_reading(self, model_id: str = "") -> None:
        """Beat while a batch is read; the lock of the worker is held."""
        self._has_lock = True
        self._beat(activity=Activity.READING, model_id=model_id or self._last.model_id)

    def set_scanned(self) -> None:
        """Beat at a scan of the inbox."""
        self._beat(activity=Activity.LOOKING, scanned_at_s=self._now_s())

    def set_failing(self, why: object) -> None:
        """Beat at a failure of the environment, which will be retried."""
        if isinstance(why, UnexpectedFailure):
            self.note_unexpected(str(why))
        self._beat(activity=Activity.FAILING, failure=str(why), failed_at_s=self._now_s())

    def note_unexpected(self, why: str) -> None:
        """Beat at an unexpected exception."""
        self._beat(unexpected=why, unexpected_at_s=self._now_s())

    @contextmanager
    def time_stage(self, stage: str) -> Iterator[None]:
        """Add the duration to the seconds of a stage; the next heartbeat has them."""
        started_s = time.monotonic()
        yield
        count, seconds = self._last.stages.get(stage, (0, 0.0))
        totals = {stage: (count + 1, seconds + time.monotonic() - started_s)}
        self._last = replace(self._last, stages={**self._last.stages, **totals})

    def set_stopped(self) -> None:
        """Beat at the end of the process."""
        self._beat(activity=Activity.STOPPED)

    def _beat(self, **changes: Any) -> None:
        self._on_beat()
        now_s, last = self._now_s(), self._last
        changes["observer"] = self._observer()
        is_changed = any(changes[name] != getattr(last, name) for name in _STATE & changes.keys())
        if not is_changed and 0 <= now_s - last.at_s < PARAMS.write_interval_s:
            return
        if not self._has_lock and self._is_anothers():
            return
        self._last = replace(last, at_s=now_s, **changes)
        try:
            _write(self._path, json.dumps(self._last.to_json()))
            self._is_reported = False
        except OSError as error:
            if not self._is_reported and self._path.parent.is_dir():
                logs.warning("the heartbeat cannot be written; work continues", file=self._path, why=error)
            self._is_reported = True

    def _is_anothers(self) -> bool:
        """Return True if another running process beats: `run` must not replace the heartbeat of `watch`."""
        beat = read_heartbeat(self._path.parent)
        return beat is not None and beat.pid != self._last.pid and not beat.has_ended()


_INHERITED = ("scanned_at_s", "failure", "failed_at_s", "unexpected", "unexpected_at_s", "stages")
"""Fields that a process takes over from the last heartbeat."""

_STATE = {"activity", "observer", "model_id", "failure", "unexpected"}
"""Fields whose change is written at once."""


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f"{FILE_NAME}.part")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        # A full disk has no block for a new file, but takes new content for the block that the old one has.
        with path.open("r+", encoding="utf-8") as file:
            file.write(text)
            file.truncate()


class SystemdNotifier:
    """Sends states to the socket of NOTIFY_SOCKET; without one, does nothing.

    >>> SystemdNotifier("").notify_ready()
    """

    def __init__(self, address: str | None = None) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "") if address is None else address
        # systemd writes an address in the abstract namespace with "@" for the zero byte it begins with.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._alive_at_s = 0.0
        self._is_ready = False

    def notify_ready(self) -> None:
        """Report that the service works, or retries on its own; sent once."""
        if not self._is_ready:
            self._is_ready = True
            self._send("READY=1")

    def notify_alive(self) -> None:
        """Reset the watchdog, at most once a second."""
        now_s = time.monotonic()
        if self._address and now_s - self._alive_at_s >= PARAMS.notify_interval_s:
            self._alive_at_s = now_s
            self._send("WATCHDOG=1")

    def notify_stopping(self) -> None:
        """Report that the service is shutting down."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        with (
            suppress(OSError),  # no listener: no reason to stop reading pictures
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
        ):
            sender.settimeout(PARAMS.notify_interval_s)
            sender.sendto(state.encode(), self._address)
