"""From what confidence on a model accepts, for some error rates: for `models show`."""

from collections.abc import Iterator, Sequence

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


def lines(tables: Sequence[Calibration], max_error: float) -> Iterator[str]:
    """The same for people: a line for each rate, and below it what each table says."""
    yield "at most wrong  accepts from  of known pages"
    for one in rates(max_error):
        share = f"{100 * one:.4g} %"
        try:
            decision = decide(tables, one)
        except ModelError:
            yield f"{share:>13}  {'-':12}  cannot be promised: it takes more labelled pages than there are"
            continue
        known = ((table, table.at(decision.threshold)) for table in tables)
        told = [
            f"{table.name} {row.accepted / max(table.pages, 1):.1%} accepted, {row.wrong} wrong" for table, row in known
        ]
        yield f"{share:>13}  {decision.threshold:<12.6f}  {'; '.join(told)}"


def rates(max_error: float) -> list[float]:
    """The usual error rates and this one, the largest first."""
    return sorted({*USUAL, max_error}, reverse=True)
