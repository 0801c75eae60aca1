"""Client of object stores: list, fetch and create objects under a URL that fsspec supports, such as `s3://`.

Etag, size and time identify the version of an object, as the inode does for a file.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from digitrec import files
from digitrec.errors import EnvironmentFailure, UsageError, describe_error, require_packages
from digitrec.storage.claims import FileIdentity, FileSnapshot

_MAX_PARALLEL = 8
"""Objects of a chunk that are fetched at the same time, as each request has a latency."""
_ETAGS = ("ETag", "etag", "md5Hash", "content_md5", "checksum", "ino")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")


class ObjectRef(NamedTuple):
    """Reference to an object."""

    source: str
    """URL that the path is relative to."""
    path: str


class FetchRequest(NamedTuple):
    """Object to fetch, and the version it must have."""

    ref: ObjectRef
    identity: FileIdentity


class ObjectStore:
    """Objects under one URL."""

    def __init__(self, url: str) -> None:
        """Prepare the client; send no request yet.

        Raises:
            UsageError: this is no URL, or its kind of store is not supported.
            MissingPackage: the client package of this kind of store is not installed.
        """
        self.url = url.rstrip("/")
        self._fs, self._root = _open_filesystem(self.url)

    def list_objects(self, skipped: Callable[[str, str], None]) -> Iterator[FileSnapshot]:
        """Yield every object, in no particular order; call `skipped` with links.

        Raises:
            EnvironmentFailure: it cannot be listed.
        """
        with _convert_errors(self.url):
            self._fs.invalidate_cache()
            try:
                objects: Mapping[str, Mapping[str, Any]] = self._fs.find(self._root, detail=True)
            except OSError as why:  # its message does not name the bucket
                raise EnvironmentFailure(f"{self.url} cannot be listed: {describe_error(why)}", hint=_RIGHTS) from why
        for name, info in objects.items():
            path = name.removeprefix(self._root).removeprefix("/")
            if not path or path.endswith("/") or info.get("type") == "directory":
                continue  # stands for a folder
            if info.get("islink"):
                skipped(path, "is a link")
            else:
                yield _make_snapshot(path, info)

    def fetch(self, requests: Sequence[FetchRequest]) -> list[bytes | OSError | None]:
        """Return the content of each object, or its error; None if the object has changed.

        Content and metadata are requested in this order: metadata that is unchanged afterwards proves the content.
        """
        if len(requests) == 1:
            return [self._fetch_object(requests[0])]
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(_MAX_PARALLEL, max(1, len(requests)))) as pool:
            return list(pool.map(self._fetch_object, requests))

    def read(self, name: str) -> bytes | None:
        """Return the content of an object; None if it does not exist."""
        with _convert_errors(f"{self.url}/{name}"):
            try:
                content: bytes = self._fs.cat_file(f"{self._root}/{name}")
            except FileNotFoundError:
                return None
        return content

    def atomic_create(self, name: str, content: bytes) -> None:
        """Create an object in one request; accept an existing one with the same content.

        Raises:
            FileExistsError: an object with this name has other content.
            OSError, EnvironmentFailure: it cannot be created.
        """
        before = self.read(name)
        if before is None:
            with suppress(FileExistsError):  # created by another process, or by an earlier try
                self._put(name, content, mode="create")
                return
            before = self.read(name)
        if before != content:
            raise FileExistsError(errno.EEXIST, "an object with other content has this name", f"{self.url}/{name}")

    def write(self, name: str, content: bytes) -> None:
        """Create or replace an object in one request."""
        self._put(name, content, mode="overwrite")

    def _put(self, name: str, content: bytes, *, mode: str) -> None:
        with _convert_errors(f"{self.url}/{name}"):
            if "file" in _list_protocols(self._fs):  # where a put is not atomic
                path = Path(self._root) / name
                files.make_dir(path.parent)
                (files.atomic_create if mode == "create" else files.atomic_write)(path, content)
                return
            try:
                self._fs.pipe_file(f"{self._root}/{name}", content, mode=mode)
            except FileExistsError:
                raise
            except OSError as why:
                raise EnvironmentFailure(
                    f"{self.url}/{name} cannot be written: {describe_error(why)}", hint=_RIGHTS
                ) from why

    def _fetch_object(self, request: FetchRequest) -> bytes | OSError | None:
        path = f"{self._root}/{request.ref.path}"
        try:
            with _convert_errors(f"{self.url}/{request.ref.path}"):
                content: bytes = self._fs.cat_file(path)
                current = _make_snapshot(request.ref.path, self._fs.info(path))
        except FileNotFoundError:
            return OSError(errno.ENOENT, "it is not there any more")
        except PermissionError as why:
            return OSError(errno.EACCES, str(why))
        except (OSError, EnvironmentFailure) as why:
            # Not EIO, which rejects the file in the end: the store failed, not the file.
            return OSError(errno.EAGAIN, str(why))
        is_same = current.identity == request.identity and len(content) == current.size
        return content if is_same else None


def fetch_objects(requests: Sequence[FetchRequest]) -> list[bytes | OSError | None]:
    """Fetch objects of one source; see `ObjectStore.fetch`. A worker needs only the URL and the permissions."""
    return ObjectStore(requests[0].ref.source).fetch(requests) if requests else []


def _make_snapshot(path: str, info: Mapping[str, Any]) -> FileSnapshot:
    """Return the snapshot of an object from its metadata."""
    etag = next((str(info[name]) for name in _ETAGS if info.get(name)), "")
    changed_ns = _parse_time_ns(next((info[name] for name in _TIMES if info.get(name)), 0))
    if "LastModified" in info:  # a listing may have fractions of a second, the metadata of one object has none
        changed_ns -= changed_ns % 10**9
    inode = int.from_bytes(hashlib.sha256(etag.strip('"').encode()).digest()[:8]) >> 1
    return FileSnapshot(path, int(info.get("size") or 0), changed_ns, changed_ns, inode)


def _parse_time_ns(when: object) -> int:
    """Return a time in nanoseconds since 1970."""
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    if isinstance(when, datetime):
        return round(when.timestamp() * 1e6) * 1000
    return round(float(str(when)) * 1e6) * 1000


@cache
def _open_filesystem(url: str) -> tuple[Any, str]:
    """Return the fsspec filesystem of a URL, and the path in it."""
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
        if url.startswith("s3"):
            require_packages("A store", "s3fs")
        raise UsageError(f"{url} cannot be used: {why}", hint="Install the package that it names.") from why
    return fs, str(root).rstrip("/")


os.register_at_fork(after_in_child=_open_filesystem.cache_clear)  # its connections belong to the parent


def _list_protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


@contextmanager
def _convert_errors(url: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EnvironmentFailure):
        raise
    except Exception as why:  # each kind of store raises its own classes of errors
        raise EnvironmentFailure(f"{url} failed: {type(why).__name__}: {why}", hint=_RIGHTS) from why


_RIGHTS = "Check the address, network and permissions of the store. No file is lost; the next run continues."
