"""What can go wrong, the exit code each has, and the next thing to try.

Only `cli.main` prints these. `RejectedImage` never reaches it: it becomes a row with a reason.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from digitrec.types import Reason


class DigitrecError(Exception):
    """Something a person can put right; `hint` says how."""

    exit_code: ClassVar[int] = 1
    hint: str = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint


class UsageError(DigitrecError):
    """The command was called wrongly."""

    exit_code = 2


class MissingPackage(UsageError):
    """A slim installation cannot do this."""


class DataError(DigitrecError):
    """A data set cannot be used."""

    exit_code = 2
    hint = "`digitrec explore --help` lists what --data takes."


class EnvironmentFailure(DigitrecError):
    """Disk, folder or ledger cannot be used now; nothing is lost and a later try goes on from here."""

    exit_code = 74
    hint = "Put it right and start again: claimed files are kept and finished by the next run."


class UnexpectedFailure(EnvironmentFailure):
    """An exception that nobody expected: its traceback is in the log."""

    hint = "Nothing is lost, and the next start goes on from here. The log has the traceback: please report it."


class ReadFailed(UnexpectedFailure):
    """Reading a batch raised an unexpected exception; its files stay claimed and are read again."""

    hint = "It is tried again, in the end file by file. The log has the traceback: please report it."


class NotEnoughMemory(EnvironmentFailure):
    """This process may not use the memory that reading takes; another try would fail as well."""

    hint = "Raise the limit, `ulimit -v` in a shell or `LimitAS=` in a systemd unit, or remove it; nothing is lost."


_MEMORY_WORDS = ("cannot allocate memory", "failed to map segment", "can't start new thread")
"""What an ImportError of a native library or a RuntimeError says where memory is missing."""


class BusyError(DigitrecError):
    """Another process holds this inbox and worker."""

    exit_code = 75
    hint = "Wait for it to end, or start a second one with `--worker NAME`."


class SettingsError(DigitrecError):
    """A setting is outside its limits."""

    exit_code = 78
    hint = "`digitrec config` prints every setting and where its value comes from."


class ModelError(DigitrecError):
    """There is no model that can be used."""

    exit_code = 78
    hint = "Train one with `digitrec train`, or point --model at one."


class WorkerMismatch(ModelError):
    """A worker of the cluster would read otherwise than this process."""

    hint = "Every worker needs the same digitrec and locked packages, and the inbox at the same path."


def wrap_memory_error(why: Exception) -> NotEnoughMemory | None:
    """Return the failure that a person is told for an exception, if that is a sign of too little memory.

    >>> str(wrap_memory_error(ImportError("libpng16.so: failed to map segment from shared object")))
    'there is not enough memory: libpng16.so: failed to map segment from shared object'
    """
    is_one = isinstance(why, MemoryError) or any(words in str(why).lower() for words in _MEMORY_WORDS)
    return NotEnoughMemory(f"there is not enough memory: {describe_error(why)}") if is_one else None


@contextmanager
def note_step(step: str, place: Path | str) -> Iterator[None]:
    """Note in an OSError that leaves this block the step it failed in, and where if it has no path; innermost first.

    Errors of calls on an open file (write, read, lock) have no path of their own.
    """
    try:
        yield
    except OSError as why:
        if not getattr(why, "__notes__", ()):
            why.add_note(step if why.filename is not None else f"{step} in {place}")
        raise


def wrap_os_error(why: OSError) -> EnvironmentFailure:
    """Return the failure that a person is told for an OSError: the step, the path and the reason.

    >>> str(wrap_os_error(PermissionError(13, "Permission denied", "/proc/nothing/a.csv")))
    'disk or folder failed: /proc may not be used by this user: Permission denied'
    """
    step = getattr(why, "__notes__", ["disk or folder"])[0]
    return EnvironmentFailure(f"{step} failed: {describe_error(why)}", hint=_DOCTOR)


def describe_error(why: Exception) -> str:
    """Return what an exception says; of an OSError path and reason in words, without its number.

    >>> describe_error(NotADirectoryError(20, "Not a directory", "/proc/uptime/main/ledger.sqlite3"))
    '/proc/uptime is not a folder'
    >>> describe_error(OSError(18, "Invalid cross-device link", "/a", None, "/b"))
    '/a -> /b: Invalid cross-device link'
    >>> describe_error(OSError(28, "No space left on device"))
    'No space left on device'
    """
    if not isinstance(why, OSError) or why.filename is None:
        return getattr(why, "strerror", None) or str(why) or type(why).__name__
    reason = why.strerror or type(why).__name__
    paths = [_text(path) for path in (why.filename, why.filename2) if path is not None]
    there = [_nearest(Path(path)) for path in paths]
    if why.errno in _REFUSALS:
        # Of a rename that is refused, the folder that may not be written to.
        closed = [place for place in there if not os.access(place if place.is_dir() else place.parent, os.W_OK)]
        return f"{(closed or there)[0]} may not be used by this user: {reason}"
    files = [place for place in there if not place.is_dir()] if why.errno == errno.ENOTDIR else []
    return f"{files[0]} is not a folder" if files else f"{' -> '.join(paths)}: {reason}"


def _text(path: object) -> str:
    return os.fsdecode(path) if isinstance(path, bytes) else str(path)


def _nearest(place: Path) -> Path:
    """Return the path itself if it is there, else the nearest one above it that is."""
    while place.name and not os.access(place, os.F_OK):
        place = place.parent
    return place


_REFUSALS = {errno.EACCES, errno.EPERM, errno.EROFS}
ENVIRONMENT_ERRORS = (EnvironmentFailure, OSError, sqlite3.Error)
"""Failures of the environment: they cost time, and are tried again."""
_DOCTOR = "Put it right and start again, nothing is lost; `digitrec doctor` looks at every folder and names the cure."


class RejectedImage(Exception):
    """This file, or this page of it, has no answer; `reason` is one of the rejecting reason codes."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail or reason.description)
        self.reason = reason
        self.detail = detail or reason.description


TRAINING_PACKAGES = ("tensorflow", "keras", "scipy")
"""What it takes to train a network."""
_INSTALLED_AS = {"sklearn": "scikit-learn"}
"""Packages whose name in an import is another one than for pip."""


def require_packages(what: str, *packages: str) -> None:
    """Refuse at once what could not be finished; imports nothing, as some of them take seconds.

    Args:
        what: the thing that is wanted, as a sentence begins.
        packages: by the names they are imported by.

    Raises:
        MissingPackage: not all of them are installed.

    >>> require_packages("A doctest", "json", "this_is_not_installed")
    Traceback (most recent call last):
    digitrec.errors.MissingPackage: A doctest needs this_is_not_installed, which is not installed here
    """
    missing = [_INSTALLED_AS.get(name, name) for name in packages if find_spec(name) is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        hint = f"Install with `python -m pip install {' '.join(missing)}`; docs/slim.md tells what works without."
        raise MissingPackage(f"{what} needs {', '.join(missing)}, which {verb} not installed here", hint=hint)
