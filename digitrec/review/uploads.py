"""Store uploaded files in the inbox: streamed to a temporary file, checked by content, published without replacing.

The temporary files, `.upload-<16 hex digits>.part`, are never claimed: their names begin with a dot.
"""

import errno
import os
import re
import secrets
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from anyio import fail_after
from anyio.to_thread import run_sync

from digitrec import files, text
from digitrec.errors import DigitrecError, EnvironmentFailure, RejectedImage, wrap_os_error
from digitrec.images.decode import require_format
from digitrec.pipeline.ledgers import open_ledgers
from digitrec.settings import Settings
from digitrec.storage import folder_id, temp_files
from digitrec.types import Limits

_TEMP_NAME = re.compile(r"\.upload-[0-9a-f]{16}\.part")
_MAX_NAME_BYTES = 255
_NO_LINKS = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM, errno.EMLINK}
"""Errors of filesystems without hard links."""


@dataclass(frozen=True, slots=True)
class UploadParams:
    """Limits of an upload; chosen by hand, except those of the contract."""

    min_free_bytes: int = 1_000_000_000
    """No upload is accepted with less free space on the disk of the inbox."""
    dead_after_s: float = 86_400.0
    """Age at which a temporary file belongs to no upload any more, seconds."""
    cleanup_interval_s: float = 3600.0
    """Least time between two searches for such files, seconds."""
    stall_s: float = 60.0
    """Longest wait for the next bytes, seconds."""
    write_bytes: int = 1 << 20
    """Bytes that are collected before they are written."""
    head_bytes: int = 4096
    """Bytes from which the format is detected."""


PARAMS = UploadParams()


class UploadRefused(DigitrecError):
    """An upload is not stored; the message is for the person who sent it."""

    def __init__(self, message: str, status: int, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        """HTTP status of the response."""


def clean_name(name: str) -> str:
    r"""Return the last component of a path of any system, as the name of a file in the inbox.

    Raises:
        UploadRefused: there is no name, or files of this name are never read.

    >>> clean_name("C:\\scans\\7.png"), clean_name("../../7.png")
    ('7.png', '7.png')
    """
    name = name.replace("\\", "/").rpartition("/")[2]
    if not name or name in {".", ".."} or "\0" in name:
        raise UploadRefused("the file has no usable name", 400, "Rename the file.")
    if not text.is_candidate(name):
        hint = "Rename the file: names like this belong to temporary or hidden files."
        raise UploadRefused(f"files named {text.escape(name)} are never read", 400, hint)
    if len(os.fsencode(name)) > _MAX_NAME_BYTES:
        raise UploadRefused("the name of the file is too long", 400, "Rename the file: 255 bytes at most.")
    return name


def verify_inbox(settings: Settings) -> None:
    """Check that the inbox is the folder that the ledgers know: an unmounted share looks like an empty folder.

    Raises:
        EnvironmentFailure: it is missing or another folder.
    """
    with open_ledgers(settings, skip_unreadable=True) as ledgers:
        for ledger in ledgers.values():
            with suppress(sqlite3.DatabaseError):  # `doctor` reports a damaged one
                if expected_id := ledger.get_meta("inbox_id"):
                    folder_id.verify_folder(settings.inbox, expected_id, ledger.get_meta("inbox_device"))
                    return
    if not settings.inbox.is_dir():
        raise EnvironmentFailure(f"{settings.inbox} is missing", hint="`digitrec init` makes the folders.")


@dataclass(slots=True)
class InboxUploads:
    """Uploads into one inbox; any number may run at once."""

    inbox: Path
    limits: Limits
    verify: Callable[[], None]
    """Raise EnvironmentFailure if the inbox cannot be used now."""
    free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free
    params: UploadParams = PARAMS
    _next_cleanup_s: float = 0.0

    async def store(self, name: str, chunks: AsyncIterator[bytes], size: int | None) -> str:
        """Store the bytes of a file under its name, or `STEM~2.EXT` where that is taken; return the name.

        Args:
            name: as the browser tells it; only the last component of a path counts.
            chunks: the content.
            size: its announced length, bytes; None if it is unknown.

        Raises:
            UploadRefused: the name, kind or size is not accepted, or the disk is nearly full.
            EnvironmentFailure: the inbox cannot be used now.
        """
        name = clean_name(name)
        if size is not None and size > self.limits.max_bytes:
            raise self._too_large()
        await run_sync(self._check_folder, size or 0)
        temp_path = self.inbox / f".upload-{secrets.token_hex(8)}.part"
        is_published = False
        try:
            file = await run_sync(lambda: temp_path.open("xb", buffering=0))
            try:
                await self._receive(file, chunks)
                await run_sync(files.fsync, file)
            finally:
                file.close()
            stored = await run_sync(self._publish, temp_path, name)
            is_published = True
        except OSError as error:
            raise _wrap_write_error(error) from error
        finally:
            if not is_published:
                with suppress(OSError):
                    temp_path.unlink(missing_ok=True)
        return stored

    async def _receive(self, file: IO[bytes], chunks: AsyncIterator[bytes]) -> None:
        """Write the content to a file; the format is checked as soon as its first bytes are there."""
        pending, size, is_checked = bytearray(), 0, False
        while True:
            try:
                with fail_after(self.params.stall_s):
                    chunk = await anext(chunks, None)
            except TimeoutError:
                raise UploadRefused("the upload stopped", 408, "Send the file again.") from None
            pending += chunk or b""
            size += len(chunk or b"")
            if size > self.limits.max_bytes:
                raise self._too_large()
            is_end = chunk is None
            if not is_checked and (is_end or len(pending) >= self.params.head_bytes):
                self._check_kind(bytes(pending))
                is_checked = True
            if pending and is_checked and (is_end or len(pending) >= self.params.write_bytes):
                await run_sync(self._write, file, bytes(pending))
                pending.clear()
            if is_end:
                return

    def _check_kind(self, head: bytes) -> None:
        try:
            require_format(head, self.limits)
        except RejectedImage as why:
            raise UploadRefused(text.escape(why.detail), 415, "Send a picture or a PDF.") from why

    def _write(self, file: IO[bytes], data: bytes) -> None:
        self._check_space(len(data))
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]

    def _check_folder(self, size: int) -> None:
        self.verify()
        self._check_space(size)
        if time.monotonic() >= self._next_cleanup_s:
            self._next_cleanup_s = time.monotonic() + self.params.cleanup_interval_s
            temp_files.remove_old_temp_files(self.inbox, older_than_s=self.params.dead_after_s, pattern=_TEMP_NAME)

    def _check_space(self, size: int) -> None:
        if self.free_bytes(self.inbox) - size < self.params.min_free_bytes:
            raise UploadRefused(
                "less than 1 GB would be free on the disk of the inbox", 507, "Make room, then send the file again."
            )

    def _too_large(self) -> UploadRefused:
        limit = f"{self.limits.max_bytes} bytes"
        return UploadRefused(f"the file is larger than {limit}", 413, "The setting max_bytes is the limit.")

    def _publish(self, temp_path: Path, name: str) -> str:
        """Give a complete file its name, durably; return the name."""
        candidate = name
        while True:
            try:
                _link(temp_path, self.inbox / candidate)
            except FileExistsError:
                candidate = self._find_free(name)
                continue
            files.fsync_folder(self.inbox)
            return candidate

    def _find_free(self, name: str) -> str:
        """Return a numbered name that is free now; of thousands that are taken, few are looked at."""

        def is_taken(number: int) -> bool:
            return os.path.lexists(self.inbox / files.numbered_name(name, number))

        taken, free = 1, 2
        while is_taken(free):
            taken, free = free, 2 * free
        while free - taken > 1:
            middle = (taken + free) // 2
            taken, free = (middle, free) if is_taken(middle) else (taken, middle)
        return files.numbered_name(name, free)


def _link(temp_path: Path, path: Path) -> None:
    """Rename a file without replacing one, also where renameat2 is not supported, as on NFS."""
    try:
        os.link(temp_path, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        files.rename_exclusive(temp_path, path)
    else:
        temp_path.unlink()


def _wrap_write_error(error: OSError) -> Exception:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return UploadRefused("the disk of the inbox is full", 507, "Make room, then send the file again.")
    return wrap_os_error(error)
