"""Workspace whose inbox and outbox are object stores.

Objects are never moved, changed or deleted: only the ledger has their state (docs/dev/decisions/012-object-stores.md).
"""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from digitrec import files, logs
from digitrec.errors import EnvironmentFailure, UsageError
from digitrec.pipeline import scanner, workspace
from digitrec.pipeline.labels import LABELS_FILE, LabelLookup, is_labels_file
from digitrec.pipeline.scanner import AgeStability, SkippedCounts, StabilityTracker
from digitrec.settings import Settings
from digitrec.storage import csv_tables
from digitrec.storage.claims import Claim, FileSnapshot
from digitrec.storage.folder_id import MARKER
from digitrec.storage.ledger import Ledger
from digitrec.storage.object_client import FetchRequest, ObjectRef, ObjectStore
from digitrec.text import random_hex
from digitrec.types import OutputFormat, TableRow

if TYPE_CHECKING:
    from digitrec.pipeline.outcomes import OutcomeBuilder

_STORE_ID = "store_id"
_OTHER_WORKER_HINT = "Name another --worker NAME or --workspace DIR: each ledger is of one source and one outbox."
_OTHER_OUTBOX_HINT = "Use the state_dir that belongs to it, or name another --outbox: then everything is read again."


@dataclass(frozen=True, slots=True)
class ObjectStoreInbox:
    """Inbox of objects: claims exist only in the ledger."""

    source: ObjectStore
    ledger: Ledger

    def claim(self, batch_id: str, path: str) -> None:
        """Do nothing: objects are not moved."""

    def is_writable(self) -> bool:
        """Return True: nothing is written to a source."""
        return True

    def batches(self) -> list[str]:
        """Return no batches: only the ledger has them."""
        return []

    def claimed_files(self, batch_id: str) -> list[str]:
        """Return the paths of a batch in the ledger; a missing object causes an error when it is read."""
        return [claim.path for claim in self.ledger.claims(batch_id)]

    def make_durable(self, batch_id: str, paths: Iterable[str]) -> None:
        """Do nothing: the claims are durable in the ledger."""

    def location(self, batch_id: str, path: str) -> ObjectRef:  # noqa: ARG002 - signature of `Inbox`
        """Return the reference of an object."""
        return ObjectRef(self.source.url, path)

    def stat(self, batch_id: str, path: str) -> os.stat_result:
        """Raise FileNotFoundError: every claim is planned."""
        raise FileNotFoundError(f"{path} is in no plan of batch {batch_id}")

    def close(self, batch_id: str) -> None:
        """Do nothing: there is no folder to remove."""


@dataclass(frozen=True, slots=True)
class ObjectStoreOutbox:
    """Outbox of tables only, each created in one request; see `batch.Outbox`."""

    source: ObjectStore
    store: ObjectStore

    def publish(self, batch_id: str, rows: Sequence[TableRow], output_format: OutputFormat) -> None:
        """Create the tables, the main table last."""
        for name, text in csv_tables.render_tables(batch_id, rows, output_format).items():
            self.store.atomic_create(name, text.encode())

    def archive(self, claims: Sequence[Claim], rows: Sequence[TableRow]) -> list[Claim]:  # noqa: ARG002 - signature of `Outbox`
        """Return the claims with their URLs: originals are not moved."""
        return [replace(claim, location=f"{self.source.url}/{claim.path}") for claim in claims]

    def clean_up(
        self, batch_id: str, placed: Sequence[Claim], truth: LabelLookup, outcome_builder: "OutcomeBuilder"
    ) -> None:
        """Do nothing: label files are not moved."""


@dataclass(frozen=True, slots=True)
class ObjectStoreWorkspace:
    """Source and outbox of a worker whose lock this process holds; see `WorkspacePort`."""

    settings: Settings
    source: ObjectStore
    store: ObjectStore
    """The outbox."""
    ledger: Ledger
    labels: dict[str, tuple[FileSnapshot, bool]] = field(default_factory=dict)
    """Objects named labels.csv that were checked, and whether they are label files."""

    @property
    def inbox(self) -> ObjectStoreInbox:
        """The source as an inbox."""
        return ObjectStoreInbox(self.source, self.ledger)

    @property
    def outbox(self) -> ObjectStoreOutbox:
        """The store as an outbox."""
        return ObjectStoreOutbox(self.source, self.store)

    def clock_ns(self) -> int:
        """Return the time of this machine, as a store has no clock."""
        return time.time_ns()

    def scanned_at_s(self) -> float:
        """Return the time of this machine, seconds since 1970."""
        return time.time()

    def stability_tracker(self) -> StabilityTracker:
        """Return a tracker for which an object is complete `settle_s` after its last change."""
        return AgeStability(self.settings.settle_s)

    def scan(self, skipped: Callable[[str, str], None], passed: SkippedCounts | None = None) -> Iterator[FileSnapshot]:
        """Yield every unanswered object; a store has neither mounts nor overlong paths, which `passed` would count."""
        del passed
        for snapshot in self.source.list_objects(skipped):
            if scanner.find_ignored_part(snapshot.path) or self.ledger.was_answered(snapshot.path, snapshot.identity):
                continue
            if snapshot.path.rpartition("/")[2] != LABELS_FILE or not self._is_labels_object(snapshot):
                yield snapshot

    def check_folders(self) -> None:
        """Raise EnvironmentFailure if the outbox is another one than before."""
        stored_id, marker = self.ledger.get_meta(_STORE_ID), self.store.read(MARKER)
        if marker is None and stored_id is not None and self.ledger.batches():
            raise EnvironmentFailure(f"{self.store.url} is empty, or has lost its {MARKER}", hint=_OTHER_OUTBOX_HINT)
        if marker is not None and marker.decode(errors="replace").strip() != stored_id:
            raise EnvironmentFailure(f"{self.store.url} is the outbox of another ledger", hint=_OTHER_OUTBOX_HINT)
        if marker is None:
            stored_id = stored_id or random_hex(16)
            self.ledger.set_meta(
                _STORE_ID, stored_id
            )  # first: a marker that is not in the ledger belongs to another one
            self.store.atomic_create(MARKER, f"{stored_id}\n".encode())

    def _is_labels_object(self, snapshot: FileSnapshot) -> bool:
        """Return whether an object named labels.csv is a label file; if so, copy it for `LabelLookup`."""
        checked = self.labels.get(snapshot.path)
        if checked is None or checked[0] != snapshot:
            self.labels[snapshot.path] = snapshot, self._copy_labels(snapshot)
        return self.labels[snapshot.path][1]

    def _copy_labels(self, snapshot: FileSnapshot) -> bool:
        if "" in snapshot.path.split("/") or snapshot.size > self.settings.max_bytes:
            return False
        (content,) = self.source.fetch([FetchRequest(ObjectRef(self.source.url, snapshot.path), snapshot.identity)])
        if not isinstance(content, bytes):
            return False
        copy = self.settings.labels_folder / snapshot.path
        files.make_dir(copy.parent)
        files.atomic_write(copy, content)
        if not is_labels_file(copy):
            copy.unlink()
            return False
        return True


def publish_latest(url: str, batch_ids: Sequence[str]) -> None:
    """Replace latest.csv of the outbox at this URL; the last of several workers wins.

    Raises:
        EnvironmentFailure, OSError: the outbox cannot be read or written.
    """
    store = ObjectStore(url)
    if tables := csv_tables.read_tables(batch_ids, store.read):
        store.write(csv_tables.LATEST_NAME, csv_tables.merge_tables(tables))


@contextmanager
def open_object_store(settings: Settings) -> Iterator[ObjectStoreWorkspace]:
    """Hold the lock of this worker, with its ledger open and its outbox checked.

    Raises:
        UsageError: source and outbox do not fit together, or are not those of this ledger.
        BusyError: another process holds the lock.
        EnvironmentFailure, OSError, sqlite3.OperationalError: a store or the ledger cannot be used now.
    """
    source, outbox = _open_stores(settings)
    with workspace.exclusive_job(settings, f"source-{settings.worker}"), closing(_open_ledger(settings)) as ledger:
        _claim_ledger(settings, ledger, source, outbox)
        if settings.labels_folder.is_dir():
            shutil.rmtree(settings.labels_folder)  # copies of objects that may be deleted by now
        space = ObjectStoreWorkspace(settings, source, outbox, ledger)
        space.check_folders()
        yield space


def _open_stores(settings: Settings) -> tuple[ObjectStore, ObjectStore]:
    """Return source and outbox.

    Raises:
        UsageError: one is missing, or the outbox is inside the source.
    """
    if not settings.source or not settings.outbox_url:
        missing, other = ("--outbox", "--source") if settings.source else ("--source", "--outbox")
        hint = "Name both; a folder is file:///PATH. Without both, the folders inbox/ and outbox/ are used."
        raise UsageError(f"{other} is given without {missing}", hint=hint)
    source, outbox = ObjectStore(settings.source), ObjectStore(settings.outbox_url)
    if f"{outbox.url}/".startswith(f"{source.url}/"):
        hint = "Use an --outbox outside the source: its tables would be read as pictures."
        raise UsageError(f"the outbox {outbox.url} is inside the source {source.url}", hint=hint)
    return source, outbox


def _claim_ledger(settings: Settings, ledger: Ledger, source: ObjectStore, outbox: ObjectStore) -> None:
    """Store the URLs of source and outbox in the ledger; replace those of a ledger without batches.

    Raises:
        UsageError: the ledger has batches of other folders or stores.
    """
    urls = {"source_url": source.url, "outbox_url": outbox.url}
    stored = {name: ledger.get_meta(name) for name in urls}
    if stored == urls:
        return
    if any(stored.values()) and ledger.batches():
        stores = f"{stored['source_url']} into {stored['outbox_url']}"
        raise UsageError(f"worker {settings.worker} of this workspace reads {stores}", hint=_OTHER_WORKER_HINT)
    if ledger.batches():
        raise UsageError(f"worker {settings.worker} of this workspace reads {settings.inbox}", hint=_OTHER_WORKER_HINT)
    logs.info("first use of this source by this worker", source=source.url, outbox=outbox.url, worker=settings.worker)
    for name, url in urls.items():
        ledger.set_meta(name, url)


def _open_ledger(settings: Settings) -> Ledger:
    try:
        return Ledger.open(settings.ledger)
    except sqlite3.OperationalError:  # locked, no space or no access: not damaged
        raise
    except sqlite3.DatabaseError as why:
        raise EnvironmentFailure(f"the ledger {settings.ledger} is damaged: {why}", hint=_OTHER_OUTBOX_HINT) from why
