"""The folders people see, told from look-alikes: an unmounted share looks like an empty folder."""

import secrets
from pathlib import Path

from digitrec import files, logs
from digitrec.errors import EnvironmentFailure

MARKER = ".digitrec-folder"


def check(folder: Path, known_id: str | None) -> str:
    """Make sure that a folder is the one we know; make it at first use.

    Args:
        folder: inbox or outbox.
        known_id: the random id in its marker, from the ledger; None at first use.

    Returns:
        Its id, to be remembered.

    Raises:
        EnvironmentFailure: it is missing, is another one, or is empty without its marker.
        OSError: it cannot be looked at or written.
    """
    if known_id is None:
        files.make_folder(folder)
        return _read(folder) or _mark(folder, secrets.token_hex(16))
    if not folder.is_dir():
        raise EnvironmentFailure(f"{folder} is missing", hint=_cure(folder))
    found = _read(folder)
    if found == known_id:
        return known_id
    if found is not None:
        raise EnvironmentFailure(f"{folder} is another folder than before", hint=_cure(folder))
    if not any(folder.iterdir()):
        raise EnvironmentFailure(f"{folder} is empty and has lost its marker", hint=_cure(folder))
    logs.warn("folder had lost its marker, got it again", folder=folder)
    return _mark(folder, known_id)


def accept(folder: Path) -> str:
    """Take a new or emptied folder as it is (`digitrec init`); gives its id."""
    files.make_folder(folder)
    return _read(folder) or _mark(folder, secrets.token_hex(16))


def _read(folder: Path) -> str | None:
    try:
        return (folder / MARKER).read_text(encoding="ascii", errors="replace").strip() or None
    except FileNotFoundError:
        return None


def _mark(folder: Path, identity: str) -> str:
    files.write_whole(folder / MARKER, identity + "\n")
    return identity


def _cure(folder: Path) -> str:
    return f"If a share is not mounted, mount it. If {folder.name}/ is meant to be new, run `digitrec init`."
