"""Which claims a person means: by path, name, digest, row, or where the original lies now."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from digitrec import text
from digitrec.errors import UsageError
from digitrec.pipeline.inbox import CLAIMED
from digitrec.settings import Settings
from digitrec.storage import schema
from digitrec.storage.ledger import Ledger
from digitrec.types import Claim, Stage

_ROW = re.compile(r"(\d{8}T\d{6}Z-[0-9a-f]{8})/([1-9]\d{0,9})")
_DIGEST = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, slots=True)
class Found:
    """A claim, and in whose ledger it is."""

    worker: str
    claim: Claim

    @property
    def key(self) -> str:
        """What tells it from every other one: batch and path, as a person can type it."""
        return f"{self.claim.batch_id}/{text.escape(self.claim.path)}"


def find(given: str, settings: Settings, ledgers: Mapping[str, Ledger]) -> list[Found]:
    """Every claim that a person can mean, the oldest batch first.

    Args:
        given: a path under the inbox, a name in any folder of it, a path of the file itself (relative to here or to
            the workspace), at least the first 8 digits of its sha256, or `<batch>/<row>`; names as the CSV and the
            log write them will do.
        settings: say where inbox and outbox are.
        ledgers: of all workers, by name.
    """
    found: dict[tuple[str, str], Found] = {}
    for worker, ledger in ledgers.items():
        for claim in _claims(given, settings, ledger):
            found[claim.batch_id, claim.path] = Found(worker, claim)
    return [found[key] for key in sorted(found)]


def require_closed(batch_id: str, stages: Mapping[str, Stage]) -> None:
    """Raise UsageError unless a batch that a person names is finished; `stages` are those of all ledgers."""
    if stages.get(batch_id) is not Stage.CLOSED:
        shown = text.escape(batch_id)
        raise UsageError(f"batch {shown} is {'not closed yet' if batch_id in stages else 'in no ledger'}")


def spellings(given: str) -> set[str]:
    """A name as it may be meant: as it is, or as the CSV and the log write it."""
    is_raw = any("\ud800" <= letter <= "\udfff" for letter in given)  # undecodable bytes, which those two escape
    return {given} if is_raw else {given, text.from_cell(given)}


def paths_in_inbox(given: str, settings: Settings) -> set[str]:
    """The paths under the inbox that a person can mean."""
    found = {spelt for spelt in spellings(given) if not os.path.isabs(spelt)}  # noqa: PTH117 - a text, not a file
    for spelt in spellings(given):
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
    for path in paths_in_inbox(given, settings):
        yield from _find_claims(ledger, path=path, name="" if "/" in path else path)
    for spelt in spellings(given):
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
        for claim in map(schema.claim_from, ledger.ask(f"{schema.ALL_CLAIMS} WHERE {condition}", (value,)))
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
