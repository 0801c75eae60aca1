"""What the card of a model says that learned from people's corrections."""

from digitrec.classifiers.card import ModelCard

_TEXT = """
## What it learned from corrections

**This model is its user's own.** It learned from pictures that people of one workspace put right. It is at its best
with writing like theirs, and whoever passes it on passes on something of those pictures.

- {learned:,} pages that people confirmed or corrected gave {examples:,} pictures of 28 x 28 for `model`. With those
  held out {confirmed:,} were confirmed, {corrected:,} corrected.
- {held_out:,} pages, one file in five by its sha256, were not learned from and never will be: they measure.
- Left out: {missing:,} pages whose originals are gone or were altered. Of the pages to learn from, {unfit:,} gave
  `model` nothing, as other signs were found there than a person read.{more}
"""
_START = """
- It went on from `{went_on_from}`: what is told above of how much was learned, and how long, is about that model, but
  for the epochs and seconds under its command."""


def write(card: ModelCard) -> str:
    """The chapter as Markdown; nothing for a model that learned from none."""
    about = card.training.get("corrections")
    if about is None:
        return ""
    more = _START.format(**about) if "went_on_from" in about else ""
    more += f"\n- {about['line']}." if "line" in about else ""
    return _TEXT.format(**{key: about[key] for key in _KEYS}, more=more)


_KEYS = ("learned", "held_out", "confirmed", "corrected", "missing", "unfit", "examples")
