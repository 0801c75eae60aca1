"""Find the claims of a file and trace its history: claims, rows, verdicts, original, and why it still waits."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from digitrec.monitoring import backlog
from digitrec.pipeline import scanner
from digitrec.pipeline.inbox import CLAIMED
from digitrec.settings import Settings
from digitrec.storage import folder_id, removals, schema
from digitrec.storage.claims import Claim, FileOutcome, RemovalKind, RemovedOriginal
from digitrec.storage.corrections import Correction, ReviewMethod, Verdict, read_history
from digitrec.storage.ledger import Ledger
from digitrec.text import escape, unescape_cell
from digitrec.types import TableRow

_ROW = re.compile(r"(\d{8}T\d{6}Z-[0-9a-f]{8})/([1-9]\d{0,9})")
_DIGEST = re.compile(r"[0-9a-f]{8,64}")
_DIGEST_PART = re.compile(r"[0-9a-f]{4,64}")
_PATHS_AND_DIGESTS = "SELECT DISTINCT path, sha256 FROM claims"
_MAX_SAME_BYTES = 10
"""Upper limit of other rows with the same bytes."""
_IGNORED = "it is never read: files and folders with such names belong to other programs"
_LABELS = "it is a labels file: it has no row itself and is archived with the last of its pictures"


@dataclass(frozen=True, slots=True)
class LocatedClaim:
    """A claim, and the worker whose ledger has it."""

    worker: str
    claim: Claim

    @property
    def key(self) -> str:
        """Unique name of the claim: batch and path, with unprintable characters escaped."""
        return f"{self.claim.batch_id}/{escape(self.claim.path)}"


def find_claims(query: str, settings: Settings, ledgers: Mapping[str, Ledger]) -> list[LocatedClaim]:
    """Return the claims that match a query, oldest batch first.

    Args:
        query: a path under the inbox, a file name in any folder of it, a path of the file itself (relative to the
            current folder or to the workspace), at least the first 8 digits of its sha256, or `<batch>/<row>`; names
            may be escaped as in the CSV and the log.
        settings: name inbox and outbox.
        ledgers: of all workers, by name.
    """
    claims = {
        (claim.batch_id, claim.path): LocatedClaim(worker, claim)
        for worker, ledger in ledgers.items()
        for claim in _match_claims(query, settings, ledger)
    }
    return [claims[key] for key in sorted(claims)]


def possible_names(query: str) -> set[str]:
    """Return a name as it is, and unescaped as from the CSV or the log."""
    is_raw = any("\ud800" <= letter <= "\udfff" for letter in query)  # undecodable bytes, which those two escape
    return {query} if is_raw else {query, unescape_cell(query)}


def inbox_paths(query: str, settings: Settings) -> set[str]:
    """Return the paths under the inbox that a query can mean."""
    paths = {name for name in possible_names(query) if not os.path.isabs(name)}  # noqa: PTH117 - a text, not a file
    for name in possible_names(query):
        for path in _resolve_below(name, settings.inbox, settings.workspace):
            # A claimed file has the path it had in the inbox: strip claims folder, worker and batch.
            parts = PurePosixPath(path).parts
            paths.add(str(PurePosixPath(*parts[3:])) if parts[0] == CLAIMED and len(parts) > 3 else path)
    return paths


def _match_claims(query: str, settings: Settings, ledger: Ledger) -> Iterator[Claim]:
    if match := _ROW.fullmatch(query):
        row = ledger.row(match[1], int(match[2]))
        yield from (claim for claim in ledger.claims(match[1]) if row and claim.path == row.path)
    if _DIGEST.fullmatch(query):
        yield from _query_claims(ledger, "substr(sha256, 1, length(?1)) = ?1", query)
    for path in inbox_paths(query, settings):
        yield from _query_claims(ledger, "path = ?", os.fsencode(path))
        if path and "/" not in path:
            condition = "substr(path, -length(?1)) = ?1 OR path = substr(?1, 2)"
            yield from _query_claims(ledger, condition, os.fsencode(f"/{path}"))
    for name in possible_names(query):
        for path in _resolve_below(name, settings.outbox, settings.workspace):
            yield from _query_claims(ledger, "place = ?", os.fsencode(f"{settings.outbox.name}/{path}"))


def _query_claims(ledger: Ledger, condition: str, value: str | bytes) -> Iterator[Claim]:
    return map(schema.decode_claim, ledger.query(f"{schema.ALL_CLAIMS} WHERE {condition}", (value,)))


def _resolve_below(query: str, root: Path, workspace: Path) -> Iterator[str]:
    """Yield a path relative to `root`, if the query leads there from here or from the workspace; it need not exist."""
    if "\0" in query:  # from "%00": no file is named so
        return
    for start in {Path.cwd(), workspace}:
        path = start / query
        # Resolve only the folders: a link to a file is matched itself.
        real = os.path.realpath(path.parent)
        top = os.path.realpath(root)
        if path.name and (real == top or real.startswith(top + "/")):
            yield (PurePosixPath(os.path.relpath(real, top)) / path.name).as_posix()


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
    """Verdicts of reviewers, oldest first."""


@dataclass(frozen=True, slots=True)
class ClaimEvent:
    """One claim of the file. Names are escaped as in the CSV."""

    file: str
    batch_id: str
    worker: str
    stage: str
    claimed_at: str
    answered_at: str
    """Empty while there is no answer."""
    outcome: str
    """`accepted`, `review`, `rejected` or `deferred`; empty while there is none."""
    why: str
    """Why the file was deferred."""
    size_bytes: int
    sha256: str
    original: str
    """Location of the original, relative to the workspace, or its URL; empty while it is claimed."""
    has_original: bool
    """True for a URL, without a request to its store."""
    reason_file: str
    removed: str
    """Time of its removal (prune or requeue), and where it was moved; empty if not removed."""
    answers: tuple[AnsweredRow, ...]


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """A file in the inbox, or in its claims folder without a ledger."""

    file: str
    why: str
    """Why it is not read yet."""


@dataclass(frozen=True, slots=True)
class FileHistory:
    """Claims and inbox entries of a file; both empty for an unknown file, or if several match in part."""

    events: tuple[ClaimEvent, ...]
    entries: tuple[InboxEntry, ...]
    candidates: tuple[str, ...] = ()
    """Paths of the files that match in part, if they are several and none matches as a whole; escaped as in the CSV."""

    def to_json(self) -> dict[str, object]:
        """Return the history with the keys of `why --json`; `candidates` only if there are any."""
        fields = asdict(self, dict_factory=lambda items: {_JSON_KEYS.get(key, key): value for key, value in items})
        return fields if self.candidates else {key: fields[key] for key in fields if key != "candidates"}


_JSON_KEYS = {
    "entries": "lying",
    "removed": "let_go",
    "verdicts": "said",
    "outcome": "fate",
    "has_original": "is_there",
    "reviewed_at": "at",
    "reviewer": "who",
    "method": "how",
}
"""Field names that differ from the keys of `why --json`."""


def trace_file(query: str, settings: Settings, ledgers: Mapping[str, Ledger], now_s: float) -> FileHistory:
    """Collect the claims of a file from the ledgers, and its entries in the inbox.

    Args:
        query: see `find_claims`; if it matches nothing, a part of the path of one file, in any case, or the first 4
            digits of its sha256.
        settings: name the folders.
        ledgers: of all workers, by name.
        now_s: seconds since 1970.

    Raises:
        OSError: the inbox cannot be listed.
    """
    history = _trace_exact(query, settings, ledgers, now_s)
    if history.events or history.entries:
        return history
    candidates = _find_candidates(query, settings, ledgers)
    if len(candidates) == 1:
        return _trace_exact(candidates[0], settings, ledgers, now_s)
    return FileHistory((), (), tuple(map(escape, candidates)))


def _trace_exact(query: str, settings: Settings, ledgers: Mapping[str, Ledger], now_s: float) -> FileHistory:
    claims = find_claims(query, settings, ledgers)
    events = tuple(_describe_claim(claim, settings.workspace, ledgers) for claim in claims)
    recorded = {(claim.claim.batch_id, claim.claim.path) for claim in claims}
    paths, names = inbox_paths(query, settings), {name for name in possible_names(query) if "/" not in name}

    def is_match(path: str) -> bool:
        return path in paths or PurePosixPath(path).name in names

    entries = (*_waiting_entries(is_match, settings, ledgers, now_s), *_claimed_entries(is_match, settings, recorded))
    return FileHistory(events, tuple(sorted(entries, key=lambda entry: entry.file)))


def _find_candidates(query: str, settings: Settings, ledgers: Mapping[str, Ledger]) -> list[str]:
    """Return the paths under the inbox of the files that match a query in part, sorted."""
    parts = {name.casefold().strip("/") for name in possible_names(query)} - {""}
    digest = query.lower() if _DIGEST_PART.fullmatch(query.lower()) else None
    files = [(path, "") for path in _list_inbox(settings, ledgers)]
    for ledger in ledgers.values():
        files += ((os.fsdecode(path), sha256) for path, sha256 in ledger.query(_PATHS_AND_DIGESTS))
    return sorted(
        {
            path
            for path, sha256 in files
            if any(part in path.casefold() for part in parts) or (digest is not None and sha256.startswith(digest))
        }
    )


def _describe_claim(located: LocatedClaim, workspace: Path, ledgers: Mapping[str, Ledger]) -> ClaimEvent:
    claim, ledger = located.claim, ledgers[located.worker]
    batch = ledger.batch(claim.batch_id)
    removal = removals.find_removed(ledger, claim.batch_id, [claim], workspace).get(claim.path)
    rows = ledger.get_file_rows(claim.batch_id, claim.path)
    return ClaimEvent(
        file=escape(claim.path),
        batch_id=claim.batch_id,
        worker=located.worker,
        stage=batch.stage if batch else "",
        claimed_at=claim.received_at,
        answered_at=batch.output_format.processed_at if batch and batch.output_format and rows else "",
        outcome=claim.outcome or "",
        why=escape(claim.detail) if claim.outcome is FileOutcome.DEFERRED else "",
        size_bytes=claim.size,
        sha256=claim.sha256,
        original=escape(claim.location),
        has_original=bool(claim.location) and ("://" in claim.location or os.path.lexists(workspace / claim.location)),
        reason_file="" if removal else escape(claim.reason_file),
        removed=_describe_removal(removal),
        answers=tuple(_describe_row(row, ledger, ledgers.values()) for row in rows),
    )


def _describe_removal(removal: RemovedOriginal | None) -> str:
    if removal is None:
        return ""
    is_moved = removal.kind is RemovalKind.REQUEUED and removal.location
    return f"{removal.kind} {removal.removed_at}" + (f" to {escape(removal.location)}" if is_moved else "")


def _describe_row(row: TableRow, ledger: Ledger, ledgers: Iterable[Ledger]) -> AnsweredRow:
    reading = row.reading
    same_bytes = (key for ledger in ledgers for key in ledger.find_pages(row.sha256, reading.page))
    others = [
        f"{batch_id}/{number}" for batch_id, number in same_bytes if (batch_id, number) != (row.batch_id, row.row)
    ]
    return AnsweredRow(
        row=f"{row.batch_id}/{row.row}",
        page=reading.page,
        status=reading.status,
        text=reading.text,
        confidence=reading.confidence,
        reason_code=reading.reason or "",
        reason=escape(reading.detail),
        duplicate_of=row.duplicate_of,
        same_bytes=tuple(others[:_MAX_SAME_BYTES]),
        verdicts=tuple(filter(_is_verdict, read_history(ledger, row.batch_id, row.row))),
    )


def _is_verdict(entry: Correction) -> bool:
    """Return False for the entry of a page that only says that some of its numbers have no verdict yet."""
    return entry.verdict is not Verdict.WITHDRAWN or entry.method is ReviewMethod.UNDO


def _waiting_entries(
    is_match: Callable[[str], bool], settings: Settings, ledgers: Mapping[str, Ledger], now_s: float
) -> Iterator[InboxEntry]:
    """Yield the matching files in the inbox, with the reason why each is not read yet."""
    paths = {path for path in _list_inbox(settings, ledgers) if is_match(path)}
    if not paths:
        return
    skipped: dict[str, str] = {}
    scanned = scanner.scan(settings.inbox, skipped.__setitem__, settings.worker)
    files = {file.path: file for file in scanned if file.path in paths}
    deferred = backlog.find_deferred(ledgers)
    for path in paths:
        if ignored := scanner.find_ignored_part(path):
            reason = f"{_IGNORED} ({escape(ignored)})"
        elif file := files.get(path):
            waiting = backlog.describe_waiting(file, settings, deferred.get(file.identity), now_s)
            reason = f"{waiting.why}; {waiting.wait_s:.0f} s left" if waiting.why else "it waits to be read"
        else:
            folders = map(str, PurePosixPath(path).parents)
            reason = next((skipped[part] for part in (path, *folders) if part in skipped), _LABELS)
        yield InboxEntry(escape(path), reason)


def _list_inbox(settings: Settings, ledgers: Mapping[str, Ledger]) -> Iterator[str]:
    """Yield the paths of all files in the inbox; none before first use, or if all ledgers are of object stores."""
    if not os.path.lexists(settings.inbox) and all(ledger.get_meta("source_url") for ledger in ledgers.values()):
        return
    for path, entry in folder_id.walk(settings.inbox, enters=lambda path, _: path != CLAIMED, failed=lambda *_: None):
        if not folder_id.is_folder(entry):
            yield path


def _claimed_entries(
    is_match: Callable[[str], bool], settings: Settings, recorded: set[tuple[str, str]]
) -> Iterator[InboxEntry]:
    """Yield the matching files that are claimed, but in no ledger of this workspace."""
    for worker in backlog.list_claiming_workers(settings.inbox):
        for batch_id, files in backlog.list_claims(settings.inbox, worker).items():
            for path in files:
                if is_match(path) and (batch_id, path) not in recorded:
                    reason = f"claimed by worker {worker} in batch {batch_id}, which no ledger here knows"
                    yield InboxEntry(escape(path), reason)
