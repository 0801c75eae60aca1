"""The account: every file that was claimed is answered for, from disk and ledger. Needs no lock."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from digitrec import names, results
from digitrec.intake.truth import FILE_NAME as LABELS
from digitrec.ledger import Ledger
from digitrec.operations import departures
from digitrec.operations.rebuild import REBUILT_AT, published
from digitrec.records import Batch, Claim, Count, Departure, Fate, Left, Stage


@dataclass(frozen=True, slots=True)
class Account:
    """What `verify` found."""

    count: Count
    """Files of all closed batches."""
    batches: int
    open_batches: tuple[str, ...]
    notes: tuple[str, ...]
    differences: tuple[str, ...]
    """Empty if everything is accounted for."""


def verify(workspace: Path, ledgers: Mapping[str, Ledger]) -> Account:
    """Hold every batch against the disk.

    Args:
        workspace: holds inbox/ and outbox/.
        ledgers: of all workers, by name.
    """
    outbox = workspace / "outbox"
    differences: list[str] = []
    open_batches: list[str] = []
    notes: list[str] = []
    known: set[str] = set()
    count = Count()
    # A ledger that was made again may have taken over what another still knows better.
    rebuilt = {worker: ledger.fact(REBUILT_AT) for worker, ledger in ledgers.items()}
    for worker, ledger in sorted(ledgers.items(), key=lambda each: (rebuilt[each[0]] is not None, each[0])):
        rebuilt_at = rebuilt[worker]
        if rebuilt_at:
            notes.append(f"{worker}: ledger made again at {rebuilt_at}; files given back before are not in the account")
        if not ledger.is_up_to_date():
            notes.append(f"{worker}: ledger of another version; `digitrec run --worker {worker}` brings it up to date")
        let_go: Counter[Left] = Counter()
        also_elsewhere = 0
        for batch in ledger.batches():
            if batch.id in known:
                also_elsewhere += 1
                continue
            known.add(batch.id)
            if batch.stage is not Stage.CLOSED:
                open_batches.append(batch.id)
                continue
            claims = ledger.claims(batch.id)
            count += Count.of(claims)
            differences += _of_tables(batch, ledger, outbox)
            gone = departures.gone(ledger, batch.id, claims, workspace)
            let_go.update(one.what for one in gone.values())
            differences += [f"{batch.id}: {names.escape(one)}" for one in _of_files(batch.id, claims, gone, workspace)]
        if also_elsewhere:
            notes.append(f"{worker}: {also_elsewhere} of its batches also stand in another ledger; counted once")
        notes += [f"{worker}: {number} originals were {what}; accounted for" for what, number in sorted(let_go.items())]
    differences += [f"{batch_id}.csv is in no ledger" for batch_id in published(outbox) if batch_id not in known]
    closed = len(known) - len(open_batches)
    return Account(count, closed, tuple(open_batches), tuple(notes), tuple(differences))


def _of_tables(batch: Batch, ledger: Ledger, outbox: Path) -> Iterator[str]:
    rows = ledger.rows(batch.id)
    if batch.rendering is None:
        yield f"{batch.id}: closed without an answer"
        return
    answered = {row.path for row in rows}
    for claim in ledger.claims(batch.id):
        has_row = claim.path in answered
        if has_row is (claim.fate in {Fate.RELEASED, None}):
            yield f"{batch.id}: {names.escape(claim.path)} is {claim.fate} and has {'a' if has_row else 'no'} row"
    if not rows:
        return
    texts = {
        f"{batch.id}.csv": results.main_csv(rows, batch.rendering),
        f"{batch.id}.digits.csv": results.digits_csv(rows, batch.rendering),
    }
    for name, text in texts.items():
        try:
            if (outbox / name).read_bytes() != text.encode():
                yield f"{name} differs from the ledger"
        except FileNotFoundError:
            yield f"{name} is missing"


def _of_files(batch_id: str, claims: list[Claim], gone: Mapping[str, Departure], workspace: Path) -> Iterator[str]:
    expected: set[str] = set()
    for claim in claims:
        if claim.fate is Fate.RELEASED:
            continue
        expected |= {claim.place, claim.reason_file}
        if claim.path in gone:
            continue
        if not claim.place:
            yield f"the original of {claim.path} is nowhere"
            continue
        yield from _of_original(claim, workspace)
    for kind in ("done", "rejected"):
        home = workspace / "outbox" / kind / batch_id
        for folder, _, found in os.walk(home):
            for name in found:
                place = (Path(folder) / name).relative_to(workspace).as_posix()
                if place not in expected and name != LABELS:
                    yield f"{place} is in no ledger"


def _of_original(claim: Claim, workspace: Path) -> Iterator[str]:
    try:
        size = (workspace / claim.place).stat().st_size
    except FileNotFoundError:
        yield f"{claim.place} is missing"
        return
    if size != claim.size:
        yield f"{claim.place} has {size} bytes, not {claim.size}"
    if claim.fate is Fate.REJECTED and not (workspace / claim.reason_file).is_file():
        yield f"the reason file of {claim.place} is missing"
