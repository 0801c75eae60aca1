"""How a worker is, told to whoever asks: a small file beside its ledger, written whole every few seconds.

Nothing depends on it but `status` and `health`; it is not fsynced, and a disk that does not take it stops nothing.
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

from digitrec import logs
from digitrec.errors import UnexpectedFailure
from digitrec.settings import Settings

FILE_NAME = "heartbeat.json"
_EVERY_S = 2.0


class Activity(StrEnum):
    """What a worker is at."""

    LOOKING = "looking"
    READING = "reading"
    FAILING = "failing"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a worker told last. Times are seconds since 1970."""

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
    """The last failure of the environment; `doing` says whether it goes on."""
    failed_at_s: float | None = None
    unexpected: str = ""
    """The last exception that nobody expected, in a line; the log has its traceback."""
    unexpected_at_s: float | None = None
    stages: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    """How often each stage of a batch was gone through since the first heartbeat, and the seconds it took in all."""

    def to_json(self) -> dict[str, object]:
        """Return the heartbeat with the keys of its file."""
        fields = asdict(self)
        return {"doing": fields.pop("activity"), **fields}

    def has_ended(self) -> bool:
        """True if its process is known to be gone; one on another machine, or in another container, cannot be seen."""
        is_here = self.host == socket.gethostname()
        return self.activity is Activity.STOPPED or (is_here and not Path(f"/proc/{self.pid}").exists())

    def is_late(self, now_s: float) -> bool:
        """True if there should have been a sign of life since.

        While a batch is read the folder is not looked at, but every file that is done is a sign of life.
        """
        patience_s = 3 * self.scan_interval_s
        if self.activity is Activity.READING:
            return now_s - self.at_s > max(patience_s, 5 * self.read_timeout_s)
        return self.scanned_at_s is None or now_s - self.scanned_at_s > patience_s


def read_heartbeat(folder: Path) -> Heartbeat | None:
    """The last heartbeat in a worker's folder; None if there is none that can be understood."""
    try:
        found = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        stages = {str(name): (int(times), float(s)) for name, (times, s) in found.get("stages", {}).items()}
        activity = Activity(found.pop("doing"))
        return Heartbeat(**found | {"activity": activity, "stages": stages})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


class HeartbeatWriter:
    """Beats for one process, and only while no other one beats in its place."""

    def __init__(
        self,
        settings: Settings,
        observer: Callable[[], str] = str,
        *,
        now_s: Callable[[], float] = time.time,
        on_beat: Callable[[], None] = lambda: None,
    ) -> None:
        """Nothing is written yet.

        Args:
            settings: say whose heart it is.
            observer: tells how events are, 'alive' or 'scan only'; "" if there is no observer.
            now_s: seconds since 1970.
            on_beat: is called at each sign of life, for whoever watches over this process.
        """
        self._on_beat = on_beat
        self._path = settings.ledger.with_name(FILE_NAME)
        self._observer = observer
        self._now_s = now_s
        before = read_heartbeat(self._path.parent)
        self._last = Heartbeat(
            Activity.LOOKING,
            0.0,
            os.getpid(),
            socket.gethostname(),
            settings.scan_interval_s,
            settings.read_timeout_s,
            scanned_at_s=before.scanned_at_s if before else None,
            failure=before.failure if before else "",
            failed_at_s=before.failed_at_s if before else None,
            unexpected=before.unexpected if before else "",
            unexpected_at_s=before.unexpected_at_s if before else None,
            stages=before.stages if before else {},
        )
        self._is_ours = False
        self._told = False

    def set_reading(self, model_id: str = "") -> None:
        """The lock is held and something gets done."""
        self._is_ours = True
        self._beat(replace(self._last, activity=Activity.READING, model_id=model_id or self._last.model_id))

    def set_scanned(self) -> None:
        """The inbox is being looked at."""
        self._beat(replace(self._last, activity=Activity.LOOKING, scanned_at_s=self._now_s()))

    def set_failing(self, why: object) -> None:
        """The environment failed; there will be another try."""
        if isinstance(why, UnexpectedFailure):
            self.note_unexpected(str(why))
        self._beat(replace(self._last, activity=Activity.FAILING, failure=str(why), failed_at_s=self._now_s()))

    def note_unexpected(self, why: str) -> None:
        """An exception was raised that nobody expected."""
        self._beat(replace(self._last, unexpected=why, unexpected_at_s=self._now_s()))

    @contextmanager
    def time_stage(self, stage: str) -> Iterator[None]:
        """Add what this takes to the stage's seconds; they are told with the next beat."""
        began_s = time.monotonic()
        yield
        times, seconds = self._last.stages.get(stage, (0, 0.0))
        now = {stage: (times + 1, seconds + time.monotonic() - began_s)}
        self._last = replace(self._last, stages={**self._last.stages, **now})

    def set_stopped(self) -> None:
        """This is the end of the process."""
        self._beat(replace(self._last, activity=Activity.STOPPED))

    def _beat(self, now: Heartbeat) -> None:
        self._on_beat()
        now = replace(now, at_s=self._now_s(), observer=self._observer())
        is_news = _news(now) != _news(self._last)
        if not is_news and 0 <= now.at_s - self._last.at_s < _EVERY_S:
            return
        if not self._is_ours and self._is_anothers():
            return
        self._last = now
        try:
            _write(self._path, json.dumps(now.to_json()))
            self._told = False
        except OSError as why:
            if not self._told and self._path.parent.is_dir():
                logs.warning("status cannot be told, the work goes on", file=self._path, why=why)
            self._told = True

    def _is_anothers(self) -> bool:
        # `run` that finds the inbox held by `watch` must not speak for it.
        found = read_heartbeat(self._path.parent)
        return found is not None and found.pid != self._last.pid and not found.has_ended()


def _news(beat: Heartbeat) -> tuple[object, ...]:
    return (beat.activity, beat.observer, beat.model_id, beat.failure, beat.unexpected)


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


_EVERY_S_supervisor = 1.0


class SystemdNotifier:
    """The socket named by NOTIFY_SOCKET; without one every word is lost, and that is fine.

    >>> SystemdNotifier("").notify_ready()
    """

    def __init__(self, address: str | None = None) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "") if address is None else address
        # systemd writes an address in the abstract namespace with "@" for the zero byte it begins with.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._alive_at_s = 0.0
        self._is_ready = False

    def notify_ready(self) -> None:
        """The service works, or keeps trying by itself; told once."""
        if not self._is_ready:
            self._is_ready = True
            self._tell("READY=1")

    def notify_alive(self) -> None:
        """A sign of life for the watchdog; at most one a second is passed on."""
        now_s = time.monotonic()
        if self._address and now_s - self._alive_at_s >= _EVERY_S_supervisor:
            self._alive_at_s = now_s
            self._tell("WATCHDOG=1")

    def notify_stopping(self) -> None:
        """The end has been asked for, and is on its way."""
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        with (
            suppress(OSError),  # nobody listens any more: no reason to stop reading pictures
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as own,
        ):
            own.settimeout(_EVERY_S_supervisor)
            own.sendto(state.encode(), self._address)
