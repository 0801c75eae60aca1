"""What the card of a model with three networks says that another's does not: how each of them was trained."""

from collections.abc import Mapping
from typing import Any

from digitrec.classifiers.card import ModelCard

LIMITS = """- "No digit" was learned from letters and signs of fonts, scribbles, digits spoilt on purpose and dirt.
  Other things may still look like digits to it."""
_NETWORKS = """- `ink`: which pixels of a page are ink of its signs. A U-shaped network for 64 x 64 (Ronneberger 2015).
- `line`: what a line of a page says, sign by sign. A convolutional network with CTC (Graves 2006).
- `model`: which digit 28 x 28 ink shows (recipe {recipe}), or that it shows none."""
_LEARNED = """- The pages, crops and strips that all three learned from are synthetic: those digits, and letters, signs
  and digits of freely licensed fonts (`docs/fonts.md` lists them with their licences), written with many pens on drawn
  paper.
- {ink}
- {line}
- {pages}
- About half of what fitted `model` is from those pages, a little is digits and letters of the fonts; the rest is the
  digits themselves, varied anew each time.{left_out}"""


def reads(card: ModelCard) -> str:
    """What it does, in a sentence or two, and its parts."""
    parts = _NETWORKS.format(recipe=card.recipe)
    return (
        f"Reads digits and numbers on paper, and knows what is none. Three networks, {card.weights:,} weights:\n\n"
        f"{parts}\n\nThe probabilities that come out are calibrated."
    )


def learned(card: ModelCard) -> str:
    """How each network was trained, as points."""
    stages, left_out = card.training["stages"], card.training.get("left_out", [])
    return _LEARNED.format(
        ink=_network("ink", "crops of pages", "of the ink (Dice coefficient)", stages["ink"]),
        line=_network("line", "strips with a number each", "of the lines, every sign of them,", stages["line"]),
        pages=_pages(stages["pages"]),
        left_out=f"\n- Left out of everything: {', '.join(left_out)}." if left_out else "",
    )


def _network(name: str, things: str, measured: str, facts: Mapping[str, Any]) -> str:
    if not facts:
        return f"`{name}` was taken over as it was; how long it took is not known."
    return (
        f"`{name}` learned from {facts['drawn']:,} {things} in {facts['epochs']} epochs: {facts['seconds']:,} "
        f"seconds,\n  {facts['drawing_seconds']:,} of these to draw them. Of {facts['held_out']:,} others, with digits "
        f"held out, it has {facts['score']:.2%} {measured} right."
    )


def _pages(facts: Mapping[str, Any]) -> str:
    if not facts:
        return "The pages were taken over as they were."
    return (
        f"{facts['drawn']:,} pages with a sign each were drawn and looked at without a network and with `ink`, which "
        f"gave\n  {facts['examples']:,} pictures of 28 x 28 for `model`: {facts['seconds']:,} seconds."
    )
