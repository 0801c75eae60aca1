"""Drafts that a crash left behind: `.<16 hex>.part`, what a file is called until it is whole."""

import os
import re
import time
from contextlib import suppress
from pathlib import Path

from digitrec import logs
from digitrec.storage import folder_id

_DRAFT = re.compile(r"\.[0-9a-f]{16}\.part")


def is_temp_name(name: str) -> bool:
    """True for the name of a draft; no original has such a name, for none is ever claimed.

    >>> is_draft(".0123456789abcdef.part"), is_draft("scan.part")
    (True, False)
    """
    return _DRAFT.fullmatch(name) is not None


def remove_old_temp_files(folder: Path, *, older_than_s: float) -> None:
    """Remove the drafts in a folder, but none that may still be written.

    Args:
        folder: need not be there.
        older_than_s: seconds since its last change. By ctime: a copy bears the mtime of its original.
    """
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if is_temp_name(entry.name) and entry.is_file(follow_symlinks=False)]
    for entry in found:
        with suppress(FileNotFoundError):  # it is whole by now, or another worker was faster
            if time.time() - entry.stat(follow_symlinks=False).st_ctime >= older_than_s:
                _remove(Path(entry.path))


def _remove(draft: Path) -> None:
    try:
        draft.unlink(missing_ok=True)
    except PermissionError as why:
        logs.warning("a draft cannot be removed", file=draft, why=why.strerror)


def remove_all_temp_files(folder: Path) -> None:
    """Remove all drafts in a folder and those below it; nobody else may write there."""
    if not folder.is_dir():
        return
    found = [
        path for path, entry in folder_id.walk(folder) if is_temp_name(entry.name) and not folder_id.is_folder(entry)
    ]
    for path in found:
        _remove(folder / path)
