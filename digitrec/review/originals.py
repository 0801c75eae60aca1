"""An original below the outbox: opened folder by folder, no link followed, and given only if it is the one."""

import hashlib
import os
import stat
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Gone(Exception):
    """There is no such original any more, or another file has its name; says which."""


def read(outbox: Path, place: str, sha256: str, most_bytes: int) -> bytes:
    """The bytes of an original.

    Args:
        outbox: may be a link itself: that is the owner's business.
        place: where the ledger says it lies, under the workspace.
        sha256: of the bytes that were read.
        most_bytes: a larger one is not read.

    Raises:
        Gone: it was pruned, requeued, replaced or changed, or never filed away.
    """
    top, *parts = place.split("/")
    if top != outbox.name or not parts or any(part in {"", ".", ".."} for part in parts):
        raise Gone("the original was not filed away")
    try:
        descriptor = _opened(outbox, parts)
    except OSError as why:
        raise Gone(f"the original cannot be opened: {os.strerror(why.errno or 0)}") from why
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_size > most_bytes:
            raise Gone("what lies there is no picture file, or is too large")
        data = file.read(most_bytes)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Gone("another file has the name of the original")
    return data


def _opened(outbox: Path, parts: list[str]) -> int:
    folder = os.open(outbox, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            below = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        return os.open(parts[-1], _FILE, dir_fd=folder)
    finally:
        os.close(folder)
