"""What can go wrong, the exit code each has, and the next thing to try.

Only `cli.main` prints these. `RejectedImage` never reaches it: it becomes a row with a reason.
"""

import errno
import os
from pathlib import Path
from typing import ClassVar

from digitrec.records import Reason


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

    hint = "Every worker needs the same digitrec and requirements.lock, and the inbox at the same path."


def failure_of(why: OSError) -> EnvironmentFailure:
    """What a disk or a folder refused, in words; a draft's own name would tell nobody anything.

    >>> str(failure_of(PermissionError(13, "Permission denied", "/proc/nothing/.x0.part")))
    '/proc may not be used by this user: Permission denied'
    """
    if why.errno not in {errno.EACCES, errno.EPERM, errno.EROFS} or why.filename is None:
        return EnvironmentFailure(f"disk or folder failed: {why}", hint=_DOCTOR)
    place = Path(os.fsdecode(why.filename))
    while place.name and not os.access(place, os.F_OK):
        place = place.parent
    return EnvironmentFailure(f"{place} may not be used by this user: {why.strerror}", hint=_DOCTOR)


_DOCTOR = "Put it right and start again, nothing is lost; `digitrec doctor` looks at every folder and names the cure."


class RejectedImage(Exception):
    """This file, or this page of it, has no answer; `reason` is one of the rejecting reason codes."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail or reason.words)
        self.reason = reason
        self.detail = detail or reason.words
