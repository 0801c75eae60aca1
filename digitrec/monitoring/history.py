"""What happened to a file, from the evidence: every claim of it, what was answered, where it lies, why it waits."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from digitrec import text
from digitrec.monitoring import backlog
from digitrec.pipeline import scanner
from digitrec.pipeline.inbox import CLAIMED
from digitrec.settings import Settings
from digitrec.storage import folder_id, removals, schema
from digitrec.storage.corrections import Correction, read_history
from digitrec.storage.ledger import Ledger
from digitrec.text import escape
from digitrec.types import Claim, FileOutcome, RemovalKind, RemovedOriginal, TableRow

_ROW = re.compile(r"(\d{8}T\d{6}Z-[0-9a-f]{8})/([1-9]\d{0,9})")
_DIGEST = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, slots=True)
class LocatedClaim:
    """A claim, and in whose ledger it is."""

    worker: str
    claim: Claim

    @property
    def key(self) -> str:
        """What tells it from every other one: batch and path, as a person can type it."""
        return f"{self.claim.batch_id}/{text.escape(self.claim.path)}"


def find_claims(given: str, settings: Settings, ledgers: Mapping[str, Ledger]) -> list[LocatedClaim]:
    """Every claim that a person can mean, the oldest batch first.

    Args:
        given: a path under the inbox, a name in any folder of it, a path of the file itself (relative to here or to
            the workspace), at least the first 8 digits of its sha256, or `<batch>/<row>`; names as the CSV and the
            log write them will do.
        settings: say where inbox and outbox are.
        ledgers: of all workers, by name.
    """
    found: dict[tuple[str, str], LocatedClaim] = {}
    for worker, ledger in ledgers.items():
        for claim in _claims(given, settings, ledger):
            found[claim.batch_id, claim.path] = LocatedClaim(worker, claim)
    return [found[key] for key in sorted(found)]


def possible_names(given: str) -> set[str]:
    """A name as it may be meant: as it is, or as the CSV and the log write it."""
    is_raw = any("\ud800" <= letter <= "\udfff" for letter in given)  # undecodable bytes, which those two escape
    return {given} if is_raw else {given, text.unescape_cell(given)}


def inbox_paths(given: str, settings: Settings) -> set[str]:
    """The paths under the inbox that a person can mean."""
    found = {spelt for spelt in possible_names(given) if not os.path.isabs(spelt)}  # noqa: PTH117 - a text, not a file
    for spelt in possible_names(given):
        for rest in _below(spelt, settings.inbox, settings.workspace):
            # A claimed file is found by the path it had.
            parts = PurePosixPath(rest).parts
            found.add(str(PurePosixPath(*parts[3:])) if parts[0] == CLAIMED and len(parts) > 3 else rest)
    return found


def _claims(given: str, settings: Settings, ledger: Ledger) -> Iterator[Claim]:
    if row := _ROW.fullmatch(given):
        found = ledger.row(row[1], int(row[2]))
        yield from (one for one in ledger.claims(row[1]) if found and one.path == found.path)
    if _DIGEST.fullmatch(given):
        yield from _find_claims(ledger, sha256=given)
    for path in inbox_paths(given, settings):
        yield from _find_claims(ledger, path=path, name="" if "/" in path else path)
    for spelt in possible_names(given):
        for rest in _below(spelt, settings.outbox, settings.workspace):
            yield from _find_claims(ledger, place=f"{settings.outbox.name}/{rest}")


def _find_claims(ledger: Ledger, *, path: str = "", name: str = "", place: str = "", sha256: str = "") -> list[Claim]:
    """Claims by path, by name in any folder, by where the original lies, or by the first digits of the sha256."""
    where = {
        "path = ?": os.fsencode(path),
        "substr(path, -length(?1)) = ?1 OR path = substr(?1, 2)": os.fsencode(f"/{name}") if name else b"",
        "place = ?": os.fsencode(place),
        "substr(sha256, 1, length(?1)) = ?1": sha256,
    }
    found = {
        (claim.batch_id, claim.path): claim
        for condition, value in where.items()
        if value
        for claim in map(schema.decode_claim, ledger.query(f"{schema.ALL_CLAIMS} WHERE {condition}", (value,)))
    }
    return [found[key] for key in sorted(found)]


def _below(given: str, root: Path, workspace: Path) -> Iterator[str]:
    """A path under `root`, if the given one leads there from here or from the workspace; it need not exist."""
    if "\0" in given:  # from "%00": no file is named so
        return
    for start in {Path.cwd(), workspace}:
        path = start / given
        # Only the folders: the file itself may be a link, which is then what is meant.
        real = os.path.realpath(path.parent)
        top = os.path.realpath(root)
        if path.name and (real == top or real.startswith(top + "/")):
            yield (PurePosixPath(os.path.relpath(real, top)) / path.name).as_posix()


_MOST_ALIKE = 10
_NEVER = "it is never read: files and folders with such names belong to other programs"


@dataclass(frozen=True, slots=True)
class AnsweredRow:
    """One row of the CSV."""

    row: str
    """`<batch>/<row>`."""
    page: int
    status: str
    text: str
    confidence: float | None
    reason_code: str
    reason: str
    duplicate_of: str
    same_bytes: tuple[str, ...]
    """Other rows with the same bytes, at most ten."""
    verdicts: tuple[Correction, ...]
    """What people said of it, the oldest first."""


@dataclass(frozen=True, slots=True)
class ClaimEvent:
    """One claim of the file. Names are as the CSV writes them."""

    file: str
    batch_id: str
    worker: str
    stage: str
    claimed_at: str
    answered_at: str
    """"" while it is not answered."""
    fate: str
    """`accepted`, `review`, `rejected`, `deferred`; "" while it is not known."""
    why: str
    """Why the file was deferred."""
    size_bytes: int
    sha256: str
    original: str
    """Where it was put, under the workspace; "" while it lies claimed."""
    is_there: bool
    reason_file: str
    removed: str
    """When it was pruned or requeued, and where to; "" if it was not."""
    answers: tuple[AnsweredRow, ...]


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """A file that lies in the inbox now."""

    file: str
    why: str
    """Why it is not read yet."""


@dataclass(frozen=True, slots=True)
class FileHistory:
    """All that is known; both empty if that is nothing."""

    events: tuple[ClaimEvent, ...]
    entries: tuple[InboxEntry, ...]

    def to_json(self) -> dict[str, object]:
        """Return the history with the keys of `why --json`."""
        return asdict(self, dict_factory=lambda items: {_JSON_KEYS.get(key, key): value for key, value in items})


_JSON_KEYS = {
    "entries": "lying",
    "removed": "let_go",
    "verdicts": "said",
    "reviewed_at": "at",
    "reviewer": "who",
    "method": "how",
}
"""Field names that differ from the keys of `why --json`."""


def trace_file(given: str, settings: Settings, ledgers: Mapping[str, Ledger], now_s: float) -> FileHistory:
    """Gather the evidence.

    Args:
        given: see `finding.find`.
        settings: say where everything is.
        ledgers: of all workers, by name.
        now_s: seconds since 1970.

    Raises:
        OSError: the inbox cannot be listed.
    """
    found = find_claims(given, settings, ledgers)
    events = tuple(_event(one, settings.workspace, ledgers) for one in found)
    known = {(one.claim.batch_id, one.claim.path) for one in found}
    lying = (*_in_inbox(given, settings, ledgers, now_s), *_claimed(given, settings, known))
    return FileHistory(events, tuple(sorted(lying, key=lambda one: one.file)))


def _event(one: LocatedClaim, workspace: Path, ledgers: Mapping[str, Ledger]) -> ClaimEvent:
    claim, ledger = one.claim, ledgers[one.worker]
    batch = ledger.batch(claim.batch_id)
    left = removals.find_removed(ledger, claim.batch_id, [claim], workspace).get(claim.path)
    rows = ledger.get_file_rows(claim.batch_id, claim.path)
    return ClaimEvent(
        file=escape(claim.path),
        batch_id=claim.batch_id,
        worker=one.worker,
        stage=batch.stage if batch else "",
        claimed_at=claim.received_at,
        answered_at=batch.rendering.processed_at if batch and batch.rendering and rows else "",
        fate=claim.outcome or "",
        why=escape(claim.detail) if claim.outcome is FileOutcome.DEFERRED else "",
        size_bytes=claim.size,
        sha256=claim.sha256,
        original=escape(claim.location),
        is_there=bool(claim.location) and os.path.lexists(workspace / claim.location),
        reason_file=escape(claim.reason_file) if not left else "",
        removed=_let_go(left),
        answers=tuple(_answer(row, ledger, ledgers.values()) for row in rows),
    )


def _let_go(left: RemovedOriginal | None) -> str:
    if left is None:
        return ""
    to = f" to {escape(left.location)}" if left.kind is RemovalKind.REQUEUED and left.location else ""
    return f"{left.kind} {left.removed_at}{to}"


def _answer(row: TableRow, its: Ledger, ledgers: Iterable[Ledger]) -> AnsweredRow:
    own = (row.batch_id, row.row)
    alike = [at for ledger in ledgers for at in ledger.find_pages(row.sha256, row.reading.page) if at != own]
    read = row.reading
    return AnsweredRow(
        row=f"{row.batch_id}/{row.row}",
        page=read.page,
        status=read.status,
        text=read.text,
        confidence=read.confidence,
        reason_code=read.reason or "",
        reason=escape(read.detail),
        duplicate_of=row.duplicate_of,
        same_bytes=tuple(f"{batch_id}/{number}" for batch_id, number in alike[:_MOST_ALIKE]),
        verdicts=tuple(read_history(its, row.batch_id, row.row)),
    )


def _in_inbox(given: str, settings: Settings, ledgers: Mapping[str, Ledger], now_s: float) -> Iterator[InboxEntry]:
    """What lies there under this path, or this name."""
    paths, plain = inbox_paths(given, settings), {one for one in possible_names(given) if "/" not in one}
    lying = {path for path in _everything(settings.inbox) if path in paths or PurePosixPath(path).name in plain}
    if not lying:
        return
    passed: dict[str, str] = {}
    looked = scanner.scan(settings.inbox, passed.__setitem__, settings.worker)
    seen = {one.path: one for one in looked if one.path in lying}
    deferred = backlog.find_deferred(ledgers)
    for path in lying:
        if ignored := scanner.find_ignored_part(path):
            reason = f"{_NEVER} ({escape(ignored)})"
        elif one := seen.get(path):
            how = backlog.describe_waiting(one, settings, deferred.get(one.identity), now_s)
            reason = f"{how.why}; {how.wait_s:.0f} s left" if how.why else "it waits to be read"
        else:
            above = [str(each) for each in PurePosixPath(path).parents]
            reason = next((passed[each] for each in (path, *above) if each in passed), _LABELS)
        yield InboxEntry(escape(path), reason)


_LABELS = "it tells labels: it has no row of its own and is filed away with the last of its pictures"


def _everything(inbox: Path) -> Iterator[str]:
    for path, entry in folder_id.walk(inbox, enters=lambda path, _: path != CLAIMED, failed=lambda *_: None):
        if not folder_id.is_folder(entry):
            yield path


def _claimed(given: str, settings: Settings, known: set[tuple[str, str]]) -> Iterator[InboxEntry]:
    """What lies claimed without being in a ledger here."""
    paths, plain = inbox_paths(given, settings), {one for one in possible_names(given) if "/" not in one}
    for worker in backlog.list_claiming_workers(settings.inbox):
        for batch_id, files in backlog.list_claims(settings.inbox, worker).items():
            for path in files:
                is_meant = path in paths or PurePosixPath(path).name in plain
                if is_meant and (batch_id, path) not in known:
                    reason = f"claimed by worker {worker} in batch {batch_id}, which no ledger here knows"
                    yield InboxEntry(escape(path), reason)
