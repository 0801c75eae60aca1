"""Reconcile a soak without the product: compare the files that were dropped with the outbox, by bytes."""

import csv
import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_to_bytes

_TABLE = re.compile(rb"\d{8}T\d{6}Z-[0-9a-f]{8}\.csv")
LABELS = "labels"
"""The manner of labels files: they have no row, and are archived with the last of their pictures."""
_NUMBERED = re.compile(rb"~\d+(?=(\.[^./]*)?$)")


@dataclass(slots=True)
class Dropped:
    """A file that was put into the inbox."""

    path: bytes
    """Under the inbox."""
    sha256: str
    pages: int | None
    """None if the file is broken."""
    manner: str
    at_s: float
    """When it was complete, seconds since 1970."""
    label: str = ""
    """What a labels.csv beside it says."""
    is_withdrawn: bool = False
    """Deleted or replaced before it was claimed: no row may contain it."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A file as a published table has it."""

    table: str
    path: bytes
    sha256: str
    pages: int
    is_rejected: bool
    reasons: tuple[str, ...]
    labels: frozenset[str]
    published_s: float
    """When the table appeared, seconds since 1970."""


@dataclass(slots=True)
class Account:
    """What became of everything."""

    files: int = 0
    withdrawn: int = 0
    answered: int = 0
    rows: int = 0
    tables: int = 0
    originals: int = 0
    waiting: int = 0
    """Still in the inbox or claimed: not read yet."""
    lost: list[str] = field(default_factory=list)
    """Dropped, and without a row or without its original; nor does it wait."""
    doubled: list[str] = field(default_factory=list)
    """More rows or originals than files."""
    wrong: list[str] = field(default_factory=list)
    """Other violations of the guarantees."""
    latencies_s: dict[str, list[float]] = field(default_factory=dict)
    """From complete to in a published table: of whole files, and of broken ones."""

    @property
    def is_true(self) -> bool:
        """True if there is nothing to complain of."""
        return not (self.waiting or self.lost or self.doubled or self.wrong)


def account(dropped: Iterable[Dropped], outbox: Path, inbox: Path | None = None) -> Account:
    """Hold what was dropped against the tables and the originals; `inbox` holds what waits."""
    everything = list(dropped)
    expected = [dropped_file for dropped_file in everything if not dropped_file.is_withdrawn]
    answered = list(answers(outbox))
    filed = list(originals(outbox))
    result = Account(
        files=len(everything),
        withdrawn=len(everything) - len(expected),
        answered=len(answered),
        rows=sum(dropped_file.pages for dropped_file in answered),
        tables=len({dropped_file.table for dropped_file in answered}),
        originals=len(filed),
    )
    pictures = [dropped_file for dropped_file in expected if dropped_file.manner != LABELS]
    tables = {dropped_file.sha256 for dropped_file in expected if dropped_file.manner == LABELS}
    if inbox is not None:
        waiting = Counter(_bytes_and_name(sha, name) for name, sha in digests(os.fsencode(inbox)))
        result.waiting = sum((Counter(_bytes_and_name(file.sha256, file.path) for file in expected) & waiting).values())
        expected, pictures = (_without(files, waiting) for files in (expected, pictures))
    _compare(
        result,
        "row",
        Counter(picture.sha256 for picture in pictures),
        Counter(dropped_file.sha256 for dropped_file in answered),
        expected,
    )
    _compare(
        result,
        "original",
        Counter(dropped_file.sha256 for dropped_file in expected),
        Counter(sha for _, _, sha in filed),
        expected,
    )
    _check_names(result, pictures, answered)
    _check_locations(result, answered, [dropped_file for dropped_file in filed if dropped_file[2] not in tables])
    _pages_and_times(result, pictures, answered)
    return result


def answers(outbox: Path) -> Iterator[Answered]:
    """Every file of every published table, once for each table that has it."""
    for path in sorted(outbox.iterdir()):
        if not _TABLE.fullmatch(os.fsencode(path.name)):
            continue
        published_s = path.stat().st_mtime
        by_file: dict[bytes, list[dict[str, str]]] = defaultdict(list)
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, strict=True):
                by_file[_path_in(row["file"])].append(row)
        for name, rows in by_file.items():
            numbers = [int(row["page"]) for row in rows]
            digests = {row["sha256"] for row in rows}
            if numbers != [*range(1, len(rows) + 1)] or len(digests) != 1:
                raise ValueError(f"{path.name}: the pages of {name!r} are {numbers}, their digests {sorted(digests)}")
            is_rejected = all(row["status"] == "rejected" for row in rows)
            reasons = tuple(row["reason_code"] for row in rows)
            labels = frozenset(row["label"] for row in rows)
            yield Answered(path.stem, name, digests.pop(), len(rows), is_rejected, reasons, labels, published_s)


def originals(outbox: Path) -> Iterator[tuple[str, bytes, str]]:
    """Yield every archived original: "done/BATCH" or "rejected/BATCH", its path there, its sha256."""
    for kind in ("done", "rejected"):
        for batch in sorted((outbox / kind).glob("*")):
            for name, sha256 in digests(os.fsencode(batch)):
                if not (kind == "rejected" and name.endswith(b".reason.json")):
                    yield f"{kind}/{batch.name}", name, sha256


def digests(top: bytes) -> Iterator[tuple[bytes, str]]:
    """Yield every regular file below a folder with its sha256."""
    for name in sorted(_below(top)):
        with open(top + b"/" + name, "rb") as file:  # noqa: PTH123 - names are bytes here
            yield name, hashlib.file_digest(file, "sha256").hexdigest()


def _bytes_and_name(sha256: str, path: bytes) -> tuple[str, bytes]:
    """Return the sha256 of a file and its name, without the number that a deferred file may get."""
    return sha256, _NUMBERED.sub(b"", os.path.basename(path))  # noqa: PTH119 - bytes


def _without(files: Iterable[Dropped], waiting: Mapping[tuple[str, bytes], int]) -> list[Dropped]:
    """Return the files but those that wait; of files equal in bytes and name the last."""
    left, results = Counter(waiting), list[Dropped]()
    for dropped in sorted(files, key=lambda dropped: dropped.at_s, reverse=True):
        key = _bytes_and_name(dropped.sha256, dropped.path)
        if left[key]:
            left[key] -= 1
        else:
            results.append(dropped)
    return results


def _below(top: bytes) -> Iterator[bytes]:
    """Every regular file below a folder, to any depth."""
    folders = [b""]
    while folders:
        prefix = folders.pop()
        with os.scandir(top + b"/" + prefix) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(prefix + entry.name + b"/")
                elif entry.is_file(follow_symlinks=False):
                    yield prefix + entry.name


def _path_in(cell: str) -> bytes:
    """The path that a cell of the table tells: `%XX` for what is unsafe, a quote before a formula."""
    return unquote_to_bytes(cell.removeprefix("'"))


def _compare(
    result: Account, what: str, want: Mapping[str, int], have: Mapping[str, int], expected: Iterable[Dropped]
) -> None:
    named = {dropped.sha256: dropped for dropped in expected}
    for sha256 in want.keys() | have.keys():
        more = have.get(sha256, 0) - want.get(sha256, 0)
        dropped = named.get(sha256)
        description = (
            f"{what} of {dropped.path!r}, {dropped.manner}" if dropped else f"{what} of unknown bytes {sha256}"
        )
        if more < 0:
            result.lost += [description] * -more
        elif more > 0:
            result.doubled += [description] * more


def _check_names(result: Account, expected: Iterable[Dropped], answered: Iterable[Answered]) -> None:
    """Check the names in the rows; a deferred file may have got a number."""
    want = Counter((dropped.sha256, dropped.path) for dropped in expected)
    rest: list[Answered] = []
    for row in answered:
        key = (row.sha256, row.path)
        if want[key]:
            want[key] -= 1
        else:
            rest.append(row)
    for row in rest:
        key = (row.sha256, _NUMBERED.sub(b"", row.path))
        if want[key]:
            want[key] -= 1
        else:
            result.wrong.append(f"{row.table}: no file of these bytes was dropped as {row.path!r}")


def _check_locations(result: Account, answered: Iterable[Answered], filed: Iterable[tuple[str, bytes, str]]) -> None:
    """Check that every original is at the location in its row."""
    want = Counter((f"{'rejected' if row.is_rejected else 'done'}/{row.table}", row.sha256) for row in answered)
    have = Counter((place, sha256) for place, _, sha256 in filed)
    for place, sha256 in (want - have) + (have - want):
        result.wrong.append(f"{place}: row and original do not agree about {sha256}")


def _pages_and_times(result: Account, expected: Iterable[Dropped], answers: Iterable[Answered]) -> None:
    by_bytes: dict[str, list[Answered]] = defaultdict(list)
    for answered in sorted(answers, key=lambda dropped: dropped.published_s):
        by_bytes[answered.sha256].append(answered)
    for dropped in sorted(expected, key=lambda dropped: dropped.at_s):
        if not by_bytes[dropped.sha256]:
            continue  # reported as lost
        answered = by_bytes[dropped.sha256].pop(0)
        kind = "empty" if dropped.manner == "empty" else "broken" if dropped.pages is None else "whole"
        result.latencies_s.setdefault(kind, []).append(answered.published_s - dropped.at_s)
        if dropped.pages is not None and kind == "whole" and answered.pages != dropped.pages:
            result.wrong.append(f"{dropped.path!r}: {answered.pages} rows for {dropped.pages} pages")
        if dropped.label and answered.labels != {dropped.label}:
            result.wrong.append(
                f"{dropped.path!r} is labelled {dropped.label!r}, and its rows tell {set(answered.labels)}"
            )
        if kind == "whole" and answered.is_rejected and set(answered.reasons) != {"blank"}:
            result.wrong.append(
                f"{dropped.path!r} is whole, was {dropped.manner}, and rejected as {set(answered.reasons)}"
            )
