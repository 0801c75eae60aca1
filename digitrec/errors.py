"""Define the exceptions, with exit code and hint.

Only `cli.main` prints them. `RejectedImage` never reaches it: it becomes a row with a reason code.
"""

import errno
import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Self

from digitrec import __version__
from digitrec.types import Reason


class DigitrecError(Exception):
    """An error that a person can fix; `hint` is the next step."""

    exit_code: ClassVar[int] = 1
    hint: str = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint
        if self.hint:
            self.add_note(self.hint)  # below the message of a traceback, as in a notebook


class UsageError(DigitrecError):
    """A command was called with wrong arguments."""

    exit_code = 2


class MissingPackage(UsageError):
    """An optional package is not installed."""


class DataError(DigitrecError):
    """A data set cannot be used."""

    exit_code = 2
    hint = "`digitrec explore --help` lists what --data takes."


class EnvironmentFailure(DigitrecError):
    """Disk, folder or ledger cannot be used now; nothing is lost, and a later try continues."""

    exit_code = 74
    hint = "Fix it and start again: claimed files are kept and finished by the next run."


class UnexpectedFailure(EnvironmentFailure):
    """An unexpected exception; its traceback is in the log."""

    hint = "Nothing is lost, and the next start continues. The log has the traceback: please report it."


class ReadFailed(UnexpectedFailure):
    """Reading a batch raised an unexpected exception; its files stay claimed and are read again."""

    hint = "The batch is read again, in the end file by file. The log has the traceback: please report it."


class NotEnoughMemory(EnvironmentFailure):
    """The memory limit of the process is too low for reading; another try would fail, too."""

    hint = "Raise the limit, `ulimit -v` in a shell or `LimitAS=` in a systemd unit, or remove it; nothing is lost."


_MEMORY_WORDS = ("cannot allocate memory", "failed to map segment", "can't start new thread")
"""Parts of the messages of ImportError (native libraries) and RuntimeError when memory is short."""


class BusyError(DigitrecError):
    """Another process holds this inbox and worker."""

    exit_code = 75
    hint = "Wait for it to end, or start a second one with `--worker NAME`."


class SettingsError(DigitrecError):
    """A setting is outside its limits."""

    exit_code = 78
    hint = "`digitrec config` prints every setting and where its value comes from."


class ModelError(DigitrecError):
    """No usable model."""

    exit_code = 78
    hint = "Train one with `digitrec train`, or point --model at one."


class WorkerMismatch(ModelError):
    """A worker of the cluster has other versions than this process, and might read differently."""

    hint = "Every worker needs the same digitrec and locked packages, and the inbox at the same path."


def wrap_memory_error(error: Exception) -> NotEnoughMemory | None:
    """Return the failure to report for an exception that means too little memory, else None.

    >>> str(wrap_memory_error(ImportError("libpng16.so: failed to map segment from shared object")))
    'there is not enough memory: libpng16.so: failed to map segment from shared object'
    """
    if not isinstance(error, MemoryError) and not any(words in str(error).lower() for words in _MEMORY_WORDS):
        return None
    return NotEnoughMemory(f"there is not enough memory: {describe_error(error)}")


@contextmanager
def note_step(step: str, path: Path | str) -> Iterator[None]:
    """Add the step to an OSError that leaves this block, and the path if it has none; the innermost step is kept.

    Errors of calls on an open file (write, read, lock) have no path.
    """
    try:
        yield
    except OSError as error:
        if not getattr(error, "__notes__", ()):
            error.add_note(step if error.filename is not None else f"{step} in {path}")
        raise


def wrap_os_error(error: OSError) -> EnvironmentFailure:
    """Return the failure to report for an OSError: step, path and reason.

    >>> str(wrap_os_error(PermissionError(13, "Permission denied", "/proc/nothing/a.csv")))
    'disk or folder failed: /proc may not be used by this user: Permission denied'
    """
    step = getattr(error, "__notes__", ["disk or folder"])[0]
    hint = "Fix it and start again, nothing is lost; `digitrec doctor` checks every folder and names the fix."
    return EnvironmentFailure(f"{step} failed: {describe_error(error)}", hint=hint)


def describe_error(error: Exception) -> str:
    """Return the message of an exception; for an OSError with a path, path and reason without the error number.

    >>> describe_error(NotADirectoryError(20, "Not a directory", "/proc/uptime/main/ledger.sqlite3"))
    '/proc/uptime is not a folder'
    >>> describe_error(OSError(18, "Invalid cross-device link", "/a", None, "/b"))
    '/a -> /b: Invalid cross-device link'
    >>> describe_error(OSError(28, "No space left on device"))
    'No space left on device'
    """
    if not isinstance(error, OSError) or error.filename is None:
        return getattr(error, "strerror", None) or str(error) or type(error).__name__
    reason = error.strerror or type(error).__name__
    names = (name for name in (error.filename, error.filename2) if name is not None)
    paths = [os.fsdecode(name) if isinstance(name, bytes) else str(name) for name in names]
    existing = [_find_existing(Path(path)) for path in paths]
    if error.errno in _REFUSALS:
        # Of the two paths of a rename, name the folder that may not be written to.
        closed = [path for path in existing if not os.access(path if path.is_dir() else path.parent, os.W_OK)]
        return f"{(closed or existing)[0]} may not be used by this user: {reason}"
    files = [path for path in existing if not path.is_dir()] if error.errno == errno.ENOTDIR else []
    return f"{files[0]} is not a folder" if files else f"{' -> '.join(paths)}: {reason}"


def _find_existing(path: Path) -> Path:
    """Return a path, or its nearest parent that exists."""
    while path.name and not os.access(path, os.F_OK):
        path = path.parent
    return path


_REFUSALS = {errno.EACCES, errno.EPERM, errno.EROFS}
ENVIRONMENT_ERRORS = (EnvironmentFailure, OSError, sqlite3.Error)
"""Failures of the environment, which are retried."""


class RejectedImage(Exception):
    """A file, or a page, that cannot be read; `reason` is a rejecting reason code."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail or reason.description)
        self.reason = reason
        self.detail = detail or reason.description

    def without_traceback(self) -> Self:
        """Return this exception without its traceback, as a result that is kept.

        A traceback holds the variables of its frames: the result in one of them would keep the files and pictures of
        the others in memory until Python collects garbage of the oldest generation, which may take thousands of files.
        """
        self.__cause__ = self.__context__ = None
        return self.with_traceback(None)


TRAINING_PACKAGES = ("tensorflow", "keras", "scipy")
"""Packages that training needs."""
_INSTALLED_AS = {"sklearn": "scikit-learn"}
"""Import name to package name, where they differ."""
EXTRAS = {
    "reports": ("matplotlib", "seaborn", "sklearn", "scipy"),
    "train": (*TRAINING_PACKAGES, "mlxtend"),
    "frame": ("pandas",),
    "second-opinion": ("rapidocr", "onnxruntime"),
    "cluster": ("distributed",),
    "cloud": ("fsspec", "s3fs"),
}
"""Extras of pyproject.toml, and what is imported of the packages of each."""
_LATEST_TENSORFLOW_PYTHON = (3, 13)


def require_packages(feature: str, *packages: str) -> None:
    """Fail early if packages are missing; they are looked up, not imported, as some take seconds.

    Args:
        feature: subject of the error message.
        packages: import names.

    Raises:
        MissingPackage: a package is not installed.

    >>> require_packages("A doctest", "json", "this_is_not_installed")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    digitrec.errors.MissingPackage: A doctest needs this_is_not_installed, which is not installed here
    Install digitrec again: ...
    """
    if missing := [name for name in packages if find_spec(name) is None]:
        names = ", ".join(_INSTALLED_AS.get(name, name) for name in missing)
        verb = "is" if len(missing) == 1 else "are"
        raise MissingPackage(f"{feature} needs {names}, which {verb} not installed here", hint=_describe_extra(missing))


def _describe_extra(missing: Sequence[str]) -> str:
    """Return the command that installs packages, by the extra that has all of them."""
    if "tensorflow" in missing and sys.version_info[:2] > _LATEST_TENSORFLOW_PYTHON:
        return "TensorFlow has no release for this Python: install digitrec with Python 3.11 to 3.13."
    extra = next((name for name, packages in EXTRAS.items() if set(missing) <= set(packages)), None)
    wheel = f"./digitrec-{__version__}-py3-none-any.whl"
    if extra is None:  # packages that every installation has
        return f"Install digitrec again: `pip install {wheel}`; in a clone: `make setup`."
    return f"Install the extra {extra}: `pip install '{wheel}[{extra}]'`; in a clone: `make setup`."
