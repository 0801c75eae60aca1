"""What `doctor` says: one finding a line, with its cure."""

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    FAULT = "FAULT"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line."""

    grade: Grade
    what: str
    """What was looked at."""
    detail: str
    cure: str = ""
    """What to do about it; "" if nothing needs doing."""


def ok(what: str, detail: str) -> Finding:
    """All is well."""
    return Finding(Grade.OK, what, detail)


def note(what: str, detail: str, cure: str = "") -> Finding:
    """It works, but not as one might think."""
    return Finding(Grade.NOTE, what, detail, cure)


def fault(what: str, detail: str, cure: str) -> Finding:
    """It does not work, or soon will not."""
    return Finding(Grade.FAULT, what, detail, cure)
