"""From what confidence on a model accepts, for some error rates: for `models show`."""

from collections.abc import Sequence

from digitrec.classifiers.calibration import USUAL, Calibration, decide, pictures_needed
from digitrec.errors import ModelError


def text(tables: Sequence[Calibration], max_error: float) -> str:
    """A line for each usual error rate and this one: the threshold, which table decides, and what it accepts."""
    lines = [f"{table.name}: {table.pages:,} pages, {table.source}" for table in tables]
    lines += ["", f"{'max_error':>9}  {'accepts from':>12}  {'decided by':16}  accepts (wrong among them)"]
    for one in _rates(max_error):
        try:
            decision = decide(tables, one)
        except ModelError as why:
            needed = f"takes {pictures_needed(one):,} labelled pages read without any error"
            lines.append(f"{one:>9g}  {'not possible':>12}  {needed}; {str(why).partition('; ')[2]}")
            continue
        cells = "   ".join(_accepted(table, decision.threshold) for table in tables)
        lines.append(f"{one:>9g}  {decision.threshold:>12.6f}  {decision.table:16}  {cells}")
    return "\n".join(lines)


def as_json(tables: Sequence[Calibration], max_error: float) -> list[dict[str, object]]:
    """The same for scripts; `threshold` is null where this rate cannot be promised."""
    found: list[dict[str, object]] = []
    for one in _rates(max_error):
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


def _rates(max_error: float) -> list[float]:
    return sorted({*USUAL, max_error}, reverse=True)


def _accepted(table: Calibration, threshold: float) -> str:
    row = table.at(threshold)
    return f"{table.name} {100 * row.accepted / max(table.pages, 1):.1f} % ({row.wrong} of {row.accepted:,})"
