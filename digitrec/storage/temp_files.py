"""Temporary files that a crash left: `.<16 hex digits>.part`, the name of a file until it is complete."""

import os
import re
import time
from contextlib import suppress
from pathlib import Path

from digitrec import logs
from digitrec.storage import folder_id

_TEMP_NAME = re.compile(r"\.[0-9a-f]{16}\.part")


def is_temp_name(name: str) -> bool:
    """Return whether a name is that of a temporary file; no original has one, as such files are never claimed.

    >>> is_temp_name(".0123456789abcdef.part"), is_temp_name("scan.part")
    (True, False)
    """
    return _TEMP_NAME.fullmatch(name) is not None


def remove_old_temp_files(folder: Path, *, older_than_s: float, pattern: re.Pattern[str] = _TEMP_NAME) -> None:
    """Remove the temporary files in a folder, except those that may still be written.

    Args:
        folder: may be missing.
        older_than_s: seconds since the last change, by ctime: a copy has the mtime of its original.
        pattern: matches the names of the temporary files.
    """
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        temp_files = [item for item in entries if pattern.fullmatch(item.name) and item.is_file(follow_symlinks=False)]
    for entry in temp_files:
        with suppress(FileNotFoundError):  # completed or removed by another worker
            if time.time() - entry.stat(follow_symlinks=False).st_ctime >= older_than_s:
                _remove(Path(entry.path))


def remove_all_temp_files(folder: Path) -> None:
    """Remove all temporary files in and below a folder that no other process writes to."""
    if folder.is_dir():
        entries = list(folder_id.walk(folder))
        for path, entry in entries:
            if is_temp_name(entry.name) and not folder_id.is_folder(entry):
                _remove(folder / path)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except PermissionError as why:
        logs.warning("a temporary file cannot be removed", file=path, why=why.strerror)
