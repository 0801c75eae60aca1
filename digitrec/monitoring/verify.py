"""Verify that every claimed file has an answer and its original, from disk and ledgers. Takes no lock."""

import os
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from digitrec import files
from digitrec.pipeline.inbox import CLAIMED
from digitrec.pipeline.labels import LABELS_FILE
from digitrec.pipeline.ledgers import order_by_trust
from digitrec.storage import corrected_tables, csv_tables, folder_id, removals
from digitrec.storage.claims import Claim, FileOutcome, OutcomeCounts, RemovalKind, RemovedOriginal
from digitrec.storage.corrections import is_review_finished
from digitrec.storage.ledger import Ledger
from digitrec.storage.object_client import ObjectStore
from digitrec.storage.schema import REBUILT_AT
from digitrec.storage.temp_files import is_temp_name
from digitrec.text import BATCH_ID, escape, pluralize
from digitrec.types import Batch, BatchStage


@dataclass(frozen=True, slots=True)
class IntegrityReport:
    """Reconciliation of ledgers and disk."""

    count: OutcomeCounts
    """Files of all closed batches."""
    batches: int
    open_batches: tuple[str, ...]
    notes: tuple[str, ...]
    discrepancies: tuple[str, ...]
    """Empty if everything is accounted for."""

    def to_json(self) -> dict[str, object]:
        """Return the report with the keys of `verify --json`."""
        return {
            "count": self.count.to_json(),
            "batches": self.batches,
            "open_batches": self.open_batches,
            "notes": self.notes,
            "differences": self.discrepancies,
            "claimed": self.count.claimed,
        }


def verify(workspace: Path, ledgers: Mapping[str, Ledger], elsewhere: Collection[str] = ()) -> IntegrityReport:
    """Compare every batch with the disk, and read every original to its last byte.

    Args:
        workspace: has inbox/ and outbox/.
        ledgers: of all workers of this machine, by name.
        elsewhere: workers of other machines; batches that are in no ledger may be theirs.
    """
    # List the disk before the ledgers: work goes on meanwhile, and a ledger has a batch before the disk has it.
    entries = sorted(_list_entries(workspace))
    reconciliation = _Reconciliation(workspace, elsewhere)
    for worker, ledger in order_by_trust(ledgers).items():
        reconciliation.add_ledger(worker, ledger)
    for batch_id, path in entries:
        reconciliation.add_entry(batch_id, path)
    return reconciliation.report()


class _Reconciliation:
    """Counts and discrepancies of the ledgers and files compared so far."""

    def __init__(self, workspace: Path, elsewhere: Collection[str]) -> None:
        self._workspace = workspace
        self._elsewhere = elsewhere
        self._outbox = workspace / "outbox"
        self._count = OutcomeCounts()
        self._batch_ids: set[str] = set()
        self._foreign_ids: set[str] = set()
        self._open_batches: list[str] = []
        self._notes: list[str] = []
        self._discrepancies: list[str] = []

    def add_ledger(self, worker: str, ledger: Ledger) -> None:
        """Compare the batches of a ledger that no earlier one has."""
        notes: list[str] = []
        if rebuilt_at := ledger.get_meta(REBUILT_AT):
            notes.append(f"ledger rebuilt at {rebuilt_at}; files deferred before are not counted")
            notes.append("corrections from before are known of finished reviews only, without the reviewer")
        if not ledger.is_up_to_date():
            notes.append(f"ledger of another version: {ledger.version_hint(worker)}")
        outbox_url, source = ledger.get_meta("outbox_url"), ledger.get_meta("source_url")
        if source:
            notes.append(f"reads {source}; its tables are compared, its originals are not")
        read = ObjectStore(outbox_url).read if outbox_url else partial(csv_tables.read_if_exists, self._outbox)
        removed: Counter[RemovalKind] = Counter()
        duplicates = pending = 0
        for batch in ledger.batches():
            if batch.id in self._batch_ids:
                duplicates += 1
                continue
            self._batch_ids.add(batch.id)
            if batch.stage is not BatchStage.CLOSED:
                self._open_batches.append(batch.id)
                continue
            claims = ledger.claims(batch.id)
            self._count += OutcomeCounts.from_claims(claims)
            self._discrepancies += _compare_tables(batch, claims, ledger, read)
            self._discrepancies += _compare_corrected(batch.id, ledger, self._outbox)
            pending += not corrected_tables.is_table_current(ledger, batch.id) and is_review_finished(ledger, batch.id)
            # Originals in an object store belong to their owner: never moved, and the owner's to remove.
            claims = [] if source else claims
            removals_by_path = removals.find_removed(ledger, batch.id, claims, self._workspace)
            removed.update(removal.kind for removal in removals_by_path.values())
            problems = _compare_files(batch.id, claims, removals_by_path, self._workspace)
            self._discrepancies += [f"{batch.id}: {escape(problem)}" for problem in problems]
        if pending:
            notes.append(f"{pluralize(pending, 'corrected table')} not written yet; its next `run`, or `review`, does")
        if duplicates:
            notes.append(f"{duplicates} of its batches are also in another ledger; counted once")
        notes += [f"{pluralize(count, 'original')} {kind}; accounted for" for kind, count in sorted(removed.items())]
        self._notes += [f"{worker}: {note}" for note in notes]

    def add_entry(self, batch_id: str, path: Path) -> None:
        """Compare a table or folder of a batch on the disk with the ledgers."""
        relative = path.relative_to(self._workspace)
        name = escape(relative.as_posix())
        if batch_id not in self._batch_ids and _has_files(path):
            if self._elsewhere and (CLAIMED not in relative.parts or path.parent.name in self._elsewhere):
                self._foreign_ids.add(batch_id)
            else:
                self._discrepancies.append(f"{name} is in no ledger")
        elif CLAIMED in relative.parts and batch_id not in self._open_batches and _has_files(path):
            self._discrepancies.append(f"{name} holds files, and the batch is closed")

    def report(self) -> IntegrityReport:
        """Return the result."""
        closed = len(self._batch_ids) - len(self._open_batches)
        if self._foreign_ids:
            batches, workers = pluralize(len(self._foreign_ids), "batch", "batches"), ", ".join(self._elsewhere)
            self._notes.append(f"{batches} in no ledger here: verify on the machine of worker {escape(workers)}, too")
        open_batches, notes = tuple(self._open_batches), tuple(self._notes)
        return IntegrityReport(self._count, closed, open_batches, notes, tuple(self._discrepancies))


def _list_entries(workspace: Path) -> Iterator[tuple[str, Path]]:
    """Yield the tables, originals and claims of each batch on the disk, with its id."""
    outbox, claimed = workspace / "outbox", workspace / "inbox" / CLAIMED
    tables = (outbox, outbox / corrected_tables.CORRECTED_FOLDER)
    folders = (outbox / "done", outbox / "rejected", *(claimed / name for name in _list_names(claimed)))
    for folder in (*tables, *folders):
        for name in _list_names(folder):
            batch_id = csv_tables.get_batch_id(name) if folder in tables else name
            if BATCH_ID.fullmatch(batch_id):
                yield batch_id, folder / name


def _list_names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _has_files(path: Path) -> bool:
    """Return True for a file, and for a folder with a file below it that is no draft."""
    if not path.is_dir():
        return os.path.lexists(path)
    return any(not is_temp_name(entry.name) for _, entry in folder_id.walk(path) if not folder_id.is_folder(entry))


def _compare_tables(
    batch: Batch, claims: list[Claim], ledger: Ledger, read: Callable[[str], bytes | None]
) -> Iterator[str]:
    """Compare the tables of a batch; `read` returns the content of a name in the outbox, None if it is missing."""
    rows = ledger.rows(batch.id)
    if batch.output_format is None:
        yield f"{batch.id}: closed without an answer"
        return
    answered = {row.path for row in rows}
    for claim in claims:
        has_row = claim.path in answered
        if has_row is (claim.outcome in {FileOutcome.DEFERRED, None}):
            yield f"{batch.id}: {escape(claim.path)} is {claim.outcome} and has {'a' if has_row else 'no'} row"
    for name, text in csv_tables.render_tables(batch.id, rows, batch.output_format).items():
        content = read(name)
        if not rows:
            if content is not None:
                yield f"{name} is of a batch without rows"
        elif content is None:
            yield f"{name} is missing"
        elif content != text.encode():
            yield f"{name} differs from the ledger"


def _compare_corrected(batch_id: str, ledger: Ledger, outbox: Path) -> Iterator[str]:
    if not corrected_tables.is_table_current(ledger, batch_id):
        return  # the review goes on, or a crash prevented the table
    texts = corrected_tables.render_corrected(ledger, batch_id)
    for name in (f"{batch_id}.numbers.csv", f"{batch_id}.csv"):
        path = outbox / corrected_tables.CORRECTED_FOLDER / name
        relative_name = path.relative_to(outbox).as_posix()
        try:
            if name not in texts and os.path.lexists(path):
                yield f"{relative_name} has corrections that are in no ledger"
            elif name in texts and path.read_bytes() != texts[name].encode():
                yield f"{relative_name} differs from the ledger"
        except FileNotFoundError:
            yield f"{relative_name} is missing"


def _compare_files(
    batch_id: str, claims: list[Claim], removed: Mapping[str, RemovedOriginal], workspace: Path
) -> Iterator[str]:
    expected: set[str] = set()
    for claim in claims:
        if claim.outcome is FileOutcome.DEFERRED:
            continue
        expected |= {claim.location, claim.reason_file}
        if claim.path in removed:
            continue
        if claim.location:
            yield from _compare_original(claim, workspace)
        else:
            yield f"the original of {claim.path} is nowhere"
    for kind in ("done", "rejected"):
        folder = workspace / "outbox" / kind / batch_id
        for path, entry in folder_id.walk(folder) if folder.is_dir() else ():
            name = f"outbox/{kind}/{batch_id}/{path}"
            is_ours = name in expected or entry.name == LABELS_FILE or is_temp_name(entry.name)
            if not is_ours and not folder_id.is_folder(entry):
                yield f"{name} is in no ledger"


def _compare_original(claim: Claim, workspace: Path) -> Iterator[str]:
    original = workspace / claim.location
    try:
        state = original.lstat()
        if not stat.S_ISREG(state.st_mode):
            yield f"{claim.location} is no regular file"
        elif state.st_size != claim.size:
            yield f"{claim.location} has {state.st_size} bytes, not {claim.size}"
        elif claim.sha256 and files.hash_file(original) != claim.sha256:
            yield f"{claim.location} has other content than was read"
    except (FileNotFoundError, NotADirectoryError):
        yield f"{claim.location} is missing"
        return
    except OSError as error:
        yield f"{claim.location} cannot be read: {error.strerror}"
    if claim.outcome is FileOutcome.REJECTED and not (workspace / claim.reason_file).is_file():
        yield f"the reason file of {claim.location} is missing"
