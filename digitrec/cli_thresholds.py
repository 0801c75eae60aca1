"""From what confidence on a model accepts, for some error rates: for `models show`."""

from collections.abc import Sequence

from digitrec.classifiers.calibration import USUAL, Calibration, decide
from digitrec.errors import ModelError


def as_json(tables: Sequence[Calibration], max_error: float) -> list[dict[str, object]]:
    """For each of `rates`: the threshold, which table decides, what each accepts.

    `threshold` is null where this rate cannot be promised.
    """
    found: list[dict[str, object]] = []
    for one in rates(max_error):
        try:
            decision = decide(tables, one)
        except ModelError:
            found.append({"max_error": one, "threshold": None, "decided_by": None, "tables": []})
            continue
        rows = [(table, table.at(decision.threshold)) for table in tables]
        told = [
            {"name": table.name, "pages": table.pages, "accepted": row.accepted, "wrong": row.wrong, "upper": row.upper}
            for table, row in rows
        ]
        found.append({"max_error": one, "threshold": decision.threshold, "decided_by": decision.table, "tables": told})
    return found


def rates(max_error: float) -> list[float]:
    """The usual error rates and this one, the largest first."""
    return sorted({*USUAL, max_error}, reverse=True)
