"""How far a model's confidence can be trusted, in words: one chapter of its `MODEL_CARD.md`."""

from collections.abc import Sequence

from digitrec.classifiers.calibration import USUAL, Calibration, Rule, best_of, decide, pictures_needed
from digitrec.classifiers.card import ModelCard
from digitrec.errors import ModelError

HEADING = "## How far its confidence can be trusted"
_NEXT = "\n## "
_ASKED = {
    Rule.BOUND: "with 95 % confidence (Clopper-Pearson, one-sided) at most so many of the accepted are wrong",
    Rule.SHARE: "of the accepted, no larger share was wrong (too few pages for a bound of their own)",
}
_FOUND = ", and on what `ink` and the classical way found on pages drawn with the digits that chose the best epoch"
_READ = ", read as a whole by all its networks"


def write(card: ModelCard, rates: Sequence[float] = USUAL) -> str:
    """The chapter as Markdown, its heading included; its table has a row for each of these error rates."""
    tables, reads_paper = card.calibrations, "stages" in card.training
    several = (
        " Each asks for a threshold of its own; accepted is from where all of them hold." if len(tables) > 1 else ""
    )
    heads = "".join(f" {table.name}: accepts | wrong among them |" for table in tables)
    lines = [
        HEADING,
        "",
        f"Temperature {card.temperature:.4f}, fitted so that a confidence of 0.9 is right nine times in ten: "
        f"on digits held out of the training{_FOUND if reads_paper else ''}.",
        "",
        "From what confidence on an answer is accepted follows from labelled pages it never learned from"
        f"{_READ if reads_paper else ''}.{several}",
        "",
        *(f"- {table.name}: {table.pages:,} pages, {table.source}. Asked: {_ASKED[table.rule]}." for table in tables),
        "",
        f"| at most wrong | accept from | decided by |{heads}",
        f"| --: | --: | --- |{' --: | --: |' * len(tables)}",
        *(_row(tables, max_error) for max_error in rates),
    ]
    return "\n".join(lines) + "\n"


def replaced(words: str, card: ModelCard, old_id: str, rates: Sequence[float] = USUAL) -> str:
    """A whole `MODEL_CARD.md` with the title and this chapter made new; what else it says stays.

    Args:
        words: the file as it was.
        card: what it is about now.
        old_id: the id it was about.
        rates: the error rates that the chapter tells about.
    """
    words = words.replace(f"# {old_id}\n", f"# {card.id}\n", 1)
    before, heading, rest = words.partition(HEADING)
    if not heading:
        return f"{words.rstrip()}\n\n{write(card, rates)}"
    after = rest.partition(_NEXT)[2]
    return f"{before}{write(card, rates)}" + (f"{_NEXT}{after}" if after else "")


def _row(tables: tuple[Calibration, ...], max_error: float) -> str:
    share = f"{100 * max_error:.4g}%"
    try:
        decision = decide(tables, max_error)
    except ModelError:
        why = f"takes {pictures_needed(max_error):,} labelled pages without any error; at best {best_of(tables):.5f}"
        return f"| {share} | not possible | {why} |{' | |' * len(tables)}"
    known = [(table, table.at(decision.threshold)) for table in tables]
    cells = "".join(
        f" {row.accepted / max(table.pages, 1):.1%} | {row.wrong} of {row.accepted:,} |" for table, row in known
    )
    return f"| {share} | {decision.threshold:.6f} | {decision.table} |{cells}"
