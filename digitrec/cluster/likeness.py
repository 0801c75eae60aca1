"""Whether another process would read a picture as this one does: the same program, libraries and folder."""

from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

import digitrec
from digitrec import folders
from digitrec.errors import WorkerMismatch
from digitrec.recipe import RECIPE

LIBRARIES = ("ai-edge-litert", "numpy", "opencv-python-headless", "pillow", "pillow-heif", "pypdfium2", "simplejpeg")
"""What decodes and computes: another version may round otherwise, and then the same picture has two answers."""
_ABSENT = "not installed"

Likeness = Mapping[str, str]
"""Versions of what decides on an answer, by name."""


def here(inbox: str = "") -> Likeness:
    """Of this process.

    Args:
        inbox: the folder it would read from; "" if there is none.
    """
    found = {"digitrec": digitrec.__version__, "recipe": str(RECIPE)} | {name: _version(name) for name in LIBRARIES}
    return found | {inbox: _marker(Path(inbox))} if inbox else found


def question(inbox: str = "") -> Callable[[], Likeness]:
    """Asks a process for its likeness; one without digitrec can answer it, too."""

    def ask() -> Likeness:
        from importlib import import_module

        try:
            answer: Likeness = import_module("digitrec.cluster.likeness").here(inbox)
        except ImportError as why:  # not there, or of a version that knew no clusters
            return {"digitrec": f"not usable ({why})"}
        return answer

    return ask  # not a function of the module: it is sent as code, so that digitrec is not needed to receive it


def require(worker: str, theirs: Likeness, ours: Likeness) -> None:
    """Refuse a worker that may give other answers.

    Args:
        worker: its name or address, for the message.
        theirs: what it told.
        ours: of the process that would send it work.

    Raises:
        WorkerMismatch: they differ.

    >>> require("tcp://10.0.0.7:40001", {"recipe": "4"}, {"recipe": "5"})
    Traceback (most recent call last):
    digitrec.errors.WorkerMismatch: worker tcp://10.0.0.7:40001 would read otherwise: recipe is 4 there and 5 here
    """
    if theirs.get("digitrec", "").startswith("not usable"):
        raise WorkerMismatch(f"worker {worker} would read otherwise: digitrec is {theirs['digitrec']} there")
    other = [name for name in ours if theirs.get(name, _ABSENT) != ours[name]]
    if other:
        told = ", ".join(f"{name} is {theirs.get(name, _ABSENT)} there and {ours[name]} here" for name in other)
        raise WorkerMismatch(f"worker {worker} would read otherwise: {told}")


def _marker(folder: Path) -> str:
    """Tells a folder from others that are found at the same path."""
    try:
        return f"folder {folders.identity(folder)}"
    except OSError as why:
        return f"not readable ({why.strerror})"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return _ABSENT
