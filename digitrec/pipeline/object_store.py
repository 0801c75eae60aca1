"""A run whose pictures lie in a store, and whose tables go to one: what stands there for inbox, outbox and lock.

Objects are never moved, changed or deleted: the ledger alone knows which were answered (docs/decisions/012-cloud.md).
"""

import os
import secrets
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
from digitrec.storage.folder_id import MARKER
from digitrec.storage.ledger import Ledger
from digitrec.storage.object_client import FetchRequest, ObjectRef, ObjectStore
from digitrec.types import Claim, FileSnapshot, OutputFormat, TableRow

if TYPE_CHECKING:
    from digitrec.pipeline.outcomes import OutcomeBuilder

_ID = "store_id"
_OTHER_WORKER_HINT = "Name another --worker NAME or --workspace DIR: each ledger is of one source and one outbox."
_OTHER_OUTBOX_HINT = "Use the state_dir that belongs to it, or name another --outbox: then everything is read again."


@dataclass(frozen=True, slots=True)
class ObjectStoreInbox:
    """Stands for the inbox: what the ledger calls claimed is claimed, and lies where it lay."""

    source: ObjectStore
    ledger: Ledger

    def claim(self, batch_id: str, path: str) -> None:
        """Nothing to move."""

    def is_writable(self) -> bool:
        """Nothing is ever written there."""
        return True

    def batches(self) -> list[str]:
        """None shows without the ledger."""
        return []

    def claimed_files(self, batch_id: str) -> list[str]:
        """The files of a batch, by the ledger; one that has gone since is found out when it is read."""
        return [claim.path for claim in self.ledger.claims(batch_id)]

    def make_durable(self, batch_id: str, paths: Iterable[str]) -> None:
        """The ledger has them."""

    def location(self, batch_id: str, path: str) -> ObjectRef:  # noqa: ARG002 - a folder's inbox asks for it
        """Where it is read."""
        return ObjectRef(self.source.url, path)

    def stat(self, batch_id: str, path: str) -> os.stat_result:
        """Nothing is ever claimed without being planned."""
        raise FileNotFoundError(f"{path} is in no plan of batch {batch_id}")

    def close(self, batch_id: str) -> None:
        """Nothing to remove."""


@dataclass(frozen=True, slots=True)
class ObjectStoreOutbox:
    """Stands for the outbox: tables only. A put is whole or nothing; see `pipeline.Outbox`."""

    source: ObjectStore
    store: ObjectStore

    def publish(self, batch_id: str, rows: Sequence[TableRow], how: OutputFormat) -> None:
        """Put both tables, the digits first."""
        for name, text in csv_tables.render_tables(batch_id, rows, how).items():
            self.store.atomic_create(name, text.encode())

    def archive(self, claims: Sequence[Claim], rows: Sequence[TableRow]) -> list[Claim]:  # noqa: ARG002 - see above
        """They stay where they are."""
        return [replace(claim, location=f"{self.source.url}/{claim.path}") for claim in claims]

    def clean_up(
        self, batch_id: str, placed: Sequence[Claim], truth: LabelLookup, outcome_builder: "OutcomeBuilder"
    ) -> None:
        """Labels stay where they are, too."""


@dataclass(frozen=True, slots=True)
class ObjectStoreWorkspace:
    """A source and an outbox that this process holds the lock of; see `service.WorkspacePort`."""

    settings: Settings
    source: ObjectStore
    store: ObjectStore
    """The outbox."""
    ledger: Ledger
    labels: dict[str, tuple[FileSnapshot, bool]] = field(default_factory=dict)
    """Objects named labels.csv that were looked into, and whether they are the truth."""

    @property
    def inbox(self) -> ObjectStoreInbox:
        """What stands for the inbox."""
        return ObjectStoreInbox(self.source, self.ledger)

    @property
    def outbox(self) -> ObjectStoreOutbox:
        """What stands for the outbox."""
        return ObjectStoreOutbox(self.source, self.store)

    def clock_ns(self) -> int:
        """The time of this machine: a store tells none."""
        return time.time_ns()

    def scanned_at_s(self) -> float:
        """The same in seconds."""
        return time.time()

    def stability_tracker(self) -> StabilityTracker:
        """An object is complete when its last change is `settle_s` old."""
        return AgeStability(self.settings.settle_s, 0)

    def scan(self, skipped: Callable[[str, str], None], passed: SkippedCounts | None = None) -> Iterator[FileSnapshot]:
        """Every object that has no answer as it is now; a store has neither mounts nor paths that are too long."""
        del passed
        for seen in self.source.list_objects(skipped):
            if scanner.find_ignored_part(seen.path) or self.ledger.was_answered(seen.path, seen.identity):
                continue
            if seen.path.rpartition("/")[2] != LABELS_FILE or not self._is_truth(seen):
                yield seen

    def check_folders(self) -> None:
        """Raise EnvironmentFailure if the outbox is not the one that it was."""
        known_id, found = self.ledger.get_meta(_ID), self.store.read(MARKER)
        if found is None and known_id is not None and self.ledger.batches():
            raise EnvironmentFailure(f"{self.store.url} is empty, or has lost its {MARKER}", hint=_OTHER_OUTBOX_HINT)
        if found is not None and found.decode(errors="replace").strip() != known_id:
            raise EnvironmentFailure(f"{self.store.url} is the outbox of another ledger", hint=_OTHER_OUTBOX_HINT)
        if found is None:
            known_id = known_id or secrets.token_hex(16)
            self.ledger.set_meta(_ID, known_id)  # first: what is there without being known is another ledger's
            self.store.atomic_create(MARKER, f"{known_id}\n".encode())

    def _is_truth(self, seen: FileSnapshot) -> bool:
        """Whether an object named labels.csv is one; if so, a copy is put where `LabelLookup` looks."""
        known = self.labels.get(seen.path)
        if known is None or known[0] != seen:
            self.labels[seen.path] = seen, self._copied(seen)
        return self.labels[seen.path][1]

    def _copied(self, seen: FileSnapshot) -> bool:
        wanted = FetchRequest(ObjectRef(self.source.url, seen.path), seen.identity)
        if "" in seen.path.split("/") or seen.size > self.settings.max_bytes:
            return False
        (content,) = self.source.fetch([wanted])
        if not isinstance(content, bytes):
            return False
        copy = self.settings.labels_folder / seen.path
        files.make_dir(copy.parent)
        files.atomic_write(copy, content)
        if not is_labels_file(copy):
            copy.unlink()
            return False
        return True


def publish_latest(url: str, batch_ids: Sequence[str]) -> None:
    """Replace latest.csv of the outbox at this URL; of several workers the last one to write wins.

    Raises:
        EnvironmentFailure, OSError: the outbox cannot be read or written.
    """
    store = ObjectStore(url)
    if tables := csv_tables.read_tables(batch_ids, store.read):
        store.write(csv_tables.LATEST_NAME, csv_tables.merge_tables(tables))


@contextmanager
def open_object_store(settings: Settings) -> Iterator[ObjectStoreWorkspace]:
    """Hold the lock of this worker, with its ledger open and its outbox looked at.

    Raises:
        UsageError: source and outbox do not go together, or are not those of this ledger.
        BusyError: another process holds the lock.
        EnvironmentFailure, OSError, sqlite3.OperationalError: a store or the ledger cannot be used now.
    """
    source, outbox = _open_stores(settings)
    with workspace.exclusive_job(settings, f"source-{settings.worker}"), closing(_open_ledger(settings)) as ledger:
        _claim_ledger(settings, ledger, source, outbox)
        if settings.labels_folder.is_dir():
            shutil.rmtree(settings.labels_folder)  # copies; the objects may have gone since
        space = ObjectStoreWorkspace(settings, source, outbox, ledger)
        space.check_folders()
        yield space


def _open_stores(settings: Settings) -> tuple[ObjectStore, ObjectStore]:
    """The source and the outbox.

    Raises:
        UsageError: one is missing, or the outbox lies in the source.
    """
    if not settings.source or not settings.outbox_url:
        missing, given = ("--outbox", "--source") if settings.source else ("--source", "--outbox")
        hint = "Name both; a folder is file:///PATH. Without both, the folders inbox/ and outbox/ are used."
        raise UsageError(f"{given} is given without {missing}", hint=hint)
    source, outbox = ObjectStore(settings.source), ObjectStore(settings.outbox_url)
    if f"{outbox.url}/".startswith(f"{source.url}/"):
        hint = "Name an --outbox beside it: its tables would be read as pictures."
        raise UsageError(f"the outbox {outbox.url} lies in the source {source.url}", hint=hint)
    return source, outbox


def _claim_ledger(settings: Settings, ledger: Ledger, source: ObjectStore, outbox: ObjectStore) -> None:
    mine = {"source_url": source.url, "outbox_url": outbox.url}
    known = {name: ledger.get_meta(name) for name in mine}
    if known == mine:
        return
    if any(known.values()):
        told = f"{known['source_url']} into {known['outbox_url']}"
        raise UsageError(f"worker {settings.worker} of this workspace reads {told}", hint=_OTHER_WORKER_HINT)
    if ledger.batches():
        raise UsageError(f"worker {settings.worker} of this workspace reads {settings.inbox}", hint=_OTHER_WORKER_HINT)
    logs.info("first use of this source by this worker", source=source.url, outbox=outbox.url, worker=settings.worker)
    for name, url in mine.items():
        ledger.set_meta(name, url)


def _open_ledger(settings: Settings) -> Ledger:
    try:
        return Ledger.open(settings.ledger)
    except sqlite3.OperationalError:  # locked, no space, no access: not the ledger's fault
        raise
    except sqlite3.DatabaseError as why:
        raise EnvironmentFailure(f"the ledger {settings.ledger} is damaged: {why}", hint=_OTHER_OUTBOX_HINT) from why
