"""The folders people see, told from look-alikes: an unmounted share looks like an empty folder."""

import secrets
from contextlib import suppress
from pathlib import Path

from digitrec import files, logs
from digitrec.errors import EnvironmentFailure

MARKER = ".digitrec-folder"


def check(folder: Path, known_id: str | None, *, is_first_use: bool = True) -> str:
    """Make sure that a folder is the one we know; make it at first use.

    Args:
        folder: inbox or outbox.
        known_id: the random id in its marker, from a ledger; None if no ledger knows it.
        is_first_use: False if no ledger knows it because that ledger is lost: then it is not made either.

    Returns:
        Its id, to be remembered.

    Raises:
        EnvironmentFailure: it is missing, is another one, or is empty without its marker.
        OSError: it cannot be looked at or written.
    """
    if known_id is None and is_first_use:
        files.make_folder(folder)
        return identity(folder) or _mark(folder, secrets.token_hex(16))
    if not folder.is_dir():
        raise EnvironmentFailure(f"{folder} is missing", hint=_cure(folder))
    found = identity(folder)
    if found is not None and known_id in (found, None):
        return found
    if found is not None:
        raise EnvironmentFailure(f"{folder} is another folder than before", hint=_cure(folder))
    if not any(folder.iterdir()):
        raise EnvironmentFailure(f"{folder} is empty and has lost its marker", hint=_cure(folder))
    logs.warn("folder had lost its marker, got it again", folder=folder)
    return _mark(folder, known_id or secrets.token_hex(16))


def accept(folder: Path, known_id: str | None) -> str:
    """Take a new or emptied folder as it is (`digitrec init`); gives its id: that in its marker, else the known one."""
    files.make_folder(folder)
    return identity(folder) or _mark(folder, known_id or secrets.token_hex(16))


def identity(folder: Path) -> str | None:
    """The random id in its marker; None if it has none."""
    try:
        return (folder / MARKER).read_text(encoding="ascii", errors="replace").strip() or None
    except FileNotFoundError:
        return None


def _mark(folder: Path, wanted: str) -> str:
    """Give a folder its marker, unless another worker was faster; gives the id in it now."""
    marker = folder / MARKER
    with suppress(FileExistsError):
        files.publish_new(marker, wanted + "\n")
    found = identity(folder)
    if found is None:  # a power cut has left it empty
        files.write_whole(marker, wanted + "\n")
    return found or wanted


def _cure(folder: Path) -> str:
    return f"If a share is not mounted, mount it. If {folder.name}/ is meant to be new, run `digitrec init`."
