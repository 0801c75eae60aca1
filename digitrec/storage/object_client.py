"""Pictures in a store behind a URL: listed, read whole, never changed. Any store that fsspec knows (`s3://`, ...).

An object is told apart from what lay under its name before by its etag, size and time, as a file is by its inode.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from digitrec import files
from digitrec.errors import EnvironmentFailure, UsageError, require_packages
from digitrec.types import FileIdentity, FileSnapshot

_AT_ONCE = 8
"""So many objects of a chunk are fetched side by side: a store takes its time for each."""
_ETAGS = ("ETag", "etag", "md5Hash", "content_md5", "checksum", "ino")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")


class ObjectRef(NamedTuple):
    """One object."""

    source: str
    """The URL that its path is under."""
    path: str


class FetchRequest(NamedTuple):
    """An object, and what it must still be."""

    stored: ObjectRef
    identity: FileIdentity


class ObjectStore:
    """Everything under one URL."""

    def __init__(self, url: str) -> None:
        """Nothing is asked of the store yet.

        Raises:
            UsageError: this is no URL, or no store of this kind is known.
            MissingPackage: what speaks to such stores is not installed.
        """
        self.url = url.rstrip("/")
        self._fs, self._root = _open_filesystem(self.url)

    def list_objects(self, skipped: Callable[[str, str], None]) -> Iterator[FileSnapshot]:
        """Yield every object, in no particular order; report links to `skipped`.

        Raises:
            OSError, EnvironmentFailure: it cannot be listed.
        """
        with _convert_errors(self.url):
            self._fs.invalidate_cache()
            found: Mapping[str, Mapping[str, Any]] = self._fs.find(self._root, detail=True)
        for name, info in found.items():
            path = name.removeprefix(self._root).removeprefix("/")
            if not path or path.endswith("/") or info.get("type") == "directory":
                continue  # what stores keep in the place of a folder
            if info.get("islink"):
                skipped(path, "is a link")
            else:
                yield _make_snapshot(path, info)

    def fetch(self, wanted: Sequence[FetchRequest]) -> list[bytes | OSError | None]:
        """The content of each object, or why it cannot be had; None for one that is another by now.

        One request for the content and one for what it is afterwards: what is still as it was listed was so meanwhile.
        """
        if len(wanted) == 1:
            return [self._fetched(wanted[0])]
        with ThreadPoolExecutor(min(_AT_ONCE, max(1, len(wanted)))) as pool:
            return list(pool.map(self._fetched, wanted))

    def read(self, name: str) -> bytes | None:
        """An object of ours; None if it is not there."""
        with _convert_errors(f"{self.url}/{name}"):
            try:
                content: bytes = self._fs.cat_file(f"{self._root}/{name}")
            except FileNotFoundError:
                return None
        return content

    def atomic_create(self, name: str, content: bytes) -> None:
        """Put an object whole, never replacing one with other bytes.

        Raises:
            FileExistsError: one with this name and other content is there.
            OSError, EnvironmentFailure: it cannot be put.
        """
        before = self.read(name)
        if before is None:
            with suppress(FileExistsError):  # somebody was faster, or an earlier try did arrive
                self._put(name, content, mode="create")
                return
            before = self.read(name)
        if before != content:
            raise FileExistsError(errno.EEXIST, "an object with other content has this name", f"{self.url}/{name}")

    def write(self, name: str, content: bytes) -> None:
        """Put an object whole, in the place of one that may be there."""
        self._put(name, content, mode="overwrite")

    def _put(self, name: str, content: bytes, *, mode: str) -> None:
        with _convert_errors(f"{self.url}/{name}"):
            if "file" in _list_protocols(self._fs):  # there a put is not whole or nothing
                path = Path(self._root) / name
                files.make_dir(path.parent)
                (files.atomic_create if mode == "create" else files.atomic_write)(path, content)
            else:
                self._fs.pipe_file(f"{self._root}/{name}", content, mode=mode)

    def _fetched(self, wanted: FetchRequest) -> bytes | OSError | None:
        path = f"{self._root}/{wanted.stored.path}"
        try:
            with _convert_errors(f"{self.url}/{wanted.stored.path}"):
                content: bytes = self._fs.cat_file(path)
                now = _make_snapshot(wanted.stored.path, self._fs.info(path))
        except FileNotFoundError:
            return OSError(errno.ENOENT, "it is not there any more")
        except PermissionError as why:
            return OSError(errno.EACCES, str(why))
        except (OSError, EnvironmentFailure) as why:
            # Never EIO, which ends in a rejection: a store that fails is no fault of the file.
            return OSError(errno.EAGAIN, str(why))
        is_same = now.identity == wanted.identity and len(content) == now.size
        return content if is_same else None


def fetch_objects(wanted: Sequence[FetchRequest]) -> list[bytes | OSError | None]:
    """See `ObjectStore.fetch`; all of one source. Any process may: it needs the URL and the rights only."""
    return ObjectStore(wanted[0].stored.source).fetch(wanted) if wanted else []


def _make_snapshot(path: str, info: Mapping[str, Any]) -> FileSnapshot:
    """An object as one look found it."""
    etag = next((str(info[name]) for name in _ETAGS if info.get(name)), "")
    changed_ns = _parse_time_ns(next((info[name] for name in _TIMES if info.get(name)), 0))
    if "LastModified" in info:  # a listing may tell fractions of a second, and a look at one object does not
        changed_ns -= changed_ns % 10**9
    inode = int.from_bytes(hashlib.sha256(etag.strip('"').encode()).digest()[:8]) >> 1
    return FileSnapshot(path, int(info.get("size") or 0), changed_ns, changed_ns, inode)


def _parse_time_ns(when: object) -> int:
    """Nanoseconds since 1970."""
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    if isinstance(when, datetime):
        return round(when.timestamp() * 1e6) * 1000
    return round(float(str(when)) * 1e6) * 1000


@cache
def _open_filesystem(url: str) -> tuple[Any, str]:
    """The file system that a URL names, as fsspec calls it, and the path in it."""
    if "://" not in url or "::" in url:
        hint = "s3://BUCKET/PREFIX, or any other that fsspec knows; a folder is file:///PATH."
        raise UsageError(f"{url!r} is no URL of a store", hint=hint)
    require_packages("A store", "fsspec")
    from fsspec.core import url_to_fs

    try:
        fs, root = url_to_fs(url, use_listings_cache=False)
    except ValueError as why:
        raise UsageError(f"{url} cannot be used: {why}", hint="s3://BUCKET/PREFIX, for example.") from why
    except ImportError as why:
        hint = f"`python -m pip install {'s3fs' if url.startswith('s3') else 'the package it names'}` installs it."
        raise UsageError(f"{url} cannot be used: {why}", hint=hint) from why
    return fs, str(root).rstrip("/")


os.register_at_fork(after_in_child=_open_filesystem.cache_clear)  # its connections are the parent's


def _list_protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


@contextmanager
def _convert_errors(url: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EnvironmentFailure):
        raise
    except Exception as why:  # each kind of store has errors of its own, whose classes are not here to be named
        raise EnvironmentFailure(f"{url} failed: {type(why).__name__}: {why}", hint=_RIGHTS) from why


_RIGHTS = "Look at address, network and rights of the store; nothing is lost, and the next run goes on from here."
