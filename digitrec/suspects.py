"""Count in the ledger, across runs, which files stop their reader and which batches raise.

A file is known by inode, size and mtime, like the deferred files: one that changes is another file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from digitrec.intake.scan import Seen
from digitrec.ledger import Ledger
from digitrec.records import Claim, Fate

MOST_FAILURES = 3
"""A file that stopped its reader so often is rejected; a batch that raised so often is read file by file."""

_ALONE, _TRIES = "alone", "tries"


@dataclass(frozen=True, slots=True)
class Suspects:
    """The files of one worker that are claimed and read alone, kept in the `facts` of its ledger."""

    ledger: Ledger

    def __contains__(self, file: Seen | Claim) -> bool:
        """Return True for a file that is claimed and read alone."""
        return self.ledger.fact(_key(file)) is not None

    def any(self) -> bool:
        """Return False if no file is to be claimed alone."""
        ask = "SELECT 1 FROM facts WHERE name >= ? AND name < ? LIMIT 1"
        return self.ledger.ask(ask, (f"{_ALONE}:", f"{_ALONE};")).fetchone() is not None

    def failures(self, claim: Claim) -> int:
        """Return how often the file has stopped its reader."""
        return int(self.ledger.fact(_key(claim)) or 0)

    def tried(self, batch_id: str) -> int:
        """Count one more try of a batch that raised; return how many there were."""
        tries, seen = self._tries(batch_id)
        self.ledger.remember(f"{_TRIES}:{batch_id}", f"{tries + 1} {self._newest() if seen is None else seen}")
        return tries + 1

    def are_others_read_since(self, batch_id: str) -> bool:
        """Return True if another batch was read since this one raised first: so the environment is not at fault."""
        _, seen = self._tries(batch_id)
        ask = "SELECT 1 FROM readings WHERE rowid > ? AND status <> 'rejected' LIMIT 1"
        return self.ledger.ask(ask, (self._newest() if seen is None else seen,)).fetchone() is not None

    def _tries(self, batch_id: str) -> tuple[int, int | None]:
        """Return how often a batch raised, and the newest reading of the ledger when it did so first."""
        fact = self.ledger.fact(f"{_TRIES}:{batch_id}")
        if fact is None:
            return 0, None
        tries, _, seen = fact.partition(" ")
        return int(tries), int(seen)

    def _newest(self) -> int:
        """Return the number of the newest reading: clocks may jump, numbers only grow."""
        found: int | None = self.ledger.ask("SELECT max(rowid) FROM readings").fetchone()[0]
        return found or 0

    def facts_after(
        self, batch_id: str, claims: Iterable[Claim], killed: Mapping[str, int], raised: Iterable[str]
    ) -> dict[str, str | None]:
        """Return what to remember once a batch is recorded; None is to be forgotten.

        Args:
            batch_id: the batch.
            claims: its files, with their fates; those that have an answer are under suspicion no longer.
            killed: how often each file has stopped its reader that is claimed again, by path.
            raised: paths of the files that raised.
        """
        by_path = {claim.path: claim for claim in claims}
        answered = [claim for claim in by_path.values() if claim.fate is not Fate.DEFERRED]
        facts: dict[str, str | None] = dict.fromkeys(map(_key, answered)) if self.any() else {}
        facts |= {_key(by_path[path]): str(failures) for path, failures in killed.items()}
        facts |= {_key(by_path[path]): str(self.failures(by_path[path])) for path in raised}
        return facts | {f"{_TRIES}:{batch_id}": None}


def _key(file: Seen | Claim) -> str:
    return ":".join(map(str, (_ALONE, *file.identity)))
