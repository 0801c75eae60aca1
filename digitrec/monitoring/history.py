"""What happened to a file, from the evidence: every claim of it, what was answered, where it lies, why it waits."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from digitrec.monitoring import backlog
from digitrec.monitoring.finding import Found, find, paths_in_inbox, spellings
from digitrec.pipeline import scanner
from digitrec.pipeline.inbox import CLAIMED
from digitrec.settings import Settings
from digitrec.storage import folder_id, removals
from digitrec.storage.corrections import Correction, history
from digitrec.storage.ledger import Ledger
from digitrec.text import escape
from digitrec.types import Departure, Fate, Left, Row

_MOST_ALIKE = 10
_NEVER = "it is never read: files and folders with such names belong to other programs"


@dataclass(frozen=True, slots=True)
class Answer:
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
    said: tuple[Correction, ...]
    """What people said of it, the oldest first."""


@dataclass(frozen=True, slots=True)
class Event:
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
    let_go: str
    """When it was pruned or requeued, and where to; "" if it was not."""
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Lying:
    """A file that lies in the inbox now."""

    file: str
    why: str
    """Why it is not read yet."""


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known; both empty if that is nothing."""

    events: tuple[Event, ...]
    lying: tuple[Lying, ...]


def why(given: str, settings: Settings, ledgers: Mapping[str, Ledger], now_s: float) -> Story:
    """Gather the evidence.

    Args:
        given: see `finding.find`.
        settings: say where everything is.
        ledgers: of all workers, by name.
        now_s: seconds since 1970.

    Raises:
        OSError: the inbox cannot be listed.
    """
    found = find(given, settings, ledgers)
    events = tuple(_event(one, settings.workspace, ledgers) for one in found)
    known = {(one.claim.batch_id, one.claim.path) for one in found}
    lying = (*_in_inbox(given, settings, ledgers, now_s), *_claimed(given, settings, known))
    return Story(events, tuple(sorted(lying, key=lambda one: one.file)))


def _event(one: Found, workspace: Path, ledgers: Mapping[str, Ledger]) -> Event:
    claim, ledger = one.claim, ledgers[one.worker]
    batch = ledger.batch(claim.batch_id)
    left = removals.gone(ledger, claim.batch_id, [claim], workspace).get(claim.path)
    rows = ledger.rows_of(claim.batch_id, claim.path)
    return Event(
        file=escape(claim.path),
        batch_id=claim.batch_id,
        worker=one.worker,
        stage=batch.stage if batch else "",
        claimed_at=claim.received_at,
        answered_at=batch.rendering.processed_at if batch and batch.rendering and rows else "",
        fate=claim.fate or "",
        why=escape(claim.detail) if claim.fate is Fate.DEFERRED else "",
        size_bytes=claim.size,
        sha256=claim.sha256,
        original=escape(claim.place),
        is_there=bool(claim.place) and os.path.lexists(workspace / claim.place),
        reason_file=escape(claim.reason_file) if not left else "",
        let_go=_let_go(left),
        answers=tuple(_answer(row, ledger, ledgers.values()) for row in rows),
    )


def _let_go(left: Departure | None) -> str:
    if left is None:
        return ""
    to = f" to {escape(left.place)}" if left.what is Left.REQUEUED and left.place else ""
    return f"{left.what} {left.at}{to}"


def _answer(row: Row, its: Ledger, ledgers: Iterable[Ledger]) -> Answer:
    own = (row.batch_id, row.row)
    alike = [at for ledger in ledgers for at in ledger.rows_with(row.sha256, row.reading.page) if at != own]
    read = row.reading
    return Answer(
        row=f"{row.batch_id}/{row.row}",
        page=read.page,
        status=read.status,
        text=read.text,
        confidence=read.confidence,
        reason_code=read.reason or "",
        reason=escape(read.detail),
        duplicate_of=row.duplicate_of,
        same_bytes=tuple(f"{batch_id}/{number}" for batch_id, number in alike[:_MOST_ALIKE]),
        said=tuple(history(its, row.batch_id, row.row)),
    )


def _in_inbox(given: str, settings: Settings, ledgers: Mapping[str, Ledger], now_s: float) -> Iterator[Lying]:
    """What lies there under this path, or this name."""
    paths, plain = paths_in_inbox(given, settings), {one for one in spellings(given) if "/" not in one}
    lying = {path for path in _everything(settings.inbox) if path in paths or PurePosixPath(path).name in plain}
    if not lying:
        return
    passed: dict[str, str] = {}
    looked = scanner.look(settings.inbox, passed.__setitem__, settings.worker)
    seen = {one.path: one for one in looked if one.path in lying}
    deferred = backlog.find_deferred(ledgers)
    for path in lying:
        if ignored := scanner.foreign_part(path):
            reason = f"{_NEVER} ({escape(ignored)})"
        elif one := seen.get(path):
            how = backlog.of(one, settings, deferred.get(one.identity), now_s)
            reason = f"{how.why}; {how.wait_s:.0f} s left" if how.why else "it waits to be read"
        else:
            above = [str(each) for each in PurePosixPath(path).parents]
            reason = next((passed[each] for each in (path, *above) if each in passed), _LABELS)
        yield Lying(escape(path), reason)


_LABELS = "it tells labels: it has no row of its own and is filed away with the last of its pictures"


def _everything(inbox: Path) -> Iterator[str]:
    for path, entry in folder_id.walk(inbox, enters=lambda path, _: path != CLAIMED, failed=lambda *_: None):
        if not folder_id.is_folder(entry):
            yield path


def _claimed(given: str, settings: Settings, known: set[tuple[str, str]]) -> Iterator[Lying]:
    """What lies claimed without being in a ledger here."""
    paths, plain = paths_in_inbox(given, settings), {one for one in spellings(given) if "/" not in one}
    for worker in backlog.workers(settings.inbox):
        for batch_id, files in backlog.claims(settings.inbox, worker).items():
            for path in files:
                is_meant = path in paths or PurePosixPath(path).name in plain
                if is_meant and (batch_id, path) not in known:
                    reason = f"claimed by worker {worker} in batch {batch_id}, which no ledger here knows"
                    yield Lying(escape(path), reason)
