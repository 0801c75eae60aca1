"""The account: every file that was claimed is answered for, from disk and ledger. Needs no lock."""

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from digitrec import files
from digitrec.pipeline.inbox import CLAIMED
from digitrec.pipeline.labels import LABELS_FILE as LABELS
from digitrec.pipeline.rebuild import REBUILT_AT
from digitrec.storage import corrected_tables, csv_tables, folder_id, removals
from digitrec.storage.corrections import is_review_finished
from digitrec.storage.ledger import Ledger
from digitrec.storage.object_client import ObjectStore
from digitrec.storage.temp_files import is_temp_name
from digitrec.text import BATCH_ID, escape, pluralize
from digitrec.types import Batch, BatchStage, Claim, FileOutcome, OutcomeCounts, RemovalKind, RemovedOriginal


@dataclass(frozen=True, slots=True)
class IntegrityReport:
    """What `verify` found."""

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


def verify(workspace: Path, ledgers: Mapping[str, Ledger]) -> IntegrityReport:
    """Hold every batch against the disk. Reads every original that is still there, to the last byte.

    Args:
        workspace: holds inbox/ and outbox/.
        ledgers: of all workers, by name.
    """
    outbox = workspace / "outbox"
    # Before the ledgers are asked: work goes on meanwhile, and a ledger knows a batch before it is on the disk.
    lying = sorted(_lying(workspace))
    discrepancies: list[str] = []
    open_batches: list[str] = []
    notes: list[str] = []
    known: set[str] = set()
    count = OutcomeCounts()
    # A ledger that was made again may have taken over what another still knows better.
    rebuilt = {worker: ledger.get_meta(REBUILT_AT) for worker, ledger in ledgers.items()}
    for worker, ledger in sorted(ledgers.items(), key=lambda each: (rebuilt[each[0]] is not None, each[0])):
        rebuilt_at = rebuilt[worker]
        if rebuilt_at:
            notes.append(f"{worker}: ledger made again at {rebuilt_at}; files deferred before are not in the account")
            notes.append(f"{worker}: corrections from before are known of finished reviews only, and not who made them")
        if not ledger.is_up_to_date():
            notes.append(f"{worker}: ledger of another version: {ledger.version_hint(worker)}")
        outbox_url, source = ledger.get_meta("outbox_url"), ledger.get_meta("source_url")
        read = ObjectStore(outbox_url).read if outbox_url else partial(_content, outbox)
        notes += [f"{worker}: reads {source}; its tables are compared, its originals are not"] if source else []
        let_go: Counter[RemovalKind] = Counter()
        also_elsewhere = late = 0
        for batch in ledger.batches():
            if batch.id in known:
                also_elsewhere += 1
                continue
            known.add(batch.id)
            if batch.stage is not BatchStage.CLOSED:
                open_batches.append(batch.id)
                continue
            claims = ledger.claims(batch.id)
            count += OutcomeCounts.from_claims(claims)
            discrepancies += _of_tables(batch, ledger, read)
            discrepancies += _of_corrected(batch.id, ledger, outbox)
            late += not corrected_tables.is_table_current(ledger, batch.id) and is_review_finished(ledger, batch.id)
            # A store's originals are their owner's: never moved, and theirs to remove.
            claims = [] if source else claims
            gone = removals.find_removed(ledger, batch.id, claims, workspace)
            let_go.update(one.kind for one in gone.values())
            discrepancies += [f"{batch.id}: {escape(one)}" for one in _of_files(batch.id, claims, gone, workspace)]
        if late:
            tables = pluralize(late, "corrected table")
            notes.append(f"{worker}: {tables} not written yet; its next `run`, or `review`, does")
        if also_elsewhere:
            notes.append(f"{worker}: {also_elsewhere} of its batches also stand in another ledger; counted once")
        notes += [f"{worker}: {pluralize(n, 'original')} {what}; accounted for" for what, n in sorted(let_go.items())]
    for batch_id, path in lying:
        shown = path.relative_to(workspace)
        place = escape(shown.as_posix())
        if batch_id not in known and _holds_files(path):
            discrepancies.append(f"{place} is in no ledger")
        elif CLAIMED in shown.parts and batch_id not in open_batches and _holds_files(path):
            discrepancies.append(f"{place} holds files, and the batch is closed")
    closed = len(known) - len(open_batches)
    return IntegrityReport(count, closed, tuple(open_batches), tuple(notes), tuple(discrepancies))


def _lying(workspace: Path) -> Iterator[tuple[str, Path]]:
    """Every batch that shows on the disk, and where: its CSVs, originals and claims."""
    outbox, claimed = workspace / "outbox", workspace / "inbox" / CLAIMED
    tables = (outbox, outbox / corrected_tables.CORRECTED_FOLDER)
    homes = (outbox / "done", outbox / "rejected", *(claimed / name for name in _names(claimed)))
    for folder in (*tables, *homes):
        for name in _names(folder):
            batch_id = name.removesuffix(".csv").removesuffix(".digits") if folder in tables else name
            if BATCH_ID.fullmatch(batch_id):
                yield batch_id, folder / name


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _holds_files(path: Path) -> bool:
    """True for a file, and for a folder with a file below it that is no draft."""
    if not path.is_dir():
        return os.path.lexists(path)
    return any(not is_temp_name(entry.name) for _, entry in folder_id.walk(path) if not folder_id.is_folder(entry))


def _content(folder: Path, name: str) -> bytes | None:
    try:
        return (folder / name).read_bytes()
    except FileNotFoundError:
        return None


def _of_tables(batch: Batch, ledger: Ledger, read: Callable[[str], bytes | None]) -> Iterator[str]:
    """Compare the tables of a batch; `read` gives the content of a name in the outbox, None if it is not there."""
    rows = ledger.rows(batch.id)
    if batch.rendering is None:
        yield f"{batch.id}: closed without an answer"
        return
    answered = {row.path for row in rows}
    for claim in ledger.claims(batch.id):
        has_row = claim.path in answered
        if has_row is (claim.outcome in {FileOutcome.DEFERRED, None}):
            yield f"{batch.id}: {escape(claim.path)} is {claim.outcome} and has {'a' if has_row else 'no'} row"
    texts = {
        f"{batch.id}.csv": csv_tables.render_main(rows, batch.rendering),
        f"{batch.id}.digits.csv": csv_tables.render_digits(rows, batch.rendering),
    }
    for name, text in texts.items():
        found = read(name)
        if not rows:
            if found is not None:
                yield f"{name} is of a batch without rows"
        elif found is None:
            yield f"{name} is missing"
        elif found != text.encode():
            yield f"{name} differs from the ledger"


def _of_corrected(batch_id: str, ledger: Ledger, outbox: Path) -> Iterator[str]:
    if not corrected_tables.is_table_current(ledger, batch_id):
        return  # the review goes on, or a crash kept the table back
    path = outbox / corrected_tables.CORRECTED_FOLDER / f"{batch_id}.csv"
    text = corrected_tables.render_corrected(ledger, batch_id)
    shown = path.relative_to(outbox).as_posix()
    try:
        if text is None and os.path.lexists(path):
            yield f"{shown} tells corrections that are in no ledger"
        elif text is not None and path.read_bytes() != text.encode():
            yield f"{shown} differs from the ledger"
    except FileNotFoundError:
        yield f"{shown} is missing"


def _of_files(
    batch_id: str, claims: list[Claim], gone: Mapping[str, RemovedOriginal], workspace: Path
) -> Iterator[str]:
    expected: set[str] = set()
    for claim in claims:
        if claim.outcome is FileOutcome.DEFERRED:
            continue
        expected |= {claim.location, claim.reason_file}
        if claim.path in gone:
            continue
        if not claim.location:
            yield f"the original of {claim.path} is nowhere"
            continue
        yield from _of_original(claim, workspace)
    for kind in ("done", "rejected"):
        home = workspace / "outbox" / kind / batch_id
        for path, entry in folder_id.walk(home) if home.is_dir() else ():
            place = f"outbox/{kind}/{batch_id}/{path}"
            is_ours = place in expected or entry.name == LABELS or is_temp_name(entry.name)
            if not is_ours and not folder_id.is_folder(entry):
                yield f"{place} is in no ledger"


def _of_original(claim: Claim, workspace: Path) -> Iterator[str]:
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
    except OSError as why:
        yield f"{claim.location} cannot be read: {why.strerror}"
    if claim.outcome is FileOutcome.REJECTED and not (workspace / claim.reason_file).is_file():
        yield f"the reason file of {claim.location} is missing"
