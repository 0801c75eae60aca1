"""Write `MODEL_CARD.md`: a model's data, training, accuracy and error guarantees, for people."""

import importlib.resources
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from digitrec.models.calibration import (
    REPORTED_ERROR_RATES,
    AnswerKind,
    CalibrationTable,
    Rule,
    choose_operating_point,
    lowest_error,
    required_sample_size,
    tables_for,
)
from digitrec.models.card import ModelCard
from digitrec.text import format_percent

if TYPE_CHECKING:
    from jinja2 import Template

HEADING = "## How far its confidence can be trusted"
_NEXT = "\n## "
_REQUIREMENTS = {
    Rule.UPPER_BOUND: "Required: with 95 % confidence (one-sided), at most this share of accepted answers is wrong.",
    Rule.OBSERVED: "Required: at most this share of accepted answers was wrong (too few pages for a bound).",
    Rule.REPORTED: "Reported only: this table sets no threshold.",
}


def render_card(card: ModelCard) -> str:
    """Return the whole card as Markdown."""
    return _template().render(_variables(card, REPORTED_ERROR_RATES))


def render_guarantees(card: ModelCard, rates: Sequence[float] = REPORTED_ERROR_RATES) -> str:
    """Return the chapter about error guarantees, with its heading; its table has a row for each target error rate."""
    template = _template()
    return "".join(template.blocks["guarantees"](template.new_context(_variables(card, rates))))


def replace_guarantees(text: str, card: ModelCard, old_id: str, rates: Sequence[float] = REPORTED_ERROR_RATES) -> str:
    """Return a whole `MODEL_CARD.md` with the title and the chapter about error guarantees replaced.

    Args:
        text: the file as it was.
        card: of the model that it describes now.
        old_id: the id of the model that it described.
        rates: target error rates of the chapter's table.
    """
    text = text.replace(f"# {old_id}\n", f"# {card.id}\n", 1)
    before, heading, rest = text.partition(HEADING)
    if not heading:
        return f"{text.rstrip()}\n\n{render_guarantees(card, rates)}"
    after = rest.partition(_NEXT)[2]
    return f"{before}{render_guarantees(card, rates)}" + (f"{_NEXT}{after}" if after else "")


@cache
def _template() -> "Template":
    from jinja2 import StrictUndefined, Template

    text = (importlib.resources.files(__package__) / "model_card.md.j2").read_text(encoding="utf-8")
    template: Template = Template(text, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    return template


def _variables(card: ModelCard, rates: Sequence[float]) -> dict[str, Any]:
    return {
        "card": card,
        "training": card.training,
        "stages": card.training.get("stages"),
        "corrections": card.training.get("corrections"),
        "heading": HEADING,
        "percent": format_percent,
        "requirements": {table.name: _REQUIREMENTS[table.rule] for table in card.calibrations},
        "kinds": [
            {"name": kind.description, "tables": tables, "rates": [_rate(tables, max_error) for max_error in rates]}
            for kind in AnswerKind
            if (tables := tables_for(card.calibrations, kind))
        ],
    }


def _rate(tables: Sequence[CalibrationTable], max_error: float) -> dict[str, Any]:
    """Return the threshold for a target error rate, or why there is none."""
    name = f"{100 * max_error:.4g} %"
    choice = choose_operating_point(tables, max_error)
    if choice is None:
        return {"name": name, "needed": required_sample_size(max_error), "best": lowest_error(tables)}
    return {"name": name, "choice": choice}
